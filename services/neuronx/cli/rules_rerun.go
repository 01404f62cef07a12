package cli

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// rerunRow is what a rule missed, and what running it over that gives or gave.
type rerunRow struct {
	Tenant   string          `json:"tenant_id"`
	Rule     string          `json:"rule"`
	State    string          `json:"state"`          // ready, off (reset it first) or not_in_force
	Missed   int64           `json:"missed"`         // events, as recorded
	First    string          `json:"first_sequence"` // of them; strings: they pass 2^53
	Last     string          `json:"last_sequence"`
	Oldest   time.Time       `json:"oldest,omitzero"` // when the first of them was recorded
	Newest   time.Time       `json:"newest,omitzero"`
	Foreseen *rules.Foreseen `json:"foreseen,omitempty"` // of a dry run; absent: it could not be told
	Reaches  int             `json:"reaches"`            // commands among them that would be sent to the CRM, where its mode is send

	Ran      int64    `json:"ran"`
	Fired    int64    `json:"fired"`
	Failed   int64    `json:"failed"`
	Derived  int64    `json:"derived"`
	Requests []string `json:"requests"` // sequences of the events that asked for it
}

const (
	stateReady = "ready"
	maxRerun   = 1_000 // rules
)

// rerunFlags are the flags of `rules rerun`.
type rerunFlags struct {
	tenant, since, rule, by, reason string
	execute                         bool
}

func (c *cli) rulesRerun() *cobra.Command {
	var f rerunFlags
	cmd := &cobra.Command{
		Use: "rerun", Short: "Run rules over the events that they missed while they were off, once each", Args: noArgs,
		Long: `Run rules over the events that they missed while they were off, once each. The dry run
counts them from the record, and says how old they are and what the rules would derive.

A rule runs in the text that is in force now, with the state that its subjects have now.
What it derives has the missed event as its cause, and so the event's time and origin: of
an import nobody is contacted, of a live event they are, however old it is. What was run
over is missed no longer: the same command again does nothing. A rule that is off is left
out; neuronx rules reset turns it on.`,
		Example: "  neuronx rules rerun --tenant acme --since 2026-01-31T22:00:00Z\n  neuronx rules rerun --tenant acme --since 4711 --rule qualify --execute",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("tenant", f.tenant); err != nil {
				return err
			}
			if err := required("since", f.since); err != nil {
				return err
			}
			return c.rerun(cmd, f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.since, "since", "", "what was recorded at this time or later, RFC 3339, or a sequence: from there on")
	fs.StringVar(&f.rule, "rule", "", "only this rule")
	fs.StringVar(&f.by, "by", "", "who, for the record")
	fs.StringVar(&f.reason, "reason", "", "why, for the record")
	fs.BoolVar(&f.execute, "execute", false, "do it")
	return cmd
}

func (c *cli) rerun(cmd *cobra.Command, f rerunFlags) error {
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	from, err := sequenceSince(ctx, pool, f.tenant, f.since)
	if err != nil {
		return err
	}
	files, inForce, err := c.bundleFiles(ctx, f.tenant, 0)
	if err != nil {
		return err
	}
	rows, err := missedRules(ctx, pool, f, from, files)
	if err != nil {
		return err
	}
	if len(rows) == 0 && f.rule != "" {
		if err := c.ruleInForce(ctx, f.tenant, f.rule); err != nil {
			return err
		}
	}
	if err := c.sayRecordBegins(ctx, pool, f.tenant, from); err != nil {
		return err
	}
	if f.execute {
		return c.executeRerun(cmd, pool, f, from, rows)
	}
	for i := range rows {
		c.foresee(ctx, pool, &rows[i], from)
	}
	if err := show(c, rows, []string{"RULE", "MISSED", "STATE", "OLDEST", "WOULD DERIVE", "NEWEST", "FROM", "THROUGH"}, func(r rerunRow) []any {
		return []any{r.Rule, r.Missed, r.State, stamp(r.Oldest), r.wouldDerive(), stamp(r.Newest), r.First, r.Last}
	}); err != nil {
		return err
	}
	if len(rows) > 0 {
		c.note("rules run in the text of version %d, which is in force; what they derive has the time of its cause", inForce.Version)
	}
	for _, r := range rows {
		c.sayRerun(r)
	}
	c.dryRun()
	return nil
}

// sequenceSince reads a sequence, or finds the first one that was recorded at a time or later; beyond all when there is none.
func sequenceSince(ctx context.Context, pool *pgxpool.Pool, tenantID, text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 1 {
			return 0, operate.Usage("--since %s is not a sequence", text).Hint("sequences begin at 1")
		}
		return n, nil
	}
	at, refusal := event.ParseTime(text)
	if refusal != nil {
		return 0, operate.Usage("--since %q is neither a time nor a sequence", text).Hint("such as 2026-01-31T12:00:00Z, or 4711")
	}
	var first int64
	err := pool.QueryRow(ctx, `SELECT coalesce(min(sequence), $3) FROM neuronx.tenant_events WHERE tenant_id = $1 AND recorded_at >= $2`, tenantID, at, int64(math.MaxInt64)).Scan(&first)
	if err != nil {
		return 0, operate.Fail("find the sequence of that time", err)
	}
	return first, nil
}

