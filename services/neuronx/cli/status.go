package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

// overview is what `status` shows. What is nil could not be asked, which is something else than empty.
type overview struct {
	Processes  []processRow     `json:"processes"` // nil: no admin port is known
	Groups     []groupRow       `json:"groups"`
	Tenants    map[string]int64 `json:"tenants"` // each once, by the worst state that a consumer has it in
	Stalled    []stalledRow     `json:"stalled"`
	Rules      []ruleTrouble    `json:"rules"` // a rule of each tenant whose rules are off or were cut
	Rebuilds   []rebuildRow     `json:"rebuilds"`
	Outbox     []outboxRow      `json:"outbox"`
	Effects    map[string]int64 `json:"effects"`
	CRM        []ledger.Paused  `json:"crm_refused"`  // tenants whose CRM connection is refused
	DeadLetter map[string]int64 `json:"dead_letters"` // open ones, by reason
	Refused    []refusedRow     `json:"refused"`      // by the HTTP roles whose admin ports are known
	Problems   []string         `json:"problems"`     // parts that could not be asked
	Wrong      []string         `json:"wrong"`        // what a person should look at
}

type groupRow struct {
	Group   string `json:"group"`
	State   string `json:"state"`
	Members int    `json:"members"` // -1: unknown
	Lag     int64  `json:"lag"`     // records; -1: unknown
}

type stalledRow struct {
	Consumer   string `json:"consumer"`
	Generation int64  `json:"generation"`
	Tenant     string `json:"tenant_id"`
	Sequence   int64  `json:"sequence"` // of the event that it is stalled at, as `stalled list` shows it and `stalled skip` takes it
	Reason     string `json:"reason"`
}

// next is the command that ends the stall once its reason is gone.
func (r *stalledRow) next() string {
	group, feed := consumer.SplitName(r.Consumer)
	next := "neuronx stalled retry --consumer " + strings.TrimPrefix(group, "neuronx.")
	if feed != consumer.FeedMain {
		next += " --feed " + feed
	}
	return next + " --tenant " + r.Tenant
}

type outboxRow struct {
	Deriver string  `json:"deriver"`
	Rows    int64   `json:"rows"`
	Oldest  float64 `json:"oldest_seconds"`
}

// partLimit bounds what one part of the engine may take to answer, so that one that is away leaves time for the others.
const partLimit = 10 * time.Second

