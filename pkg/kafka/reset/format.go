package reset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPlanRows bounds a file: a cluster has thousands of partitions, not millions.
const maxPlanRows = 1_000_000

// WriteTable writes rows as Kafka's tool shows them.
func WriteTable(w io.Writer, rows []Row) error {
	group, topic := 15, 15
	for _, r := range rows {
		group, topic = max(group, len(r.Group)), max(topic, len(r.Topic))
	}
	line := func(g, t, p, at string) error {
		_, err := fmt.Fprintf(w, "%-*s %-*s %-10s %s\n", group, g, topic, t, p, at)
		return err
	}
	if err := line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"); err != nil {
		return err
	}
	for _, r := range rows {
		if err := line(r.Group, r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.NewOffset, 10)); err != nil {
			return err
		}
	}
	return nil
}

// WriteCSV writes rows as Kafka's --export does: topic,partition,offset without a header, with the group first when there is
// more than one.
func WriteCSV(w io.Writer, rows []Row) error {
	groups := make(map[string]bool)
	for _, r := range rows {
		groups[r.Group] = true
	}
	c := csv.NewWriter(w)
	for _, r := range rows {
		rec := []string{r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.NewOffset, 10)}
		if len(groups) > 1 {
			rec = append([]string{r.Group}, rec...)
		}
		if err := c.Write(rec); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// PriorCSV turns a plan around: the rows that bring back what was committed before it, NoOffset where nothing was.
func PriorCSV(w io.Writer, rows []Row) error {
	prior := slices.Clone(rows)
	for i := range prior {
		prior[i].NewOffset = prior[i].Prior
	}
	return WriteCSV(w, prior)
}

// ParseCSV reads what WriteCSV or Kafka's --export wrote: three columns mean the group that is asked for, of four only its rows
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

// ParseDatetime reads what --to-datetime takes, YYYY-MM-DDTHH:mm:ss.SSS with Z, an offset or neither (which means UTC), and RFC
// 3339 with any number of decimals.
func ParseDatetime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999Z07"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write 2026-01-31T12:00:00.000, with Z or an offset such as +02:00", s)
}

var isoDuration = regexp.MustCompile(`^P(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.(\d{1,9}))?S)?)?$`)

// ParseDuration reads what --by-duration takes: ISO 8601, PnDTnHnMnS.
func ParseDuration(s string) (time.Duration, error) {
	m := isoDuration.FindStringSubmatch(s)
	if m == nil || strings.Join(m[1:], "") == "" || strings.HasSuffix(s, "T") {
		return 0, fmt.Errorf("%q is not a duration; write PnDTnHnMnS, such as PT1H or P1DT12H", s)
	}
	var d time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] != "" {
			n, err := strconv.ParseInt(m[i+1], 10, 64)
			if err != nil || n > int64(1<<63-1)/int64(unit)/8 {
				return 0, fmt.Errorf("%q is too long a duration", s)
			}
			d += time.Duration(n) * unit
		}
	}
	if m[5] != "" {
		n, _ := strconv.ParseInt((m[5] + "00000000")[:9], 10, 64)
		d += time.Duration(n)
	}
	return d, nil
}
