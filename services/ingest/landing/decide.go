package landing

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// What becomes of a landing record.
const (
	forwarded = "forwarded"
	refused   = "refused" // it goes to ingress in a form that the sequencer refuses
)

const (
	maxKept   = 64 << 10 // what is kept of a value that does not fit
	maxTimeMS = 253402300799999
	tenantHdr = "ce_tenantid"
)

// origin says where a record comes from.
type origin struct {
	tenant  string
	topicID [16]byte
	unread  string // why the batch that ends here could not be read; empty: it was
}

// fate is what is written to ingress for a landing record.
type fate struct {
	record   *kafka.Record
	outcome  string
	code     event.Code // why the sequencer will refuse it
	stripped []string   // system attributes that were taken off
}

// decide makes of a landing record what goes to ingress. It is a function of its arguments.
func decide(r *kafka.Record, o origin, sign func(*event.Event)) fate {
	if o.unread != "" {
		e, err := event.Parse([]byte(o.tenant), headers(r), r.Value)
		if err != nil {
			e = event.Event{} // nothing can be read of it
		}
		stripped := e.StripSystem()
		f := note(r, o, e, event.CodeTooLarge, o.unread, sign)
		f.stripped = stripped
		return f
	}
	e, err := event.Parse([]byte(o.tenant), headers(r), r.Value)
	if len(r.Key) > 0 && string(r.Key) != o.tenant {
		return asItIs(r, o, event.CodeTenantMismatch, sign)
	}
	if err != nil {
		var why *event.Refusal
		code := event.CodeInvalidAttribute
		if errors.As(err, &why) {
			code = why.Code
		}
		return asItIs(r, o, code, sign)
	}
	if claim := e.CheckOrigin(); claim != nil {
		return asItIs(r, o, claim.Code, sign)
	}
	if unset := e.CheckTime(); unset != nil {
		return asItIs(r, o, unset.Code, sign)
	}
	if missed := e.CheckIdentity(); missed != nil {
		return asItIs(r, o, missed.Code, sign)
	}
	f := fate{outcome: forwarded, stripped: e.StripSystem()}
	if e.Signature != "" {
		e.Signature, f.stripped = "", append(f.stripped, "neuronx-sig")
	}
	fillIn(&e, r, o)
	sign(&e)
	if f.record = kafka.ToRecord(kafka.TopicIngress, &e); !kafka.Fits(f.record) {
		n := note(r, o, e, event.CodeTooLarge, fmt.Sprintf("the record is too large to be forwarded: %d bytes with what forwarding adds", kafka.BatchSize(f.record)), sign)
		n.stripped = f.stripped
		return n
	}
	return f
}

// fillIn gives a bare record what it lacks and says where it came from. The id is made here, because the location in the landing topic
// that it is made of stays the same when the record is forwarded again. An id that follows from the Idempotency-Key is left to the
// sequencer, as for every other producer.
func fillIn(e *event.Event, r *kafka.Record, o origin) {
	if e.Source == "" {
		e.Source = "/kafka/" + r.Topic
	}
	if e.ID == "" && e.IdempotencyKey == "" {
		e.ID = event.RecordID(o.tenant, o.topicID, r.Partition, r.Offset)
	}
	if ms := r.Timestamp.UnixMilli(); e.Time.IsZero() && ms > 0 && ms <= maxTimeMS {
		e.Time = time.UnixMilli(ms).UTC()
	}
	e.ForwardFrom(o.topicID, r.Partition, r.Offset, false)
}

// asItIs forwards a record that the sequencer will refuse for what it is, with the tenant as its key and everything that only counts when
// signed out of the way. It is not signed: should another build's parser let it pass, it is the tenant's own event.
func asItIs(r *kafka.Record, o origin, code event.Code, sign func(*event.Event)) fate {
	f := fate{outcome: refused, code: code, record: &kafka.Record{Topic: kafka.TopicIngress, Key: []byte(o.tenant), Value: r.Value}}
	if code == event.CodeTenantMismatch && len(r.Key) > 0 && string(r.Key) != o.tenant {
		// The sequencer compares the attribute with the key, which is the topic's tenant now: the other name goes first.
		f.record.Headers = append(f.record.Headers, kafka.RecordHeader{Key: tenantHdr, Value: r.Key})
	}
	for _, h := range r.Headers {
		name := event.HeaderName(h.Key)
		switch {
		case name == tenantHdr && len(f.record.Headers) > 0 && f.record.Headers[0].Key == tenantHdr:
			continue
		case event.IsSystem(name) && name != "ce_origin":
			f.stripped = append(f.stripped, name)
			h.Key = event.DeadUnsigned + name // as on every dead letter
		}
		f.record.Headers = append(f.record.Headers, h)
	}
	if kafka.Fits(f.record) {
		return f
	}
	n := note(r, o, event.Event{}, code, "and it is too large to be shown whole", sign)
	n.stripped = f.stripped
	return n
}

// note replaces a record that can't be forwarded as it is: signed, so that the sequencer refuses it for the reason that is given. What e
// holds of the record's attributes is kept, and the beginning of the value.
func note(r *kafka.Record, o origin, e event.Event, code event.Code, detail string, sign func(*event.Event)) fate {
	e.TenantID, e.Value, e.Signature = o.tenant, r.Value, ""
	if len(e.Value) > maxKept {
		sum := sha256.Sum256(e.Value)
		detail += fmt.Sprintf("; the first %d of %d bytes are kept, SHA-256 of all %s", maxKept, len(e.Value), hex.EncodeToString(sum[:]))
		e.Value = e.Value[:maxKept]
	}
	if len(r.Key) > 0 && string(r.Key) != o.tenant {
		detail = "the record's key names another tenant than its topic; " + detail
	}
	fillIn(&e, r, o)
	e.Refused = string(code) + ": " + strings.TrimSpace(detail)
	sign(&e)
	return fate{outcome: refused, code: code, record: kafka.ToRecord(kafka.TopicIngress, &e)}
}

func headers(r *kafka.Record) []event.Header {
	out := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		out[i] = event.Header(h)
	}
	return out
}
