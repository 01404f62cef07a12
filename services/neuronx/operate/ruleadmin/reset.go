package ruleadmin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Off says why a rule is off, "" if it is on, and in words what it has missed since. A rule that is not there is an error.
func Off(ctx context.Context, env *operate.Env, tenant, rule string) (reason, missed string, err error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return "", "", err
	}
	err = pool.QueryRow(ctx, `SELECT tripped FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2`, tenant, rule).Scan(&reason)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", "", operate.Fail("read the rule's state", err)
	}
	if reason == "" {
		return "", "", checkRule(ctx, env, tenant, rule)
	}
	missed, err = missedInWords(ctx, env, tenant, rule)
	return reason, missed, err
}

// Reset turns a rule on again, and waits until the rules service has done so.
func Reset(ctx context.Context, env *operate.Env, who operate.Principal, tenant, rule, reason string) (operate.Done, error) {
	d, err := env.ActWith(ctx, tenant, func(pub *control.Publisher) (event.Event, error) {
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
	pool, err := env.Pool(ctx)
	if err != nil {
		return "", err
	}
	if b.Semantics >= 4 {
		var n int
		var first int64
		err = pool.QueryRow(ctx, `SELECT count(*), coalesce(min(sequence), 0) FROM neuronx.rule_missed WHERE tenant_id = $1 AND rule = $2`, tenant, rule).Scan(&n, &first)
		if err != nil {
			return "", operate.Fail("count what the rule missed", err)
		}
		if n == 0 {
			return "nothing that is on record", nil
		}
		return fmt.Sprintf("%s; once it is on, run it over them: neuronx rules rerun --tenant %s --since %d --rule %s", operate.Plural(n, "event"), tenant, first, rule), nil
	}
	set, _ := ruleset.CompileFor(b.Semantics, files)
	if set == nil {
		return "events that can't be counted, because the rules in force do not compile here", nil
	}
	r := set.Rule(rule)
	if r == nil {
		return "nothing that counts: it is not among the rules in force", nil
	}
	var since, n int64
	err = pool.QueryRow(ctx, `SELECT tripped_at FROM neuronx.rule_health WHERE tenant_id = $1 AND rule = $2`, tenant, rule).Scan(&since)
	if err == nil {
		n, err = archive.CountOf(ctx, pool, tenant, since, r.On...)
	}
	if err != nil {
		return "", operate.Fail("count what the rule missed", err)
	}
	return fmt.Sprintf("at most %s of %s after sequence %d, which are not on record and can't be run over", operate.Plural(int(n), "event"), strings.Join(r.On, ", "), since), nil
}
