package consumer

import (
	"context"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// lineage maps the id of a log to that of the log it was built from: `neuronx log reseed --from-archive` writes what the archive has
// into a new Kafka, under the ids the events had, and what is admitted afterwards has a new one. Without such a row another id is
// another log, of which nothing was applied.
type lineage map[string]string

// follows reports whether a log was built, in however many steps, from an earlier one.
func (l lineage) follows(id, earlier string) bool {
	for range len(l) { // bounded: rows that point at each other must not hang the consumer
		before, ok := l[id]
		if !ok {
			return false
		}
		if id = before; id == earlier {
			return true
		}
	}
	return false
}

// continues reports whether e may stand in the same history as a row that has applied up to a sequence under logID. An event of a
// later log must be new to the row: had the row applied another event under that sequence, of the tail that was lost, then skipping
// this one would lose it.
func (l lineage) continues(logID string, sequence int64, e *event.Recorded) bool {
	switch {
	case logID == "" || e.LogID == logID:
		return true
	case e.Sequence > sequence:
		return l.follows(e.LogID, logID)
	default:
		return e.Sequence < sequence && l.follows(logID, e.LogID)
	}
}

func loadLineage(ctx context.Context, q querier) (lineage, error) {
	rows, err := q.Query(ctx, `SELECT log_id, predecessor FROM neuronx.log_lineage`)
	l := lineage{}
	var id, before string
	err = postgres.ForEach(rows, err, "load the logs' lineage", []any{&id, &before}, func() error { l[id] = before; return nil })
	return l, err
}
