package event

import (
	"strconv"
	"strings"
	"time"
)

// Origin says how an event came about (ce_origin). Rules fire on OriginLive unless they ask for others.
type Origin string

// The origins. Import and Backfill only reduce effects and need no signature; the others do.
const (
	OriginLive     Origin = "live"
	OriginImport   Origin = "import"
	OriginBackfill Origin = "backfill"
	OriginEcho     Origin = "echo"
	OriginRedrive  Origin = "redrive"
)

// Valid reports whether o is one of the known origins.
func (o Origin) Valid() bool {
	switch o {
	case OriginLive, OriginImport, OriginBackfill, OriginEcho, OriginRedrive:
		return true
	}
	return false
}

// NeedsSignature reports whether a claim of this origin counts only in a signed event.
func (o Origin) NeedsSignature() bool { return o != OriginImport && o != OriginBackfill }

// CheckClaimed refuses an origin that a producer may not claim, or that is none: an event whose origin was meant to reduce its effects must
// not go on as a live one. An origin that only its absence says is live is not asked about.
func (o Origin) CheckClaimed() *Refusal {
	const offer = "there are live, import and backfill; without one the event is live"
	switch {
	case o == OriginLive || o == OriginImport || o == OriginBackfill:
		return nil
	case o == "":
		return Refuse(CodeInvalidAttribute, "the origin is empty").Hint(offer)
	case o.Valid():
		return Refuse(CodeInvalidAttribute, "origin %s is claimed by the engine only", o).Hint(offer)
	}
	return Refuse(CodeInvalidAttribute, "there is no origin %.64q", string(o)).Hint(offer)
}

// ContentTypeAvro is the datacontenttype of every event in Kafka.
const ContentTypeAvro = "application/avro"

// MaxHops is the largest number of derivations since the last outside fact; a derived event beyond it is refused as a storm.
const MaxHops = 16

// QuietStorm marks a fact over the rate of its subject: it is recorded as any other, and no rule and no effect answers it.
const QuietStorm = "storm"

// Header is one attribute on the wire; it has the shape of a Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Event is an event as a producer sent it: its attributes and its value.
type Event struct {
	TenantID       string    // the record's key
	ID             string    // ce_id
	Source         string    // ce_source, a URI reference
	Type           string    // ce_type, such as lead.created
	Subject        string    // ce_subject, such as lead/42; may be empty
	Time           time.Time // ce_time: when it happened, UTC; zero if not given
	ContentType    string    // content-type; empty means ContentTypeAvro
	TraceParent    string    // traceparent, W3C Trace Context
	TraceState     string    // tracestate
	IdempotencyKey string    // idempotency-key
	CorrelationID  string    // ce_correlationid

	// System attributes: they count only under a valid signature.
	CausationID   string   // ce_causationid: id of the event that caused this one
	Hops          int      // ce_hops: derivations since the last outside fact
	Origin        Origin   // ce_origin; empty means OriginLive
	Deriver       string   // ce_deriver: rules, timers, gohighlevel or deadletter
	DeriverNumber int64    // ce_derivernumber: 1, 2, 3 … per tenant and deriver
	Path          []string // neuronx-path: how it was derived, entries `type<rule@version`
	Fingerprint   string   // neuronx-fingerprint: hex SHA-256 that tells a conflict from a repeat
	Forwarded     string   // neuronx-fwd: `<topic id>/<partition>/<offset>` of the record that was forwarded
	Receipt       string   // neuronx-receipt: who waits for the verdict; stays out of log and dead letters
	Refused       string   // neuronx-refused: `<code>: <detail>`, from the forwarder of landing topics: why the sequencer must refuse it

	Signature string   // neuronx-sig
	Extra     []Header // every other header, in the order received
	Value     []byte   // Avro in Confluent's framing

	malformed []string // system attributes that could not be read; they never verify
	noKey     bool     // an Idempotency-Key is there without a value
	leftOut   int      // foreign headers that were too much
	wide      bool     // an attribute that producers set has characters beyond ASCII, or an extension control characters: see CheckCharacters
}

