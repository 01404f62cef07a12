package admission

import (
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// derivesDeadLetter is the deriver of events that a person had sent again.
const derivesDeadLetter = "deadletter"

// refusedKeyOf is the key of the event that this one replaces: its Idempotency-Key, else its source and its id, which is the
// cause. Only what came from outside has one.
func refusedKeyOf(e *event.Event) (keys.Hash, bool) {
	if e.Deriver != derivesDeadLetter || e.Fingerprint == "" {
		return keys.Hash{}, false
	}
	was := event.Event{TenantID: e.TenantID, Source: e.Source, ID: e.CausationID, IdempotencyKey: e.IdempotencyKey}
	return keys.HashOfEvent(&was), true
}

// sentAgain is the sequence under which the producer's own repeat of the refused event was admitted meanwhile; 0: it was not.
func (a *candidate) sentAgain() int64 {
	if key, ok := refusedKeyOf(a.e); ok {
		if v, found := a.o.key(key, a.windowMS()); found && !v.Refused {
			return v.Number
		}
	}
	return 0
}

// claim makes the producer's repeat of the refused event a duplicate of this one.
func (a *candidate) claim(sequence, ms int64) {
	key, ok := refusedKeyOf(a.e)
	if !ok {
		return
	}
	fingerprint := shortFingerprint(a.e.Fingerprint)
	if v, found := a.o.key(key, a.windowMS()); found {
		fingerprint = v.Fingerprint
	}
	a.o.put(key, keys.Verdict{Fingerprint: fingerprint, Number: sequence, MS: ms})
}
