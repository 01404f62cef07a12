package stalled

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// What became of a row that was let go on.
const (
	resumedYes     = "resumed"       // the event that it was stalled at was applied, or passed over
	resumedStalled = "stalled again" // at the same event or at a later one
	resumedNotYet  = "waiting"       // its service has not taken it up
	resumedGone    = "replaced"      // by a later generation
)

// Resumed is what became of a row that was let go on.
type Resumed struct {
	At
	Result string `json:"result"`
}

// Err is nil if none of the rows is stalled again or waits.
func Err(rows []Resumed) error {
	count := map[string]int{}
	for _, r := range rows {
		count[r.Result]++
	}
	switch again, waiting := count[resumedStalled], count[resumedNotYet]; {
	case again > 0:
		return operate.Partial("%d of %d are stalled again", again, len(rows)).Hint("neuronx stalled list")
	case waiting > 0:
		return operate.Partial("%d of %d have not gone on yet", waiting, len(rows)).Hint("is the service running? see `neuronx status`; this need not be done again")
	}
	return nil
}

// watch waits until every row that was let go on has passed the event that it was stalled at, or is stalled again, and tells which it was.
// passed is how many events the verb itself took a row further: 1 for a skip.
func watch(ctx context.Context, pool *pgxpool.Pool, rows []consumer.Row, passed int64) ([]Resumed, error) {
	var now []consumer.Row
	_, err := operate.Until(ctx, func() (bool, error) {
		found, err := consumer.Again(ctx, pool, rows)
		if err != nil {
			return false, err
		}
		now = found
		for i := range rows {
			if resumed(rows[i].Sequence+passed, now[i]) == resumedNotYet {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, operate.Fail("see what became of them", err)
	}
	if now == nil { // the time was over before the first look
		now = slices.Clone(rows)
		for i := range now {
			now[i].State = consumer.CatchingUp
		}
	}
	out := make([]Resumed, len(rows))
	for i, r := range rows {
		out[i] = Resumed{atOf(r), resumed(r.Sequence+passed, now[i])}
		if out[i].Result == resumedStalled {
			out[i].Reason = fmt.Sprintf("sequence %d: %s", now[i].Sequence+1, now[i].Reason)
		}
	}
	return out, nil
}

// resumed compares where a row was let go on with what it is now. It is pure.
func resumed(from int64, now consumer.Row) string {
	switch {
	case now.State == consumer.Stalled:
		return resumedStalled
	case now.State == consumer.Retired:
		return resumedGone
	case now.State == consumer.Live, now.Sequence > from:
		return resumedYes
	}
	return resumedNotYet
}