// Recorded is an event of the log: what the sequencer made of an admitted Event.
type Recorded struct {
	Event
	Sequence     int64     // ce_sequence: the tenant's number, 1, 2, 3 … without gap
	Position     int64     // ce_position: rises with the sequence; ms since 1970 << 20 and a counter
	RecordedTime time.Time // ce_recordedtime: append time of the ingress record, UTC
	LogID        string    // ce_logid: identity of the log partition
	Quiet        string    // ce_quiet: why the event shall trigger nothing (QuietStorm); empty: it may

	Partition int32 // where in the log it stands
	Offset    int64
}

// Derived reports whether the event carries a deriver's number, which then is its identity instead of a key.
func (e *Event) Derived() bool { return e.Deriver != "" }

// EffectiveOrigin is the origin with the default filled in.
func (e *Event) EffectiveOrigin() Origin {
	if e.Origin == "" {
		return OriginLive
	}
	return e.Origin
}

// Key is what makes a repeat: the Idempotency-Key, else source and id (length-prefixed, so that no two pairs collide).
func (e *Event) Key() string { return string(e.AppendKey(nil)) }

// AppendKey appends the key to b.
func (e *Event) AppendKey(b []byte) []byte {
	if e.IdempotencyKey != "" {
		return append(append(b, "k:"...), e.IdempotencyKey...)
	}
	b = append(strconv.AppendInt(append(b, "s:"...), int64(len(e.Source)), 10), ':')
	return append(append(b, e.Source...), e.ID...)
}

// ValidTenant reports whether s is a tenant id: 1 to 63 of a-z, 0-9 and hyphen.
func ValidTenant(s string) bool {
	for i := range len(s) {
		if c := s[i]; !lower(c) && !digit(c) && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 63
}

// ValidType reports whether s has the shape of an event type: two to eight lower-case words joined by dots. A word begins with a
// letter and goes on with letters, digits and underscores.
func ValidType(s string) bool {
	words, begins := 1, true
	for i := range len(s) {
		switch c := s[i]; {
		case lower(c):
			begins = false
		case begins:
			return false
		case c == '.':
			words, begins = words+1, true
		case !digit(c) && c != '_':
			return false
		}
	}
	return !begins && words >= 2 && words <= 8 && len(s) <= maxType
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// Reserved reports whether only the engine may publish events of this type: producers may not send it. All of crm. is, also what an adapter
// will tell about the CRM, because what is believed about a person or a contact must not come from elsewhere.
func Reserved(typ string) bool {
	domain, _, _ := strings.Cut(typ, ".")
	switch domain {
	case "crm", "engine", "rules", "subject", "tenant", "timer", "workflow":
		return len(domain) < len(typ)
	}
	return false
}

// Tells reports whether an event of this type only tells about the engine's own work: about rules, effects and replays, and how instances of
// workflows go. It triggers nothing, so it is no hop and counts towards no rate. The ends of instances are not among them: they do trigger.
func Tells(typ string) bool {
	switch typ {
	case "workflow.started", "workflow.advanced", "workflow.rejected", "workflow.incident.raised", "workflow.verb.refused":
		return true
	}
	return strings.HasPrefix(typ, "engine.")
}

// PositionAt is the first position of a millisecond since 1970: 43 bits of time over 20 bits of counter.
func PositionAt(ms int64) int64 { return ms << 20 }

// PositionTime is the millisecond since 1970 that a position stands for.
func PositionTime(position int64) int64 { return position >> 20 }

// FormatNumber writes a sequence or position as 20 zero-padded digits, so that it sorts as text.
func FormatNumber(n int64) string { return string(appendNumber(nil, n)) }

func appendNumber(b []byte, n int64) []byte {
	var digits [20]byte
	s := strconv.AppendInt(digits[:0], n, 10)
	if n >= 0 {
		b = append(b, "00000000000000000000"[:20-len(s)]...)
	}
	return append(b, s...)
}

// FormatTime writes a time the way the engine does everywhere: RFC 3339 in UTC with as many decimals as needed.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) }
