package admission

import "github.com/neuronx/engine/pkg/event"

// ReceiptOf is what a waiter is told of its event; false: the record names no waiter, or nothing was decided yet. It is written in the
// transaction of the verdict, to the partition of the ingress record, so that no receipt speaks of what was not committed.
func ReceiptOf(d *Decision) (event.Receipt, bool) {
	if d.Receipt == "" {
		return event.Receipt{}, false
	}
	r := event.Receipt{ID: d.eventID, Tenant: d.Tenant, Code: d.Code, Detail: clean(d.Detail)}
	switch {
	case d.Outcome == Admitted:
		r.Outcome, r.Sequence, r.Position = event.OutcomeAdmitted, d.Recorded.Sequence, d.Recorded.Position
	case d.Outcome == duplicate:
		r.Outcome, r.Of = event.OutcomeDuplicate, d.of
	case d.Outcome == Refused:
		r.Outcome = event.OutcomeRefused
	default: // ignored: its outbox sends it again
		return event.Receipt{}, false
	}
	return r, true
}
