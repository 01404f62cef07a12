package ruleadmin

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// Off says why a rule or a workflow is off, "" if it is on, and in words what it has missed since. A rule that is not there is an error.
func Off(ctx context.Context, env *operate.Env, tenant, rule string) (reason, missed string, err error) {
	if _, err := env.Row(ctx, "read the rule's state", []any{&reason}, `SELECT tripped FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2`, tenant, rule); err != nil {
		return "", "", err
	}
	if reason == "" {
		off, err := operate.Ask(ctx, env, "read which workflows are off", func(pool *pgxpool.Pool) ([]view.Off, error) { return view.Tripped(ctx, pool, tenant) })
		if err != nil {
			return "", "", err
		}
		for _, o := range off { // rules and workflows have their names from one list
			if o.Workflow == rule {
				return o.Reason, "the starts that the stream tells as workflow.rejected with reason tripped; they are not made up for", nil
			}
		}
		return "", "", checkRule(ctx, env, tenant, rule)
	}
	missed, err = missedInWords(ctx, env, tenant, rule)
	return reason, missed, err
}

// Reset turns a rule on again, and waits until the rules service has done so.
func Reset(ctx context.Context, env *operate.Env, who operate.Principal, tenant, rule, reason string) (operate.Done, error) {
	d, err := env.ActWith(ctx, who, tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Reset(ctx, pub, tenant, rule, who.Name, reason)
	})
	if err != nil {
		return d, err
	}
	return d, env.TakenBy(ctx, kafka.GroupRules, d)
}

// missedInWords says how many events a tripped rule was not evaluated on. From semantics 4 on that is on record. Before, only the types that it
// listens to can be counted, since the trip; its condition may have left some of them out.
func missedInWords(ctx context.Context, env *operate.Env, tenant, rule string) (string, error) {
	files, b, err := load(ctx, env, tenant, 0)
	if err != nil {
		return "", err
	}
	const what = "count what the rule missed"
	if b.Semantics >= 4 {
		var n int
		var first int64
		_, err := env.Row(ctx, what, []any{&n, &first}, `SELECT count(*), coalesce(min(sequence), 0) FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2`, tenant, rule)
		if err != nil {
			return "", err
		}
		if n == 0 {
			return "nothing that is on record", nil
		}
		return fmt.Sprintf("%s; once it is on, run it over them: neuronx rules rerun --tenant %s --since %d --rule %s", operate.Plural(n, "event"), tenant, first, rule), nil
	}
	set, _ := ruleset.CompileFor(b.Semantics, files, nil)
	if set == nil {
		return "events that can't be counted, because the rules in force do not compile here", nil
	}
	r := set.Rule(rule)
	if r == nil {
		return "nothing that counts: it is not among the rules in force", nil
	}
	var since int64
	found, err := env.Row(ctx, what, []any{&since}, `SELECT tripped_at FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2`, tenant, rule)
	if err == nil && !found {
		err = operate.Fail(what, nil).Because("the rule has been removed meanwhile")
	}
	if err != nil {
		return "", err
	}
	n, err := operate.Ask(ctx, env, what, func(pool *pgxpool.Pool) (int64, error) {
		return archive.CountOf(ctx, pool, tenant, since, r.On...)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("at most %s of %s after sequence %d, which are not on record and can't be run over", operate.Plural(int(n), "event"), strings.Join(r.On, ", "), since), nil
}
