package ruleadmin

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Missed is what a rule missed, and what running it over that would give (Foresee) or gave (Execute).
type Missed struct {
	Tenant   string          `json:"tenant_id"`
	Rule     string          `json:"rule"`
	State    string          `json:"state"`          // StateReady, rules.RerunOff (reset it first) or rules.RerunNotInForce
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

// StateReady: the rule is in force and on.
const StateReady = "ready"

// maxRules bounds the rules of one rerun.
const maxRules = 1_000

// Rerun is one tenant's rules to be run over what they missed.
type Rerun struct {
	Tenant  string
	From    int64    // the first sequence that counts
	Version int64    // of the rules in force, in whose text they run
	Rules   []Missed // by name
}

// PlanRerun counts from the record what a tenant's rules missed since a time (RFC 3339) or a sequence; only names one rule, "" means all. Nothing
// is run.
func PlanRerun(ctx context.Context, env *operate.Env, tenant, since, only string) (*Rerun, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	from, err := sequenceSince(ctx, pool, tenant, since)
	if err != nil {
		return nil, err
	}
	files, inForce, err := load(ctx, env, tenant, 0)
	if err != nil {
		return nil, err
	}
	r := &Rerun{Tenant: tenant, From: from, Version: inForce.Version}
	if r.Rules, err = missed(ctx, env, tenant, only, from, operate.Each(files, ruleset.RuleName)); err != nil {
		return nil, err
	}
	if len(r.Rules) == 0 && only != "" {
		if err := checkRule(ctx, env, tenant, only); err != nil {
			return nil, err
		}
	}
	return r, noteRecordBegins(ctx, env, tenant, from)
}

// sequenceSince reads a sequence, or finds the first one that was recorded at a time or later; beyond all when there is none.
func sequenceSince(ctx context.Context, pool *pgxpool.Pool, tenant, text string) (int64, error) {
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
	first, ok, err := archive.FirstSince(ctx, pool, tenant, at)
	if err != nil {
		return 0, operate.Fail("find the sequence of that time", err)
	}
	if !ok {
		return math.MaxInt64, nil
	}
	return first, nil
}

// missed counts from the record what rules missed from a sequence on.
func missed(ctx context.Context, env *operate.Env, tenant, only string, from int64, inForce []string) ([]Missed, error) {
	scan := func(row pgx.CollectableRow) (Missed, error) {
		m := Missed{Tenant: tenant, State: StateReady, Requests: []string{}}
		var off string
		err := row.Scan(&m.Rule, &m.Missed, &m.First, &m.Last, &m.Oldest, &m.Newest, &off)
		switch {
		case !slices.Contains(inForce, m.Rule):
			m.State = rules.RerunNotInForce
		case off != "":
			m.State = rules.RerunOff
		}
		if m.Oldest.Unix() == 0 { // not archived yet
			m.Oldest, m.Newest = time.Time{}, time.Time{}
		}
		return m, err
	}
	return operate.Rows(ctx, env, "count what rules missed", scan, `SELECT m.rule, count(*), min(m.sequence)::text, max(m.sequence)::text, coalesce(min(e.recorded_at), 'epoch'), coalesce(max(e.recorded_at), 'epoch'),
			coalesce((SELECT h.tripped FROM neuronx.rule_health h WHERE h.tenant_id = $1 AND h.rule = m.rule), '')
		FROM neuronx.rule_missed m LEFT JOIN `+archive.EventsOf("$1")+` e ON e.sequence = m.sequence
		WHERE m.tenant_id = $1 AND m.sequence >= $2 AND ($3 = '' OR m.rule = $3) GROUP BY m.rule ORDER BY m.rule LIMIT $4`, tenant, from, only, maxRules)
}

// noteRecordBegins says where the record of what rules miss begins, when more is asked for. Nothing is guessed about what lies before.
func noteRecordBegins(ctx context.Context, env *operate.Env, tenant string, from int64) error {
	var begins int64
	var before bool
	_, err := env.Row(ctx, "read since when misses are recorded", []any{&begins, &before}, `SELECT coalesce(min(sequence) FILTER (WHERE semantics >= 4), 0), count(*) FILTER (WHERE semantics < 4) > 0
		FROM neuronx.rule_bundles WHERE tenant_id = $1`, tenant)
	switch {
	case err != nil:
		return err
	case before && begins == 0:
		env.Note("what rules of %s miss is not on record: their semantics are older than 4; publish the same files again", tenant)
	case before && from < begins:
		env.Note("what rules of %s missed before sequence %d is not on record: their semantics were older than 4", tenant, begins)
	}
	return nil
}

// Foresee finds out what each rule that is ready would derive. That it can't is noted, and no reason to keep quiet about the rest.
func (r *Rerun) Foresee(ctx context.Context, env *operate.Env) {
	for i := range r.Rules {
		m := &r.Rules[i]
		if m.State != StateReady {
			continue
		}
		seen, err := foresee(ctx, env, m, r.From)
		if err != nil {
			env.Note("what rule %s would derive can't be told: %v", m.Rule, err)
			continue
		}
		m.Foreseen = &seen
		for _, d := range seen.Events {
			if strings.HasPrefix(d.Type, "crm.") && crm.Reaches(d.Origin) {
				m.Reaches += d.Events
			}
		}
	}
}

func foresee(ctx context.Context, env *operate.Env, m *Missed, from int64) (rules.Foreseen, error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return rules.Foreseen{}, err
	}
	reg, err := env.Registry()
	if err != nil {
		return rules.Foreseen{}, err
	}
	last, err := strconv.ParseInt(m.Last, 10, 64)
	if err != nil {
		return rules.Foreseen{}, err
	}
	return rules.Foresee(ctx, pool, reg, m.Tenant, m.Rule, from, last)
}
