package reset

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
)

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
