package subjects

import (
	"context"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Result is a verb that was taken in.
type Result struct {
	operate.Done
	Remains []string `json:"remains"` // what an unmerge does not take apart, or would not
}

// Merge makes a subject another one, and waits until the rules service has taken that in.
func Merge(ctx context.Context, env *operate.Env, who operate.Principal, tenant, from, into, reason string) (Result, error) {
	d, err := env.ActWith(ctx, who, tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Merge(ctx, pub, tenant, from, into, who.Name, reason)
	})
	if err != nil {
		return Result{Done: d}, err
	}
	if err := env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return Result{Done: d}, err
	}
	return ask(ctx, env, tenant, func(store workflows.Store) (Result, error) {
		edges, err := workflows.Edges(ctx, store, from, into)
		if err != nil {
			return Result{Done: d}, err
		}
		if e, merged := edges[from]; merged && e.Into == into {
			left, err := remains(from, e)
			return Result{Done: d, Remains: left}, err
		}
		_, code := edges.Merge(from, into, 0)
		return Result{Done: d}, refused("merged into", from, into, code)
	})
}

// Unmerge takes a merge back, and waits until the rules service has taken that in.
func Unmerge(ctx context.Context, env *operate.Env, who operate.Principal, tenant, from, into, reason string) (Result, error) {
	plan, err := Unmerging(ctx, env, tenant, from, into)
	if err != nil {
		return Result{}, err
	}
	d, err := env.ActWith(ctx, who, tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Unmerge(ctx, pub, tenant, from, into, who.Name, reason)
	})
	if err != nil {
		return Result{Done: d}, err
	}
	if err := env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return Result{Done: d}, err
	}
	return ask(ctx, env, tenant, func(store workflows.Store) (Result, error) {
		if e, merged, err := store.Alias(ctx, from); err != nil || merged && e.Into == into {
			if err == nil {
				err = refused("parted from", from, into, alias.Same)
			}
			return Result{Done: d}, err
		}
		return Result{Done: d, Remains: plan.Remains}, nil
	})
}
