package effects

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
)

// own sees an outcome of this adapter in the log: its outbox row has done its work. Usually the ledger knows all about it; when it
// does not, the ledger is older than the log, and refills.
func (h *handler) own(ctx context.Context, tx pgx.Tx, r *event.Recorded) error {
	last, err := h.ledger.OwnNumber(ctx, tx, r.TenantID)
	if err != nil {
		return err
	}
	ahead := r.DeriverNumber > last
	if ahead {
		n, err := h.ledger.Freeze(ctx, tx, r.TenantID, -1, max(h.started, r.Position), "outcome_number_ahead")
		if err != nil {
			return err
		}
		h.log.Error("the ledger was restored from a backup: the log holds an outcome whose number it never gave. Unsent effects of kind once are unknown until you resolve them with: neuronx effects resolve",
			"tenant", r.TenantID, "number", r.DeriverNumber, "last", last, "effects", n)
	}
	if err := h.box.Seen(ctx, tx, r.TenantID, r.DeriverNumber, r.ID); err != nil && !errors.Is(err, outbox.ErrConflict) {
		return err
	}
	if ahead && r.Type == typeRecorded {
		return told(ctx, tx, h.ledger, r.TenantID, r.CausationID, r.ID)
	}
	kind, done := strings.CutSuffix(r.Type, ".succeeded")
	if !done {
		var failed bool
		if kind, failed = strings.CutSuffix(r.Type, ".failed"); !failed {
			return nil
		}
	}
	if !crm.Answers(kind) {
		return nil
	}
	return h.refill(ctx, tx, r, kind, done)
}

func (h *handler) refill(ctx context.Context, tx pgx.Tx, r *event.Recorded, kind string, done bool) error {
	data, err := h.decoder.Decode(ctx, r)
	if err != nil {
		return err
	}
	lead, remote := text(data, "lead_id"), text(data, "remote_id")
	if done && kind == crm.KindUpsert && remote != "" {
		if err := h.used(ctx, tx, r, lead, remote); err != nil {
			return err
		}
	}
	id := text(data, "command_id")
	e, found, err := h.ledger.Get(ctx, tx, r.TenantID, id, true)
	if err != nil {
		return err
	}
	if found && (e.Status == crm.Done || e.Status == crm.Failed) {
		return nil
	}
	for n := range e.Resolutions {
		if r.ID == outcomeID(h.ledger.Adapter, r.TenantID, id, n) {
			return nil // the end of an attempt before a person decided to resend
		}
	}
	e.Status, e.Code, e.LastError, e.RemoteID = crm.Done, "", "", remote
	if !done {
		e.Status, e.Code, e.LastError = crm.Failed, text(data, "code"), text(data, "detail")
	}
	if !found {
		e.TenantID, e.ID, e.Kind, e.Class, e.Subject = r.TenantID, id, kind, crm.ClassOf(kind), r.Subject
		e.Partition, e.Position = kafka.PartitionFor([]byte(r.TenantID), h.partitions), r.Position
		e.Command.LeadID = lead
		_, err = h.ledger.Record(ctx, tx, e)
	} else {
		err = h.ledger.Set(ctx, tx, e)
	}
	if local := e.Command.LocalID(kind); err == nil && local != "" && e.RemoteID != "" {
		err = h.object(ctx, tx, r, crm.ObjectOf(kind), local, e.RemoteID)
	}
	if err == nil && kind == crm.KindUpsert && e.RemoteID != "" && len(lead) <= crm.MaxLeadID {
		err = h.link(ctx, tx, r, lead, e.RemoteID)
	}
	return err
}

// object notes the id of an object in the CRM that the log, not an attempt of this ledger, gives.
func (h *handler) object(ctx context.Context, tx pgx.Tx, r *event.Recorded, object, local, remote string) error {
	ten, err := h.ledger.LoadTenant(ctx, tx, r.TenantID)
	if err != nil || !ten.Connected || ten.Connection.Sequence > r.Sequence {
		return err
	}
	return h.ledger.SaveObject(ctx, tx, r.TenantID, ten.Connection.Location, object, local, remote)
}

// link notes the contact that the log, not an attempt of this ledger, gives to a lead. A contact of a connection before that of now is
// in another location, perhaps. What it holds is not known: the write that the log tells of was not this ledger's.
func (h *handler) link(ctx context.Context, tx pgx.Tx, r *event.Recorded, lead, contact string) error {
	ten, err := h.ledger.LoadTenant(ctx, tx, r.TenantID)
	if err != nil || !ten.Connected || ten.Connection.Sequence > r.Sequence {
		return err
	}
	owner, err := h.ledger.SaveLink(ctx, tx, r.TenantID, ten.Connection.Location, lead, contact)
	if err != nil {
		return err
	}
	if owner != "" && owner != crm.OtherTenant {
		if same, err := h.ledger.SamePerson(ctx, tx, r.TenantID, owner, lead); err != nil || same {
			return err // the command was carried out on the contact of the person
		}
	}
	if owner != "" {
		h.log.Warn("a contact is linked to another lead, and stays so", "tenant", r.TenantID, "contact", contact, "lead", lead, "other", crm.Holder(owner))
		return nil
	}
	_, err = h.ledger.Forget(ctx, tx, r.TenantID, ten.Connection.Location, lead)
	return err
}

// ApplyDeadLetters implements consumer.DeadLetterHandler: an own outcome that was refused uses up its number all the same.
func (h *handler) ApplyDeadLetters(ctx context.Context, tx pgx.Tx, letters []consumer.DeadLetter) error {
	for i := range letters {
		own, err := h.box.Refused(ctx, tx, &letters[i].Event)
		if err != nil && !errors.Is(err, outbox.ErrConflict) {
			return err
		}
		if own {
			h.log.Warn("an outcome was refused; the ledger holds it", "tenant", letters[i].TenantID, "event_id", letters[i].Event.ID,
				"type", letters[i].Event.Type, "code", letters[i].Code)
		}
	}
	return nil
}
