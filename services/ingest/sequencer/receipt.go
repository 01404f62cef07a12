package sequencer

import "github.com/neuronx/engine/pkg/event"

// receiptOf is what a waiter is told of its event; false: the record names no waiter, or nothing was decided yet. It is written in the
// transaction of the verdict, to the partition of the ingress record, so that no receipt speaks of what was not committed.
func receiptOf(d *decision) (event.Receipt, bool) {
	if d.receipt == "" {
		return event.Receipt{}, false
	}
	r := event.Receipt{ID: d.eventID, Tenant: d.tenant, Code: d.code, Detail: clean(d.detail)}
	switch {
	case d.outcome == admitted:
		r.Outcome, r.Sequence, r.Position = event.OutcomeAdmitted, d.recorded.Sequence, d.recorded.Position
	case d.outcome == duplicate:
		r.Outcome, r.Of = event.OutcomeDuplicate, d.of
	case d.outcome == refused:
		r.Outcome = event.OutcomeRefused
	default: // ignored: its outbox sends it again
		return event.Receipt{}, false
	}
	return r, true
}
