package ruleadmin

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
)

// Execute asks for each rule in turn, request by request, until nothing of what was counted is left; reason is recorded. Each request has the
// time that a verb has (env.Timeout). r.Rules then says how far it came, also when it returns an error.
func (r *Rerun) Execute(ctx context.Context, env *operate.Env, who operate.Principal, reason string) error {
	for i := range r.Rules {
		if r.Rules[i].State != StateReady {
			continue
		}
		if err := r.executeOne(ctx, env, who, reason, &r.Rules[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rerun) executeOne(ctx context.Context, env *operate.Env, who operate.Principal, reason string, m *Missed) error {
	through, err := strconv.ParseInt(m.Last, 10, 64)
	if err != nil {
		return operate.Fail("read the sequence", err)
	}
	for more := true; more; {
		if more, err = r.request(ctx, env, who, reason, through, m); err != nil {
			return err
		}
	}
	return nil
}

// request publishes one request and takes in what became of it.
func (r *Rerun) request(ctx context.Context, env *operate.Env, who operate.Principal, reason string, through int64, m *Missed) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, env.Timeout)
	defer cancel()
	d, err := env.ActWith(ctx, who, r.Tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Rerun(ctx, pub, r.Tenant, m.Rule, r.From, through, who.Name, reason)
	})
	if err != nil {
		return false, err
	}
	m.Requests = append(m.Requests, d.Sequence)
	if err := env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return false, err
	}
	var refused string
	var ran, fired, failures, derived int64
	found, err := env.Row(ctx, "read what became of the request", []any{&refused, &ran, &fired, &failures, &derived},
		`SELECT refused, ran, fired, failed, derived FROM neuronx.rule_reruns WHERE tenant_id = $1 AND sequence = $2::bigint`, r.Tenant, d.Sequence)
	if err == nil && !found {
		err = operate.Fail("read what became of the request", pgx.ErrNoRows)
	}
	if err != nil {
		return false, err
	}
	m.Ran, m.Fired, m.Failed, m.Derived = m.Ran+ran, m.Fired+fired, m.Failed+failures, m.Derived+derived
	if refused != "" { // it tripped again, or was taken away, since it was looked at
		m.State = refused
	}
	return refused == "" && ran > 0 && m.Ran < m.Missed, nil
}

// Remaining is an error when something of what was counted is still missed. What another request ran over meanwhile is not.
func (r *Rerun) Remaining(ctx context.Context, env *operate.Env) error {
	for _, m := range r.Rules {
		if m.Ran >= m.Missed {
			continue
		}
		left, err := stillMissed(ctx, env, r.Tenant, r.From, m)
		if err != nil {
			return err
		}
		if left > 0 {
			return operate.Partial("%s of rule %s still missed", operate.Plural(left, "event"), m.Rule).Because("the rule is %s", m.State).
				Hint("`neuronx rules rerun --tenant %s --since %s` shows them", r.Tenant, m.First)
		}
		env.Note("the other %s of rule %s were run over by another request meanwhile", operate.Plural(int(m.Missed-m.Ran), "event"), m.Rule)
	}
	return nil
}

// stillMissed counts what is left of what was counted: another request may have run over the same events.
func stillMissed(ctx context.Context, env *operate.Env, tenant string, from int64, m Missed) (left int, err error) {
	_, err = env.Row(ctx, "count what is still missed", []any{&left}, `SELECT count(*) FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2 AND sequence BETWEEN $3 AND $4::bigint`,
		tenant, m.Rule, from, m.Last)
	return left, err
}
