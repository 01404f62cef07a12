package admission

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// adopt takes from the schema what the producer left out. What the engine makes says all itself, and a rule may give its output any subject.
func (a *candidate) adopt(schema Schema, body []byte) *event.Refusal {
	if !a.trusted {
		return a.e.Adopt(schema, body)
	}
	return a.e.AdoptType(schema)
}

// identify works out key and fingerprint, unless the event has a deriver's number.
func (a *candidate) identify(schemaID int32, body []byte) {
	if a.numbered {
		return
	}
	a.schemaID, a.body = schemaID, body
	a.fingerprint = event.Fingerprint32(a.e.Type, a.e.Subject, a.e.Source, body)
	a.key = keys.HashOfEvent(a.e)
	a.first, a.repeat = a.o.key(a.key, a.windowMS())
	a.known = true
	if a.repeat {
		return
	}
	if key, ok := idKeyOf(a.e); ok {
		if v, found := a.o.key(key, a.windowMS()); found && !v.Refused && v.Fingerprint == a.fingerprint {
			a.first, a.repeat = v, true
		}
	}
}

// idKeyOf is the key of source and id of an event that has an Idempotency-Key and an id of its own besides. A client that makes a new
// Idempotency-Key for each try sends one event all the same: the same source, id and data are a repeat. With other data the key counts.
func idKeyOf(e *event.Event) (keys.Hash, bool) {
	if e.IdempotencyKey == "" || e.ID == event.KeyID(e.TenantID, e.IdempotencyKey) {
		return keys.Hash{}, false
	}
	bare := event.Event{TenantID: e.TenantID, Source: e.Source, ID: e.ID}
	return keys.HashOfEvent(&bare), true
}

// repeated decides a repeat of an admitted key: same fingerprint duplicate, another one conflict. A repeat of a refused key is
// judged again.
func (a *candidate) repeated() (Decision, bool) {
	if a.numbered || !a.repeat || a.first.Refused {
		return Decision{}, false
	}
	if a.first.Fingerprint == a.fingerprint || a.knownBefore() {
		return repeatOf(a.first), true
	}
	detail := a.conflict()
	// The admitted verdict stays with the key; this refusal is remembered under key and fingerprint.
	a.key = keys.HashOf(a.e.TenantID, "!", strconv.FormatUint(uint64(a.fingerprint), 16), a.e.Key())
	a.first, a.repeat = a.o.key(a.key, a.windowMS())
	return a.refuse(event.CodeConflict, detail), true
}

// knownBefore tells whether the first event's fingerprint is one that an earlier version, or an earlier schema of this event, gives to it:
// over the JSON as received or over the schema's number, and with the subject that was sent. Keys remembered by such a version stay good.
func (a *candidate) knownBefore() bool {
	first := a.first.Fingerprint
	if a.e.Fingerprint != "" && shortFingerprint(a.e.Fingerprint) == first {
		return true
	}
	for _, subject := range [...]string{a.subject, ""} { // "": the HTTP endpoint has filled it in
		if subject != a.e.Subject && event.Fingerprint32(a.e.Type, subject, a.e.Source, a.body) == first {
			return true
		}
	}
	byNumber := func(id int32) bool {
		sum := event.SumAvro(a.e.Type, a.subject, a.e.Source, id, a.body)
		return binary.BigEndian.Uint32(sum[:]) == first
	}
	if byNumber(a.schemaID) {
		return true
	}
	return a.env.Versions != nil && slices.ContainsFunc(a.env.Versions(a.schemaID), byNumber)
}

// conflict says what this event was compared with.
func (a *candidate) conflict() string {
	what := "source " + strconv.Quote(cut(a.e.Source)) + " and id " + strconv.Quote(cut(a.e.ID)) + " were"
	if a.e.IdempotencyKey != "" {
		what = "the Idempotency-Key " + strconv.Quote(cut(a.e.IdempotencyKey)) + " was"
	}
	return what + " used by an event with another type, subject or data: sequence " + strconv.FormatInt(a.first.Number, 10) + " (another event needs another id)"
}

func cut(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func repeatOf(first keys.Verdict) Decision {
	if first.Refused {
		return Decision{Outcome: duplicate, Code: codeOf(first.Number)}
	}
	return Decision{Outcome: duplicate, of: first.Number}
}
