package gohighlevel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

// Effect is a row of the ledger.
type Effect = ledger.Effect

// Filter narrows List.
type Filter = ledger.Filter

// List reads effects for the CLI, by tenant and command; the pool's role is neuronx_ops.
func List(ctx context.Context, q ledger.Querier, f Filter) ([]Effect, error) {
	return ledger.List(ctx, q, f)
}

// Resolution is a person's decision about an effect.
type Resolution string

// The resolutions.
const (
	ResolveDone   Resolution = "done"   // it was carried out
	ResolveFailed Resolution = "failed" // it was not, and shall not be
	ResolveResend Resolution = "resend" // it was not, and shall be: carried out once more
)

// ErrNotResolvable says that the effect's status does not allow the resolution.
var ErrNotResolvable = errors.New("the effect can't be resolved this way")

// CanResolve reports whether an effect of a status takes a resolution. Done is final; what is being sent has to end first.
func CanResolve(s effect.Status, r Resolution) bool {
	switch r {
	case ResolveDone:
		return s != effect.Done && s != effect.Sending
	case ResolveFailed:
		return s != effect.Done && s != effect.Failed && s != effect.Sending
	case ResolveResend:
		return s == effect.Unknown || s == effect.Failed || s == effect.Recorded || s == effect.Off
	}
	return false
}

// Publisher publishes an event signed by the engine. *control.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...control.Option) (event.Event, error)
}

// Decision is what Resolve publishes.
type Decision struct {
	Tenant     string
	EffectID   string
	Resolution Resolution
	RemoteID   string // of done: the id in the CRM, if known
	By, Reason string
}

// CheckDecision looks the effect up and tells whether the decision would take.
func CheckDecision(ctx context.Context, q ledger.Querier, d Decision) (Effect, error) {
	e, found, err := ledger.Get(ctx, q, d.Tenant, d.EffectID, false)
	switch {
	case err != nil:
		return e, err
	case !found:
		return e, fmt.Errorf("effect %s of tenant %s: %w: it is not in the ledger", d.EffectID, d.Tenant, ErrNotResolvable)
	case !CanResolve(e.Status, d.Resolution):
		return e, fmt.Errorf("effect %s is %s: %w as %s", d.EffectID, e.Status, ErrNotResolvable, d.Resolution)
	}
	return e, nil
}

// Resolve publishes a decision. The adapter applies it when it reads it in the log.
func Resolve(ctx context.Context, p Publisher, d Decision) (event.Event, error) {
	data := map[string]any{"effect_id": d.EffectID, "resolution": string(d.Resolution)}
	for k, v := range map[string]string{"remote_id": d.RemoteID, "by": d.By, "reason": d.Reason} {
		if v != "" {
			data[k] = v
		}
	}
	return p.Publish(ctx, d.Tenant, "engine.effect.resolved", "effect/"+d.EffectID, "", data)
}

// resolved applies a person's decision. One that does not fit the effect's status any more changes nothing and is logged.
func (h *handler) resolved(ctx context.Context, tx pgx.Tx, r *event.Recorded) error {
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return err
	}
	id, how := text(data, "effect_id"), Resolution(text(data, "resolution"))
	e, found, err := ledger.Get(ctx, tx, r.TenantID, id, true)
	if err != nil {
		return err
	}
	if !found || !CanResolve(e.Status, how) {
		h.log.Warn("a decision about an effect changes nothing", "tenant", r.TenantID, "effect", id, "resolution", string(how), "found", found, "status", string(e.Status))
		return nil
	}
	e.Resolutions++
	e.LastError = text(data, "reason")
	end := ledger.End{Detail: text(data, "reason")}
	switch how {
	case ResolveDone:
		e.Status, e.Code = effect.Done, ""
		if remote := text(data, "remote_id"); remote != "" {
			e.RemoteID = remote
			if e.Kind == effect.KindUpsert {
				if err := h.link(ctx, tx, r, leadID(e), remote); err != nil {
					return err
				}
			}
		}
	case ResolveFailed:
		e.Status, e.Code = effect.Failed, effect.CodeResolved
	case ResolveResend:
		e.Status, e.Code = effect.Pending, ""
		if until := r.RecordedTime.Add(effect.DefaultNotAfter); e.NotAfter.Before(until) {
			e.NotAfter = until
		}
	}
	if err := ledger.Set(ctx, tx, e); err != nil {
		return err
	}
	end.Status, end.Code, end.RemoteID = e.Status, e.Code, e.RemoteID
	if end.Status == effect.Pending && h.wake != nil {
		h.wake()
	}
	outCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ev, err := h.outcomes.build(outCtx, e, end)
	if err != nil {
		return consumer.Transient(err) // the registry; the body is ours and always fits
	}
	if ev == nil {
		return nil
	}
	return h.box.Add(ctx, tx, ev)
}