// missedRules counts from the record what rules missed from a sequence on.
func missedRules(ctx context.Context, pool *pgxpool.Pool, f rerunFlags, from int64, files []ruleset.File) ([]rerunRow, error) {
	found, err := pool.Query(ctx, `SELECT m.rule, count(*), min(m.sequence)::text, max(m.sequence)::text, coalesce(min(e.recorded_at), 'epoch'), coalesce(max(e.recorded_at), 'epoch'),
			coalesce((SELECT h.tripped FROM neuronx.rule_health h WHERE h.tenant_id = $1 AND h.rule = m.rule), '')
		FROM neuronx.rule_missed m LEFT JOIN neuronx.tenant_events e ON e.tenant_id = $1 AND e.sequence = m.sequence
		WHERE m.tenant_id = $1 AND m.sequence >= $2 AND ($3 = '' OR m.rule = $3) GROUP BY m.rule ORDER BY m.rule LIMIT $4`, f.tenant, from, f.rule, maxRerun)
	if err != nil {
		return nil, operate.Fail("count what rules missed", err)
	}
	names := map[string]bool{}
	for _, file := range files {
		names[ruleset.RuleName(file)] = true
	}
	rows, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (rerunRow, error) {
		r := rerunRow{Tenant: f.tenant, State: stateReady, Requests: []string{}}
		var off string
		err := row.Scan(&r.Rule, &r.Missed, &r.First, &r.Last, &r.Oldest, &r.Newest, &off)
		switch {
		case !names[r.Rule]:
			r.State = rules.RerunNotInForce
		case off != "":
			r.State = rules.RerunOff
		}
		if r.Oldest.Unix() == 0 { // not archived yet
			r.Oldest, r.Newest = time.Time{}, time.Time{}
		}
		return r, err
	})
	if err != nil {
		return nil, operate.Fail("count what rules missed", err)
	}
	return rows, nil
}

// sayRecordBegins says where the record of what rules miss begins, when more is asked for. Nothing is guessed about what lies before.
func (c *cli) sayRecordBegins(ctx context.Context, pool *pgxpool.Pool, tenantID string, from int64) error {
	var begins int64
	var before bool
	err := pool.QueryRow(ctx, `SELECT coalesce(min(sequence) FILTER (WHERE semantics >= 4), 0), count(*) FILTER (WHERE semantics < 4) > 0
		FROM neuronx.rule_bundles WHERE tenant_id = $1`, tenantID).Scan(&begins, &before)
	switch {
	case err != nil:
		return operate.Fail("read since when misses are recorded", err)
	case before && begins == 0:
		c.note("what rules of %s miss is not on record: their semantics are older than 4; publish the same files again", tenantID)
	case before && from < begins:
		c.note("what rules of %s missed before sequence %d is not on record: their semantics were older than 4", tenantID, begins)
	}
	return nil
}

// foresee finds out what a rule would derive. That it can't is said, and no reason to keep quiet about the rest.
func (c *cli) foresee(ctx context.Context, pool *pgxpool.Pool, r *rerunRow, from int64) {
	if r.State != stateReady {
		return
	}
	reg, err := c.env.Registry()
	if err == nil {
		var last int64
		if last, err = strconv.ParseInt(r.Last, 10, 64); err == nil {
			var seen rules.Foreseen
			if seen, err = rules.Foresee(ctx, pool, reg, r.Tenant, r.Rule, from, last); err == nil {
				r.Foreseen = &seen
			}
		}
	}
	if err != nil {
		c.note("what rule %s would derive can't be told: %v", r.Rule, err)
		return
	}
	for _, d := range r.Foreseen.Events {
		if strings.HasPrefix(d.Type, "crm.") && effect.Reaches(d.Origin) {
			r.Reaches += d.Events
		}
	}
}