func (c *cli) status() *cobra.Command {
	var adm []string
	cmd := &cobra.Command{
		Use: "status", Short: "Processes, groups, lag, stalled tenants, outbox, effects", Args: noArgs,
		Long: `Show what every part of the engine says: whether processes are ready and what they wait for, groups and their lag, stalled tenants
with the command that retries them, outbox, effects, CRM connections that are refused, and dead letters. What could not be asked is shown as not known.

Exit 0: all was asked, and nothing is wrong. Exit 1: a process is not ready or keeps losing what it needs, nobody reads a group, a tenant is stalled, or its
CRM connection is refused. Exit 3: a part could not be asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.needEngine(c.adminURLs(adm)); err != nil {
				return err
			}
			o := overview{Problems: []string{}, Wrong: []string{}}
			part := func(read func(ctx context.Context)) {
				ctx, cancel := context.WithTimeout(cmd.Context(), min(c.timeout, partLimit))
				defer cancel()
				read(ctx)
			}
			part(func(ctx context.Context) {
				if urls := c.adminURLs(adm); len(urls) > 0 {
					o.Processes = c.processes(ctx, urls)
					o.Refused = c.refused(ctx, urls)
				}
			})
			part(func(ctx context.Context) { o.Groups = c.groups(ctx, &o) })
			part(func(ctx context.Context) {
				if pool, err := c.pool(ctx); err != nil {
					o.Problems = append(o.Problems, err.Error())
				} else {
					readStatus(ctx, pool, &o)
				}
			})
			o.judge()
			if err := c.showStatus(o); err != nil {
				return err
			}
			switch {
			case len(o.Problems) > 0:
				return partial("a part of the engine could not be asked").why("%s", o.why()).next("%s", o.next())
			case len(o.Wrong) > 0:
				return (&Error{Exit: exitFailed, What: "something is wrong"}).why("%s", o.why()).next("%s", o.next())
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&adm, "admin", nil, adminHelp)
	return cmd
}

// judge lists what is wrong. It is pure.
func (o *overview) judge() {
	for i := range o.Processes {
		p := &o.Processes[i]
		switch waits := p.waits(); {
		case !p.Answers:
			o.Wrong = append(o.Wrong, p.URL+" does not answer: "+brief(p.Detail))
		case len(waits) > 0:
			o.Wrong = append(o.Wrong, p.URL+" waits: "+strings.Join(waits, "; "))
		case !p.Ready:
			o.Wrong = append(o.Wrong, p.URL+" is not ready: "+brief(p.Detail))
		default:
			if lost, flapping := p.lost(); flapping {
				o.Wrong = append(o.Wrong, p.URL+" is ready, but not for long: "+strings.Join(lost, "; "))
			}
		}
	}
	for _, g := range o.Groups {
		if g.Members == 0 && g.Lag != 0 {
			o.Wrong = append(o.Wrong, fmt.Sprintf("nobody reads as %s", g.Group))
		}
	}
	if wrong := pausedWrong(o.CRM); wrong != "" {
		o.Wrong = append(o.Wrong, wrong)
	}
	stalled := map[string]bool{}
	for _, r := range o.Stalled {
		stalled[r.Tenant] = true
	}
	if n := len(stalled); n > 0 { // a tenant may be stalled in several consumers
		o.Wrong = append(o.Wrong, plural(n, "stalled tenant"))
	}
}

// why lists what could not be asked and what is wrong, each on one line. It is pure.
func (o *overview) why() string {
	lines := make([]string, 0, len(o.Problems)+len(o.Wrong))
	for _, p := range o.Problems {
		lines = append(lines, brief(p))
	}
	return strings.Join(append(lines, o.Wrong...), "\n")
}

// next is the command that tells more: a stalled tenant has its own list, everything else is doctor's. It is pure.
func (o *overview) next() string {
	switch {
	case len(o.Stalled) == 0:
		return "neuronx doctor"
	case len(o.Wrong)+len(o.Problems) > 1: // the stalled tenants are one of what is wrong
		return "neuronx stalled list, then neuronx doctor"
	}
	return "neuronx stalled list"
}

// groups asks Kafka about every consumer group of the engine.
func (c *cli) groups(ctx context.Context, o *overview) []groupRow {
	adm, err := c.admin()
	if err == nil {
		err = ping(ctx, adm)
	}
	if err != nil {
		o.Problems = append(o.Problems, err.Error())
		return nil
	}
	out := []groupRow{}
	for _, g := range kafka.Groups() {
		row := groupRow{Group: g, Members: -1, Lag: -1}
		d, err := adm.DescribeGroup(ctx, g)
		if err == nil {
			row.State, row.Members = d.State, len(d.Members)
			row.Lag, err = groupLag(ctx, adm, g)
		}
		if err != nil {
			o.Problems = append(o.Problems, fmt.Sprintf("group %s: %v", g, err))
		}
		out = append(out, row)
	}
	return out
}

// ping asks Kafka for an answer within 5 s: a request for something would be tried again for longer.
func ping(ctx context.Context, adm *admin.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return adm.Ping(ctx)
}

// groupLag is the records between a group's offsets and the ends of the
// partitions it reads. A partition without a commit counts in full.
func groupLag(ctx context.Context, adm *admin.Client, group string) (int64, error) {
	topic := kafka.TopicEvents
	if group == kafka.GroupSequencer {
		topic = kafka.TopicIngress
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, topic)
	if err != nil {
		return -1, err
	}
	starts, err := adm.StartOffsets(ctx, topic)
	if err != nil {
		return -1, err
	}
	committed, err := adm.Committed(ctx, group)
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

// tenantStates counts each tenant once, though every consumer and each of its generations has a row of it: by the worst state of any.
// A retired generation is no state of the tenant; one that no consumer has read yet is new.
const tenantStates = `SELECT state, count(*) FROM (
		SELECT t.tenant_id, CASE WHEN bool_or(p.state = 'stalled') THEN 'stalled' WHEN bool_or(p.state = 'catching-up') THEN 'catching-up'
			WHEN bool_or(p.state = 'live') THEN 'live' ELSE 'new' END AS state
		FROM (SELECT tenant_id FROM neuronx.progress UNION SELECT tenant_id FROM neuronx.tenants) t LEFT JOIN neuronx.progress p USING (tenant_id)
		GROUP BY t.tenant_id) each GROUP BY state`

// readStatus reads what Postgres knows. Each query stands alone: one part that
// is not provisioned must not hide the others.
func readStatus(ctx context.Context, pool *pgxpool.Pool, o *overview) {
	try := func(what string, err error) {
		if err != nil {
			o.Problems = append(o.Problems, what+": "+err.Error())
		}
	}
	var err error
	o.Tenants, err = counts(ctx, pool, tenantStates)
	try("progress", err)
	rows, err := pool.Query(ctx, `SELECT consumer, generation, tenant_id, sequence + 1, reason FROM neuronx.progress
		WHERE state = 'stalled' ORDER BY consumer, tenant_id, generation LIMIT 1000`)
	if err == nil {
		o.Stalled, err = pgx.CollectRows(rows, pgx.RowToStructByPos[stalledRow])
	}
	try("stalled tenants", err)
	o.Rules, err = readRules(ctx, pool)
	try("rules", err)
	o.Rebuilds, err = readRebuilds(ctx, pool)
	try("rebuilds", err)
	rows, err = pool.Query(ctx, `SELECT deriver, count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
		FROM neuronx.outbox GROUP BY deriver ORDER BY deriver`)
	if err == nil {
		o.Outbox, err = pgx.CollectRows(rows, pgx.RowToStructByPos[outboxRow])
	}
	try("outbox", err)
	o.DeadLetter, err = counts(ctx, pool, `SELECT reason, count(*) FROM neuronx.dead_letter_states WHERE state = 'open' GROUP BY reason`)
	try("dead letters", err)
	o.CRM, err = ledger.ListPaused(ctx, pool, maxPausedRows)
	try("CRM connections", err)
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
	if _, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error { out[name] = n; return nil }); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *cli) showStatus(o overview) error {
	if c.format == formatJSON {
		return c.json(o)
	}
	if err := c.showProcesses(o.Processes); err != nil {
		return err
	}
	if o.Groups == nil {
		printf(c.out, "groups:        %s\n", notKnown)
	} else if err := show(c, o.Groups, []string{"GROUP", "STATE", "MEMBERS", "LAG"}, func(g groupRow) []any {
		return []any{g.Group, dash(g.State), orUnknown(int64(g.Members)), orUnknown(g.Lag)}
	}); err != nil {
		return err
	}
	printf(c.out, "\ntenants:       %s\n", summary(o.Tenants))
	c.sayRebuilds(o.Rebuilds)
	c.sayRules(o.Rules)
	printf(c.out, "effects:       %s\n", summary(o.Effects))
	c.sayPaused(o.CRM)
	printf(c.out, "dead letters:  %s\n", strings.Replace(summary(o.DeadLetter), "none", "none open", 1))
	c.sayRefused(o.Refused)
	switch {
	case o.Outbox == nil:
		printf(c.out, "outbox:        %s\n", notKnown)
	case len(o.Outbox) == 0:
		printf(c.out, "outbox:        empty\n")
	}
	for _, r := range o.Outbox {
		c.say("outbox", fmt.Sprintf("%s %d rows, oldest %.0f s", r.Deriver, r.Rows, r.Oldest), "")
	}
	switch {
	case o.Stalled == nil:
		printf(c.out, "stalled:       %s\n", notKnown)
		return nil
	case len(o.Stalled) == 0:
		printf(c.out, "stalled:       none\n")
		return nil
	}
	printf(c.out, "\n")
	err := show(c, o.Stalled, []string{"STALLED", "GENERATION", "TENANT", "SEQUENCE", "REASON", "NEXT"}, func(r stalledRow) []any {
		return []any{r.Consumer, r.Generation, r.Tenant, r.Sequence, c.errorCell(r.Reason), r.next()}
	})
	for i := range o.Stalled {
		r := &o.Stalled[i]
		c.whole(r.Tenant+" in "+r.Consumer, brief(r.Reason), r.next())
	}
	return err
}

func (c *cli) showProcesses(rows []processRow) error {
	if rows == nil {
		printf(c.out, "processes:     %s; name their admin ports with --admin\n\n", notKnown)
		return nil
	}
	err := show(c, rows, []string{"PROCESS", "READY", "WAITS FOR"}, func(p processRow) []any {
		ready := "no"
		switch {
		case !p.Answers:
			ready = "?"
		case p.Ready:
			ready = "yes"
		}
		waits := strings.Join(p.waits(), "; ")
		if waits == "" {
			waits = c.errorCell(p.Detail)
		}
		if lost, _ := p.lost(); waits == "" && len(lost) > 0 {
			waits = "nothing now; " + strings.Join(lost, "; ")
		}
		return []any{p.URL, ready, dash(waits)}
	})
	printf(c.out, "\n")
	return err
}

// summary of nil is not known: nobody could be asked.
func summary(m map[string]int64) string {
	if m == nil {
		return notKnown
	}
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
