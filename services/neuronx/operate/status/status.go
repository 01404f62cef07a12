package status

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/projector"
)

// Overview is how the parts of an engine do. What is nil could not be asked, which is something else than empty.
type Overview struct {
	Processes  []Process           `json:"processes"` // nil: no admin port is known
	Groups     []Group             `json:"groups"`
	Tenants    map[string]int64    `json:"tenants"` // each once, by the worst state that a consumer has it in
	Stalled    []Stalled           `json:"stalled"`
	Rules      []RuleTrouble       `json:"rules"`     // a rule of each tenant whose rules are off or were cut
	Workflows  []WorkflowTrouble   `json:"workflows"` // with incidents or overdue timers, or that are off
	Rebuilds   []projector.Rebuild `json:"rebuilds"`
	Outbox     []Outbox            `json:"outbox"`
	Effects    map[string]int64    `json:"effects"`
	CRM        []ledger.Paused     `json:"crm_refused"`  // tenants that wait because their CRM refuses them or does not answer
	Pauses     []ledger.Pause      `json:"pauses"`       // of effects, by operators
	DeadLetter map[string]int64    `json:"dead_letters"` // open ones, by reason
	Refused    []Refused           `json:"refused"`      // by the HTTP roles whose admin ports are known
	Problems   []string            `json:"problems"`     // parts that could not be asked
	Wrong      []string            `json:"wrong"`        // what a person should look at
}

// Stalled is a tenant that a consumer set aside.
type Stalled struct {
	Consumer   string `json:"consumer"`
	Generation int64  `json:"generation"`
	Tenant     string `json:"tenant_id"`
	Sequence   int64  `json:"sequence"` // of the event that it is stalled at, as `stalled list` shows it and `stalled skip` takes it
	Reason     string `json:"reason"`
}

// Next is the command that ends the stall once its reason is gone.
func (r *Stalled) Next() string {
	group, feed := consumer.SplitName(r.Consumer)
	next := "neuronx stalled retry --consumer " + strings.TrimPrefix(group, "neuronx.")
	if feed != consumer.FeedMain {
		next += " --feed " + feed
	}
	return next + " --tenant " + r.Tenant
}

// Outbox is what a deriver's outboxes hold, all tenants together.
type Outbox struct {
	Deriver string  `json:"deriver"`
	Rows    int64   `json:"rows"`
	Oldest  float64 `json:"oldest_seconds"`
}

const (
	// partLimit bounds what one part of the engine may take to answer, so that one that is away leaves time for the others.
	partLimit = 10 * time.Second
	// maxStalled bounds the stalled tenants that are named; a defect in a consumer may stall every tenant.
	maxStalled = 1000
)

// Read asks every part of the engine; admin are the processes' admin ports, by default dev's. The error says that nothing of the engine
// runs or is configured. What could not be asked, and what is wrong, is in the Overview; see Err.
func Read(ctx context.Context, env *operate.Env, admin []string) (Overview, error) {
	o := Overview{Problems: []string{}, Wrong: []string{}}
	urls := AdminURLs(env, admin)
	if err := env.NeedEngine(urls); err != nil {
		return o, err
	}
	part := func(read func(ctx context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, min(env.Timeout, partLimit))
		defer cancel()
		read(ctx)
	}
	part(func(ctx context.Context) {
		if len(urls) > 0 {
			o.Processes = Processes(ctx, env.HTTP, urls)
			o.Refused = refused(ctx, env.HTTP, urls)
		}
	})
	part(func(ctx context.Context) { o.readGroups(ctx, env) })
	part(func(ctx context.Context) {
		if pool, err := env.Pool(ctx); err != nil {
			o.Problems = append(o.Problems, err.Error())
		} else {
			o.readTables(ctx, pool)
		}
	})
	o.judge()
	return o, nil
}

// Err is nil if all was asked and nothing is wrong.
func (o *Overview) Err() error {
	switch {
	case len(o.Problems) > 0:
		return operate.Partial("a part of the engine could not be asked").Because("%s", o.why()).Hint("%s", o.next())
	case len(o.Wrong) > 0:
		return (&operate.Error{Kind: operate.KindFailed, What: "something is wrong"}).Because("%s", o.why()).Hint("%s", o.next())
	}
	return nil
}

