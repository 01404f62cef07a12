package tenants

import (
	"context"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/projector/fold"
)

// Create makes a tenant, and waits until it can be used. name is for people, and may be empty.
func Create(ctx context.Context, env *operate.Env, who operate.Principal, id, name string) (operate.Done, error) {
	return apply(ctx, env, who, id, "tenant.created", map[string]any{"name": operate.OrNil(name)})
}

// Suspend refuses a tenant's outside events from now on, and waits until the HTTP role goes by it.
func Suspend(ctx context.Context, env *operate.Env, who operate.Principal, id, reason string) (operate.Done, error) {
	return apply(ctx, env, who, id, "tenant.suspended", map[string]any{"reason": operate.OrNil(reason)})
}

// Resume takes a suspended tenant's events again, and waits until the HTTP role goes by it.
func Resume(ctx context.Context, env *operate.Env, who operate.Principal, id, reason string) (operate.Done, error) {
	return apply(ctx, env, who, id, "tenant.resumed", map[string]any{"reason": operate.OrNil(reason)})
}

// SetLimits sets how much a tenant may send a second; 0 is the default of the HTTP endpoint.
func SetLimits(ctx context.Context, env *operate.Env, who operate.Principal, id string, l tenant.Limits, reason string) (operate.Done, error) {
	return apply(ctx, env, who, id, "tenant.limits_set", map[string]any{
		"events_per_second": l.EventsPerSecond, "bytes_per_second": l.BytesPerSecond, "reason": operate.OrNil(reason), "by": who.By(),
	})
}

// SetZone sets the time zone in which a tenant's days begin, by its IANA name.
func SetZone(ctx context.Context, env *operate.Env, who operate.Principal, id, zone, reason string) (operate.Done, error) {
	return apply(ctx, env, who, id, fold.TypeZoneSet, map[string]any{"zone": zone, "reason": operate.OrNil(reason), "by": who.By()})
}

// SetEffectsMode sets what happens to a tenant's effects of a kind, "*" for all: off, record or send.
func SetEffectsMode(ctx context.Context, env *operate.Env, who operate.Principal, id, kind, mode, reason string) (operate.Done, error) {
	return act(ctx, env, who, id, "tenant.effects_mode_set", map[string]any{"kind": kind, "mode": mode, "reason": operate.OrNil(reason), "by": who.By()})
}

// act publishes an event about a tenant and waits for the sequencer's verdict, for at most env.Timeout.
func act(ctx context.Context, env *operate.Env, who operate.Principal, id, typ string, data map[string]any) (operate.Done, error) {
	ctx, cancel := context.WithTimeout(ctx, env.Timeout)
	defer cancel()
	return env.Act(ctx, who, id, typ, "tenant/"+id, "", data)
}

// apply is act, and then waits until the tables that the HTTP role goes by have taken the event in, for at most env.Timeout again.
func apply(ctx context.Context, env *operate.Env, who operate.Principal, id, typ string, data map[string]any) (operate.Done, error) {
	d, err := act(ctx, env, who, id, typ, data)
	if err != nil {
		return d, err
	}
	return d, env.Applied(ctx, d)
}
