package reset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxPlanRows bounds a file: a cluster has thousands of partitions, not millions.
const maxPlanRows = 1_000_000

// ParseCSV reads what Kafka's --export writes: three columns mean the group that is asked for, of four only its rows
// count. All wrong lines are reported at once.
func ParseCSV(b []byte, group string) ([]Row, error) {
	c := csv.NewReader(strings.NewReader(string(b)))
	c.FieldsPerRecord = -1
	c.TrimLeadingSpace = true
	var rows []Row
	var errs []error
	seen := make(map[string]bool)
	for {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reset plan: %w", err)
		}
		line, _ := c.FieldPos(0)
		row, err := parseRow(rec, group)
		switch key := row.Topic + ":" + strconv.Itoa(int(row.Partition)); {
		case err != nil:
			errs = append(errs, fmt.Errorf("reset plan: line %d: %w", line, err))
		case row.Group != group:
		case seen[key]:
			errs = append(errs, fmt.Errorf("reset plan: line %d: %s-%d is there twice", line, row.Topic, row.Partition))
		default:
			seen[key] = true
			rows = append(rows, row)
		}
		if len(rows) > maxPlanRows || len(errs) > 100 {
			break
		}
	}
	if len(errs) == 0 && len(rows) == 0 {
		errs = append(errs, fmt.Errorf("reset plan: no row for group %s", group))
	}
	return rows, errors.Join(errs...)
}

func parseRow(rec []string, group string) (Row, error) {
	r := Row{Group: group, Prior: -1}
	switch len(rec) {
	case 3:
	case 4:
		r.Group, rec = rec[0], rec[1:]
	default:
		return r, fmt.Errorf("%d columns instead of topic,partition,offset or group,topic,partition,offset", len(rec))
	}
	p, err := strconv.ParseInt(strings.TrimSpace(rec[1]), 10, 32)
	if err != nil || p < 0 {
		return r, fmt.Errorf("partition %q is not a number", rec[1])
	}
	at, err := strconv.ParseInt(strings.TrimSpace(rec[2]), 10, 64)
	if err != nil || at < NoOffset {
		return r, fmt.Errorf("offset %q is neither an offset nor %d for none", rec[2], NoOffset)
	}
	if rec[0] == "" {
		return r, errors.New("the topic is empty")
	}
	r.Topic, r.Partition, r.NewOffset = rec[0], int32(p), at
	return r, nil
}
