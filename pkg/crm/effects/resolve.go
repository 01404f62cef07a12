package effects

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
)

// Resolution is a person's decision about an effect.
type Resolution string

// The resolutions.
const (
	ResolveDone   Resolution = "done"   // it was carried out
	ResolveFailed Resolution = "failed" // it was not, and shall not be
	ResolveResend Resolution = "resend" // it was not, and shall be: carried out once more
)

// CanResolve reports whether an effect takes a resolution. Done is final; what is being sent has to end first; what answers history is
// never sent, whatever a person decides about it: a live event is. What no adapter takes stays off.
func CanResolve(e ledger.Effect, r Resolution) bool {
	if !crm.Answers(e.Kind) {
		return false
	}
	s := e.Status
	switch r {
	case ResolveDone:
		return s != crm.Done && s != crm.Sending
	case ResolveFailed:
		return s != crm.Done && s != crm.Failed && s != crm.Sending
	case ResolveResend:
		return crm.Reaches(e.Envelope.Origin) && (s == crm.Unknown || s == crm.Failed || s == crm.Recorded || s == crm.Off)
	}
	return false
}

// resolved applies a person's decision. One that does not fit the effect's status any more changes nothing and is logged.
func (h *handler) resolved(ctx context.Context, tx pgx.Tx, r *event.Recorded) error {
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return err
	}
	id, how := text(data, "effect_id"), Resolution(text(data, "resolution"))
	e, found, err := h.ledger.Get(ctx, tx, r.TenantID, id, true)
	if err != nil {
		return err
	}
	if !found || !CanResolve(e, how) {
		h.log.Warn("a decision about an effect is ignored: the ledger does not have the effect, or its status does not allow it", "tenant", r.TenantID, "effect", id, "resolution", string(how), "found", found, "status", string(e.Status))
		return nil
	}
	e.Resolutions++
	e.LastError = text(data, "reason")
	end := crm.End{Detail: text(data, "reason")}
	switch how {
	case ResolveDone:
		e.Status, e.Code = crm.Done, ""
		if remote := text(data, "remote_id"); remote != "" {
			e.RemoteID = remote
			if local := e.Command.LocalID(e.Kind); local != "" {
				if err := h.object(ctx, tx, r, crm.ObjectOf(e.Kind), local, remote); err != nil {
					return err
				}
			}
			if e.Kind == crm.KindUpsert {
				if err := h.link(ctx, tx, r, leadID(e), remote); err != nil {
					return err
				}
			}
		}
	case ResolveFailed:
		e.Status, e.Code = crm.Failed, crm.CodeResolved
	case ResolveResend:
		e.Status, e.Code = crm.Pending, ""
		if e.Lane, err = h.ledger.Lane(ctx, tx, r.TenantID, e.Subject); err != nil {
			return err
		}
		if until := r.RecordedTime.Add(crm.DefaultNotAfter); e.NotAfter.Before(until) {
			e.NotAfter = until
		}
	}
	if err := h.ledger.Set(ctx, tx, e); err != nil {
		return err
	}
	end.Status, end.Code, end.RemoteID = e.Status, e.Code, e.RemoteID
	if end.Status == crm.Pending && h.wake != nil {
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
