package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
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

type resumedRow struct {
	stalledAt
	Result string `json:"result"`
}

// showResumed waits until every row that was let go on has passed the event that it was stalled at, or is stalled again, and shows which
// it was. passed is how many events the verb itself took a row further: 1 for a skip.
func (c *cli) showResumed(ctx context.Context, pool *pgxpool.Pool, verb string, rows []consumer.Row, passed int64) error {
	var now []consumer.Row
	_, err := operate.Until(ctx, func() (bool, error) {
		found, err := rowsNow(ctx, pool, rows)
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
		return operate.Fail("see what became of them", err)
	}
	if now == nil { // the time was over before the first look
		now = slices.Clone(rows)
		for i := range now {
			now[i].State = consumer.CatchingUp
		}
	}
	out, count := make([]resumedRow, len(rows)), map[string]int{}
	for i, r := range rows {
		out[i] = resumedRow{stalledAtOf(r), resumed(r.Sequence+passed, now[i])}
		if count[out[i].Result]++; out[i].Result == resumedStalled {
			out[i].Reason = fmt.Sprintf("sequence %d: %s", now[i].Sequence+1, now[i].Reason)
		}
	}
	if err := show(c, out, []string{"CONSUMER", "FEED", "TENANT", "GENERATION", verb, "RESULT", "REASON"}, func(r resumedRow) []any {
		return []any{r.Consumer, r.Feed, r.Tenant, r.Generation, r.Sequence, r.Result, dash(operate.OneLine(r.Reason))}
	}); err != nil {
		return err
	}
	switch again, waiting := count[resumedStalled], count[resumedNotYet]; {
	case again > 0:
		return operate.Partial("%d of %d are stalled again", again, len(rows)).Hint("neuronx stalled list")
	case waiting > 0:
		return operate.Partial("%d of %d have not gone on yet", waiting, len(rows)).Hint("is the service running? see `neuronx status`; this need not be done again")
	}
	return nil
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

// rowsNow reads rows again, in the same order. One that is gone counts as retired.
func rowsNow(ctx context.Context, pool *pgxpool.Pool, rows []consumer.Row) ([]consumer.Row, error) {
	var consumers, tenants []string
	var generations []int64
	now := make([]consumer.Row, len(rows))
	for i, r := range rows {
		consumers, tenants, generations = append(consumers, r.Consumer), append(tenants, r.TenantID), append(generations, r.Generation)
		now[i] = r
		now[i].State = consumer.Retired
	}
	found, err := pool.Query(ctx, `SELECT v.n, p.sequence, p.state, p.reason FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS v (consumer, tenant_id, generation, n)
		JOIN neuronx.progress p ON p.consumer = v.consumer AND p.tenant_id = v.tenant_id AND p.generation = v.generation`, consumers, tenants, generations)
	if err != nil {
		return nil, err
	}
	var n, sequence int64
	var state, reason string
	_, err = pgx.ForEachRow(found, []any{&n, &sequence, &state, &reason}, func() error {
		now[n-1].Sequence, now[n-1].State, now[n-1].Reason = sequence, consumer.State(state), reason
		return nil
	})
	return now, err
}

// stalledAtOf is a row as the verbs show it.
func stalledAtOf(r consumer.Row) stalledAt {
	group, feed := consumer.SplitName(r.Consumer)
	return stalledAt{Consumer: strings.TrimPrefix(group, "neuronx."), Feed: feed, Tenant: r.TenantID, Generation: r.Generation,
		Sequence: strconv.FormatInt(r.Sequence+1, 10), Reason: r.Reason}
}
