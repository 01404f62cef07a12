package sequencer

import (
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// receiptOf is the record that tells a waiter what became of its event, or nil when nobody waits, or nothing was decided yet. It lies
// in the partition of the ingress record and is written in the transaction of the verdict, so that no receipt speaks of what was not
// committed.
func receiptOf(d *decision, partition int32) *kafka.Record {
	if d.receipt == "" {
		return nil
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
		return nil
	}
	return &kafka.Record{Topic: kafka.TopicReceipts, Partition: partition, Key: []byte(d.receipt), Value: r.Encode()}
}
