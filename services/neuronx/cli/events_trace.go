package cli

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxTraced bounds the events of one trace.
const maxTraced = 1000

// traceSQL walks causes up from the events with an id or a subject, and consequences down from every root that it finds. Causes are
// ids of the same tenant; 32 levels is twice what the storm guard lets through.
const traceSQL = `
WITH RECURSIVE up AS (
    SELECT e.sequence, e.causation_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND (e.event_id = $2 OR e.subject = $3)
  UNION
    SELECT e.sequence, e.causation_id, up.depth - 1 FROM up JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.event_id = up.causation_id
    WHERE up.causation_id <> '' AND up.depth > -32
), down AS (
    SELECT e.sequence, e.event_id, 0 AS depth FROM neuronx.tenant_events e WHERE e.tenant_id = $1 AND e.sequence IN (SELECT sequence FROM up)
  UNION
    SELECT e.sequence, e.event_id, down.depth + 1 FROM down JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.causation_id = down.event_id AND e.sequence > down.sequence
    WHERE down.depth < 32
)
SELECT DISTINCT sequence FROM down ORDER BY sequence LIMIT $4`

func (c *cli) eventsTrace() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "trace <id or subject>", Short: "Show what caused an event, or all about a lead, and what came of it", Args: args("id or subject"),
		Long: `Show an event, or all events about a subject such as lead/42, with everything that caused them up to each root, and everything that
came of these: the type with the rule that derived it, and its data. It reads the archive, which follows the log by a moment.`,
		Example: "  neuronx events trace lead/42 --tenant acme\n  neuronx events trace 0199c5f2-… --tenant acme -o wide",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			found, err := traced(ctx, pool, tenantID, args[0])
			if err != nil {
				return err
			}
			if len(found) == 0 {
				if strings.Contains(args[0], "/") {
					return knownSubject(ctx, pool, tenantID, args[0])
				}
				return noEvent(ctx, pool, tenantID, args[0])
			}
			if err := c.env.NoteBehind(ctx, pool, tenantID); err != nil {
				return err
			}
			if len(found) > maxTraced {
				found = found[:maxTraced]
				c.note("these are the first %d events of it; there are more", maxTraced)
			}
			return show(c, tree(found), []string{"SEQUENCE", "EVENT", "RULE", "DATA", "SUBJECT", "RECORDED", "ID"}, func(v tracedView) []any {
				return []any{v.Sequence, indent(v.Depth) + v.Type, dash(v.Rule), dash(string(v.Data)), dash(v.Subject), v.RecordedTime, v.ID}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

func traced(ctx context.Context, pool *pgxpool.Pool, tenantID, what string) ([]eventView, error) {
	subject := what
	if !strings.Contains(what, "/") {
		subject = "\x01" // an id is no subject, and an event without one is not about it
	}
	rows, err := pool.Query(ctx, traceSQL, tenantID, what, subject, maxTraced+1)
	if err != nil {
		return nil, operate.Fail("trace the event", err)
	}
	sequences, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, operate.Fail("trace the event", err)
	}
	return queryArchived(ctx, pool, `tenant_id = $1 AND sequence = ANY($2) ORDER BY sequence`, tenantID, sequences)
}

// tracedView is an event in the tree of its causes.
type tracedView struct {
	eventView
	Depth int `json:"depth"` // 0: a root, which nothing in the archive caused
}

// tree orders events, which are in the order of the log, so that each stands below its cause. It is pure.
func tree(events []eventView) []tracedView {
	number := func(v *eventView) int64 { n, _ := strconv.ParseInt(v.Sequence, 10, 64); return n }
	byID := map[string][]int{} // an id may recur after the key window
	for i := range events {
		byID[events[i].ID] = append(byID[events[i].ID], i)
	}
	children := map[int][]int{}
	var roots []int
	for i := range events {
		cause := -1
		for _, j := range byID[events[i].CausationID] {
			if events[i].CausationID != "" && number(&events[j]) < number(&events[i]) {
				cause = j
			}
		}
		if cause < 0 {
			roots = append(roots, i)
		} else {
			children[cause] = append(children[cause], i)
		}
	}
	out := make([]tracedView, 0, len(events))
	var walk func(of []int, depth int)
	walk = func(of []int, depth int) { // a cause is before its consequences, so this ends
		slices.SortFunc(of, func(a, b int) int { return cmp.Compare(number(&events[a]), number(&events[b])) })
		for _, i := range of {
			out = append(out, tracedView{eventView: events[i], Depth: depth})
			walk(children[i], depth+1)
		}
	}
	walk(roots, 0)
	return out
}

func indent(depth int) string {
	if depth == 0 {
		return ""
	}
	return strings.Repeat("   ", depth-1) + "└─ "
}
