package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

// overview is what `status` shows.
type overview struct {
	Groups     []groupRow       `json:"groups"`
	Tenants    map[string]int64 `json:"tenants,omitempty"` // by state, over all consumers
	Stalled    []stalledRow     `json:"stalled"`
	Rules      []ruleTrouble    `json:"rules"` // a rule of each tenant whose rules are off or were cut
	Outbox     []outboxRow      `json:"outbox"`
	Effects    map[string]int64 `json:"effects,omitempty"`
	DeadLetter map[string]int64 `json:"dead_letters,omitempty"` // open ones, by reason
	Problems   []string         `json:"problems"`               // parts that could not be asked
}

type groupRow struct {
	Group   string `json:"group"`
	State   string `json:"state"`
	Members int    `json:"members"`
	Lag     int64  `json:"lag"` // records; -1: unknown
}

type stalledRow struct {
	Consumer   string `json:"consumer"`
	Generation int64  `json:"generation"`
	Tenant     string `json:"tenant_id"`
	Sequence   int64  `json:"sequence"`
	Reason     string `json:"reason"`
}

type outboxRow struct {
	Deriver string  `json:"deriver"`
	Rows    int64   `json:"rows"`
	Oldest  float64 `json:"oldest_seconds"`
}

func (c *cli) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Groups, lag, stalled tenants, outbox, effects", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			o := overview{Stalled: []stalledRow{}, Outbox: []outboxRow{}, Problems: []string{}}
			o.Groups = c.groups(ctx, &o)
			if pool, err := c.pool(ctx); err != nil {
				o.Problems = append(o.Problems, err.Error())
			} else {
				readStatus(ctx, pool, &o)
			}
			if err := c.showStatus(o); err != nil {
				return err
			}
			if len(o.Problems) > 0 {
				return partial("a part of the engine could not be asked").why("%s", strings.Join(o.Problems, "\n")).next("neuronx doctor")
			}
			return nil
		},
	}
}

// groups asks Kafka about every consumer group of the engine.
func (c *cli) groups(ctx context.Context, o *overview) []groupRow {
	admin, err := c.admin()
	if err != nil {
		o.Problems = append(o.Problems, err.Error())
		return []groupRow{}
	}
	out := []groupRow{}
	for _, g := range kafka.Groups() {
		row := groupRow{Group: g, Lag: -1}
		d, err := admin.DescribeGroup(ctx, g)
		if err == nil {
			row.State, row.Members = d.State, len(d.Members)
			row.Lag, err = groupLag(ctx, admin, g)
		}
		if err != nil {
			o.Problems = append(o.Problems, fmt.Sprintf("group %s: %v", g, err))
		}
		out = append(out, row)
	}
	return out
}

// groupLag is the records between a group's offsets and the ends of the
// partitions it reads. A partition without a commit counts in full.
func groupLag(ctx context.Context, admin *kafka.Admin, group string) (int64, error) {
	topic := kafka.TopicEvents
	if group == kafka.GroupSequencer {
		topic = kafka.TopicIngress
	}
	ends, err := admin.EndOffsets(ctx, kafka.ReadCommitted, topic)
	if err != nil {
		return -1, err
	}
	starts, err := admin.StartOffsets(ctx, topic)
	if err != nil {
		return -1, err
	}
	committed, err := admin.Committed(ctx, group)
	if err != nil {
		return -1, err
	}
	var lag int64
	for tp, end := range ends {
		from := starts[tp]
		if at, ok := committed[tp]; ok && at.Present {
			from = max(from, at.Offset)
		}
		lag += max(0, end-from)
	}
	return lag, nil
}

// readStatus reads what Postgres knows. Each query stands alone: one part that
// is not provisioned must not hide the others.
func readStatus(ctx context.Context, pool *pgxpool.Pool, o *overview) {
	try := func(what string, err error) {
		if err != nil {
			o.Problems = append(o.Problems, what+": "+err.Error())
		}
	}
	var err error
	o.Tenants, err = counts(ctx, pool, `SELECT state, count(*) FROM neuronx.progress GROUP BY state`)
	try("progress", err)
	rows, err := pool.Query(ctx, `SELECT consumer, generation, tenant_id, sequence, reason FROM neuronx.progress
		WHERE state = 'stalled' ORDER BY consumer, tenant_id, generation LIMIT 1000`)
	if err == nil {
		o.Stalled, err = pgx.CollectRows(rows, pgx.RowToStructByPos[stalledRow])
	}
	try("stalled tenants", err)
	o.Rules, err = readRules(ctx, pool)
	try("rules", err)
	rows, err = pool.Query(ctx, `SELECT deriver, count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
		FROM neuronx.outbox GROUP BY deriver ORDER BY deriver`)
	if err == nil {
		o.Outbox, err = pgx.CollectRows(rows, pgx.RowToStructByPos[outboxRow])
	}
	try("outbox", err)
	o.DeadLetter, err = counts(ctx, pool, `SELECT reason, count(*) FROM neuronx.dead_letter_states WHERE state = 'open' GROUP BY reason`)
	try("dead letters", err)
	effects, err := ledger.Counts(ctx, pool, "")
	try("effects", err)
	if err == nil {
		o.Effects = map[string]int64{}
		for status, n := range effects {
			o.Effects[string(status)] = n
		}
	}
}

func counts(ctx context.Context, pool *pgxpool.Pool, sql string) (map[string]int64, error) {
	rows, err := pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { out[name] = n; return nil })
	return out, err
}

func (c *cli) showStatus(o overview) error {
	if c.format == formatJSON {
		return c.json(o)
	}
	if err := show(c, o.Groups, []string{"GROUP", "STATE", "MEMBERS", "LAG"}, func(g groupRow) []any {
		lag := fmt.Sprint(g.Lag)
		if g.Lag < 0 {
			lag = "?"
		}
		return []any{g.Group, dash(g.State), g.Members, lag}
	}); err != nil {
		return err
	}
	printf(c.out, "\ntenants:       %s\n", summary(o.Tenants))
	c.sayRules(o.Rules)
	printf(c.out, "effects:       %s\n", summary(o.Effects))
	printf(c.out, "dead letters:  %s\n", summary(o.DeadLetter))
	if len(o.Outbox) == 0 {
		printf(c.out, "outbox:        empty\n")
	}
	for _, r := range o.Outbox {
		printf(c.out, "outbox:        %s %d rows, oldest %.0f s\n", r.Deriver, r.Rows, r.Oldest)
	}
	if len(o.Stalled) == 0 {
		return nil
	}
	printf(c.out, "\n")
	return show(c, o.Stalled, []string{"STALLED", "GENERATION", "TENANT", "SEQUENCE", "REASON"}, func(r stalledRow) []any {
		return []any{r.Consumer, r.Generation, r.Tenant, r.Sequence, r.Reason}
	})
}

func summary(m map[string]int64) string {
	if len(m) == 0 {
		return "none"
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%d %s", m[name], name)
	}
	return strings.Join(parts, ", ")
}