// judge lists what is wrong. It is pure.
func (o *Overview) judge() {
	for i := range o.Processes {
		p := &o.Processes[i]
		switch waits := p.Waits(); {
		case !p.Answers:
			o.Wrong = append(o.Wrong, p.URL+" does not answer: "+operate.Brief(p.Detail))
		case len(waits) > 0:
			o.Wrong = append(o.Wrong, p.URL+" waits: "+strings.Join(waits, "; "))
		case !p.Ready:
			o.Wrong = append(o.Wrong, p.URL+" is not ready: "+operate.Brief(p.Detail))
		default:
			if lost, flapping := p.Lost(); flapping {
				o.Wrong = append(o.Wrong, p.URL+" is ready, but not for long: "+strings.Join(lost, "; "))
			}
		}
	}
	for _, g := range o.Groups {
		if g.Members == 0 && g.Lag != 0 {
			o.Wrong = append(o.Wrong, fmt.Sprintf("nobody reads as %s", g.Group))
		}
	}
	o.Wrong = append(o.Wrong, pausedWrong(o.CRM)...)
	overdue := int64(0)
	for i := range o.Workflows {
		overdue += o.Workflows[i].Overdue
	}
	if overdue > 0 {
		o.Wrong = append(o.Wrong, operate.Plural(int(overdue), "timer")+" of workflows not fired in time")
	}
	stalled := map[string]bool{}
	for _, r := range o.Stalled {
		stalled[r.Tenant] = true
	}
	if n := len(stalled); n > 0 { // a tenant may be stalled in several consumers
		o.Wrong = append(o.Wrong, operate.Plural(n, "stalled tenant"))
	}
}

// why lists what could not be asked and what is wrong, each on one line. It is pure.
func (o *Overview) why() string {
	lines := make([]string, 0, len(o.Problems)+len(o.Wrong))
	for _, p := range o.Problems {
		lines = append(lines, operate.Brief(p))
	}
	return strings.Join(append(lines, o.Wrong...), "\n")
}

// next is the command that tells more: a stalled tenant has its own list, everything else is doctor's. It is pure.
func (o *Overview) next() string {
	switch {
	case len(o.Stalled) == 0:
		return "neuronx doctor"
	case len(o.Wrong)+len(o.Problems) > 1: // the stalled tenants are one of what is wrong
		return "neuronx stalled list, then neuronx doctor"
	}
	return "neuronx stalled list"
}

// readTables reads what Postgres knows. Each query stands alone: one part that is not provisioned must not hide the others.
func (o *Overview) readTables(ctx context.Context, pool *pgxpool.Pool) {
	try := func(what string, err error) {
		if err != nil {
			o.Problems = append(o.Problems, what+": "+err.Error())
		}
	}
	var err error
	o.Tenants, err = consumer.TenantStates(ctx, pool)
	try("progress", err)
	o.Stalled, err = readStalled(ctx, pool)
	try("stalled tenants", err)
	o.Rules, err = Rules(ctx, pool)
	try("rules", err)
	o.Workflows, _, err = Workflows(ctx, pool)
	try("workflows", err)
	o.Rebuilds, err = projector.Rebuilds(ctx, pool)
	try("rebuilds", err)
	o.Outbox, err = readOutboxes(ctx, pool)
	try("outbox", err)
	o.DeadLetter, err = counts(ctx, pool, `SELECT reason, count(*) FROM neuronx.dead_letter_states WHERE state = 'open' GROUP BY reason`)
	try("dead letters", err)
	o.CRM, err = ledger.ListPaused(ctx, pool, MaxPaused)
	try("CRM connections", err)
	o.Pauses, err = ledger.ListPauses(ctx, pool, MaxPaused)
	try("paused effects", err)
	effects, err := ledger.Counts(ctx, pool, "")
	try("effects", err)
	if err == nil {
		o.Effects = map[string]int64{}
		for status, n := range effects {
			o.Effects[string(status)] = n
		}
	}
}

func readStalled(ctx context.Context, pool *pgxpool.Pool) ([]Stalled, error) {
	rows, _, err := consumer.StalledRows(ctx, pool, maxStalled)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rows, func(a, b consumer.Row) int { return strings.Compare(a.Consumer, b.Consumer) })
	return operate.Each(rows, func(r consumer.Row) Stalled {
		return Stalled{r.Consumer, r.Generation, r.TenantID, r.Sequence + 1, r.Reason}
	}), nil
}

func readOutboxes(ctx context.Context, pool *pgxpool.Pool) ([]Outbox, error) {
	waiting, err := outbox.AllWaiting(ctx, pool)
	if err != nil {
		return nil, err
	}
	return operate.Each(waiting, func(w outbox.Waiting) Outbox { return Outbox(w) }), nil
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
