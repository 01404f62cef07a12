package effects

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Effect is one command to the CRM, and what became of it.
type Effect struct {
	Tenant    string     `json:"tenant_id"`
	ID        string     `json:"effect_id"` // the command event's id
	Sequence  int64      `json:"command_sequence"`
	Kind      string     `json:"kind"`
	Class     string     `json:"class"`
	Subject   string     `json:"subject"`
	Status    string     `json:"status"`
	Attempts  int        `json:"attempts"`
	Code      string     `json:"code,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	RemoteID  string     `json:"remote_id,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Updated   time.Time  `json:"updated_at"`

	resolutions int // how often a person decided
}

// What a person may decide of an effect.
const (
	Done   = "done"   // it was carried out
	Failed = "failed" // it was not, and shall not be
	Resend = "resend" // it was not, and shall be sent again
)

// List returns the effects that a filter chooses.
func List(ctx context.Context, env *operate.Env, f ledger.Filter) ([]Effect, error) {
	found, err := operate.Ask(ctx, env, "list effects", func(pool *pgxpool.Pool) ([]ledger.Effect, error) { return ledger.List(ctx, pool, f) })
	if err != nil {
		return nil, err
	}
	effects := make([]Effect, len(found))
	for i, e := range found {
		effects[i] = Effect{
			Tenant: e.TenantID, ID: e.ID, Sequence: e.Sequence, Kind: e.Kind, Class: string(e.Class), Subject: e.Subject,
			Status: string(e.Status), Attempts: e.Attempts, Code: e.Code, LastError: e.LastError, RemoteID: e.RemoteID, Updated: e.UpdatedAt, resolutions: e.Resolutions,
		}
		if !e.NotAfter.IsZero() {
			effects[i].NotAfter = &found[i].NotAfter
		}
	}
	return effects, nil
}

// Resolvable returns an effect that a person may decide as Done, Failed or Resend. What is still on its way decides itself: a decision now
// could send it twice.
func Resolvable(ctx context.Context, env *operate.Env, tenant, id, as string) (Effect, error) {
	found, err := List(ctx, env, ledger.Filter{Tenant: tenant, EffectID: id})
	if err != nil {
		return Effect{}, err
	}
	if len(found) == 0 {
		return Effect{}, noEffect(ctx, env, tenant, id)
	}
	e := found[0]
	if !slices.Contains([]string{"unknown", "failed", "recorded"}, e.Status) {
		return e, operate.Unsafe("effect %s is %s", e.ID, e.Status).Because("only unknown, failed and recorded effects wait for a person")
	}
	if as == Resend && e.Code == crm.CodeOrigin {
		return e, operate.Unsafe("effect %s is not sent", e.ID).Because("%s", e.LastError).
			Hint("publish a live event about %s, if it is to reach the CRM", e.Subject)
	}
	return e, nil
}

// Resolve decides an effect that Resolvable returned, and waits until the adapter goes by it. remoteID is the object's id in the CRM; it and
// reason may be empty.
func Resolve(ctx context.Context, env *operate.Env, who operate.Principal, e Effect, as, remoteID, reason string) (operate.Done, error) {
	d, err := env.Act(ctx, who, e.Tenant, "engine.effect.resolved", "effect/"+e.ID, "", map[string]any{
		"effect_id": e.ID, "resolution": as, "remote_id": operate.OrNil(remoteID), "by": who.By(), "reason": operate.OrNil(reason),
	})
	if err != nil {
		return d, err
	}
	if err := env.TakenBy(ctx, kafka.GroupGoHighLevel, d); err != nil {
		return d, err
	}
	now, err := List(ctx, env, ledger.Filter{Tenant: e.Tenant, EffectID: e.ID})
	if err != nil {
		return d, err
	}
	if len(now) == 0 || now[0].resolutions == e.resolutions { // it changed between the look and the decision
		return d, unresolved(d, now)
	}
	return d, nil
}

// unresolved is the error about a decision that is recorded and changed nothing.
func unresolved(d operate.Done, now []Effect) error {
	status := "gone"
	if len(now) > 0 {
		status = now[0].Status
	}
	return operate.Partial("the decision is recorded as sequence %s and changed nothing", d.Sequence).Because("by then the effect was %s", status).
		Hint("`neuronx effects list --tenant %s` shows it", d.Tenant)
}

// noEffect is the error about an effect that is not there, with one that is like it.
func noEffect(ctx context.Context, env *operate.Env, tenant, id string) error {
	found, err := List(ctx, env, ledger.Filter{Tenant: tenant, Limit: 1000})
	if err != nil {
		return err
	}
	ids := operate.Each(found, func(e Effect) string { return e.ID })
	return operate.Unknown("effect of "+tenant, id, ids, "`neuronx effects list --tenant "+tenant+"`")
}