// wouldDerive is what is foreseen, as a cell.
func (r *rerunRow) wouldDerive() string {
	if r.Foreseen == nil {
		return "-"
	}
	if len(r.Foreseen.Events) == 0 {
		return "nothing"
	}
	parts := make([]string, len(r.Foreseen.Events))
	for i, d := range r.Foreseen.Events {
		parts[i] = fmt.Sprintf("%d %s", d.Events, d.Type)
		if d.Origin != event.OriginLive {
			parts[i] += " (" + string(d.Origin) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// sayRerun says what a table has no room for.
func (c *cli) sayRerun(r rerunRow) {
	switch {
	case r.State == rules.RerunOff:
		c.note("rule %s is off and would be left out: neuronx rules reset %s --tenant %s", r.Rule, r.Rule, r.Tenant)
	case r.State == rules.RerunNotInForce:
		c.note("rule %s is not in force and would be left out", r.Rule)
	case r.Foreseen == nil:
	case r.Foreseen.Trips:
		c.note("rule %s would trip again after %s; mend it first", r.Rule, operate.Plural(r.Foreseen.Ran, "event"))
	case int64(r.Foreseen.Ran) < r.Missed:
		c.note("of rule %s, %s of %d were evaluated for this", r.Rule, operate.Plural(r.Foreseen.Ran, "event"), r.Missed)
	}
	if r.Foreseen != nil && r.Foreseen.Failed > 0 {
		c.note("rule %s would fail on %s", r.Rule, operate.Plural(r.Foreseen.Failed, "event"))
	}
	if r.Reaches > 0 {
		c.note("PEOPLE: %s of rule %s would go to the CRM, as the tenant's mode has it, about events since %s (%s ago); what other rules answer comes on top",
			operate.Plural(r.Reaches, "command"), r.Rule, stamp(r.Oldest), time.Since(r.Oldest).Round(time.Second))
	}
}

// executeRerun asks for each rule in turn, request by request, until nothing of what was missed is left.
func (c *cli) executeRerun(cmd *cobra.Command, pool *pgxpool.Pool, f rerunFlags, from int64, rows []rerunRow) error {
	var undone error
	for i := range rows {
		r := &rows[i]
		if r.State != stateReady {
			continue
		}
		if undone = c.rerunOne(cmd, pool, f, from, r); undone != nil {
			break
		}
	}
	if err := show(c, rows, []string{"RULE", "MISSED", "RAN", "FIRED", "DERIVED", "FAILED", "STATE", "REQUESTS"}, func(r rerunRow) []any {
		return []any{r.Rule, r.Missed, r.Ran, r.Fired, r.Derived, r.Failed, r.State, dash(join(r.Requests))}
	}); err != nil {
		return err
	}
	if undone != nil {
		return undone
	}
	for _, r := range rows {
		if r.Ran >= r.Missed {
			continue
		}
		left, err := stillMissed(cmd.Context(), pool, f.tenant, from, r)
		if err != nil {
			return err
		}
		if left > 0 {
			return operate.Partial("%s of rule %s still missed", operate.Plural(left, "event"), r.Rule).Because("the rule is %s", r.State).
				Hint("`neuronx rules rerun --tenant %s --since %s` shows them", f.tenant, r.First)
		}
		c.note("the other %s of rule %s were run over by another request meanwhile", operate.Plural(int(r.Missed-r.Ran), "event"), r.Rule)
	}
	return nil
}

// stillMissed counts what is left of what a row counted: another request may have run over the same events.
func stillMissed(ctx context.Context, pool *pgxpool.Pool, tenantID string, from int64, r rerunRow) (left int, err error) {
	err = pool.QueryRow(ctx, `SELECT count(*) FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2 AND sequence BETWEEN $3 AND $4::bigint`,
		tenantID, r.Rule, from, r.Last).Scan(&left)
	if err != nil {
		return 0, operate.Fail("count what is still missed", err)
	}
	return left, nil
}

// rerunOne runs one rule over what it has missed by now. Each request has the time that a verb has.
func (c *cli) rerunOne(cmd *cobra.Command, pool *pgxpool.Pool, f rerunFlags, from int64, r *rerunRow) error {
	through, err := strconv.ParseInt(r.Last, 10, 64)
	if err != nil {
		return operate.Fail("read the sequence", err)
	}
	for more := true; more; {
		if more, err = c.rerunRequest(cmd, pool, f, from, through, r); err != nil {
			return err
		}
	}
	return nil
}

// rerunRequest publishes one request and takes in what became of it.
func (c *cli) rerunRequest(cmd *cobra.Command, pool *pgxpool.Pool, f rerunFlags, from, through int64, r *rerunRow) (more bool, err error) {
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	d, err := c.env.ActWith(ctx, f.tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Rerun(ctx, pub, f.tenant, r.Rule, from, through, f.by, f.reason)
	})
	if err != nil {
		return false, err
	}
	r.Requests = append(r.Requests, d.Sequence)
	if err := c.env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return false, err
	}
	var refused string
	var ran, fired, failures, derived int64
	err = pool.QueryRow(ctx, `SELECT refused, ran, fired, failed, derived FROM neuronx.rule_reruns WHERE tenant_id = $1 AND sequence = $2::bigint`, f.tenant, d.Sequence).
		Scan(&refused, &ran, &fired, &failures, &derived)
	if err != nil {
		return false, operate.Fail("read what became of the request", err)
	}
	r.Ran, r.Fired, r.Failed, r.Derived = r.Ran+ran, r.Fired+fired, r.Failed+failures, r.Derived+derived
	if refused != "" { // it tripped again, or was taken away, since it was looked at
		r.State = refused
	}
	return refused == "" && ran > 0 && r.Ran < r.Missed, nil
}
