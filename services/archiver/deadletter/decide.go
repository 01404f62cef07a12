package deadletter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
)

// Deriver numbers what is sent again, and what is told about it.
const Deriver = "deadletter"

// States of a letter.
const (
	Open         = "open"
	Retried      = "retried"
	Resolved     = "resolved"      // its redrive is in the log
	RefusedAgain = "refused_again" // its redrive is the dead letter Next
	Dropped      = "dropped"
)

// Actions that can be asked for.
const (
	Retry = "retry"
	Edit  = "edit" // and retry
	Drop  = "drop"
)

// Letter is a refused record as the archive keeps it.
type Letter struct {
	Topic     string
	Partition int32
	Offset    int64
	Tenant    string // empty: the key was none
	Reason    string
	Detail    string
	EventID   string
	Type      string
	Recorded  time.Time
	State     string
	Next      string // of RefusedAgain: the ref of the dead letter that it became
	Sequence  int64  // of Resolved
	Key       []byte
	Headers   []event.Header
	Value     []byte
}

// Ref names the refused record: topic/partition/offset.
func (l *Letter) Ref() string { return fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset) }

// id derives the id of what is made of a letter: the same for every request, so that nothing is made twice. A location alone is not enough: in
// a Kafka that was lost and recreated another letter may have it.
func (l *Letter) id(what string) string {
	return event.DerivedID(l.Tenant, Deriver, what, l.Ref(), event.FormatTime(l.Recorded))
}

// Ask is what somebody wants done.
type Ask struct {
	Action string
	Live   bool   // send it with the origin that it came with, so that rules answer it
	Value  []byte // of an edit: framed
	By     string
	Reason string
}

// Environment answers what a letter does not tell.
type Environment struct {
	Verify func(*event.Event) (bool, error)
	Schema func(id int32) (*avro.Schema, error) // of a schema id; an error is that it can't be known
	Tenant bool                                 // the letter's tenant is there
}

// Verdict is what is to be done.
type Verdict struct {
	Redrive *event.Event // nil: nothing is sent
	Fields  []string     // of an edit: the names of what changed
}

const hdrOrigin = "ce_origin"

// Decide says what becomes of an ask. It is pure. The error is a refusal.
func Decide(l *Letter, ask Ask, env Environment) (Verdict, *event.Refusal) {
	if r := closed(l); r != nil {
		return Verdict{}, r
	}
	if ask.Action == Drop {
		if ask.Reason == "" {
			return Verdict{}, event.Refuse(event.CodeUsage, "a drop needs a reason")
		}
		return Verdict{}, nil
	}
	const onlyDrop = "it can only be dropped: neuronx deadletter drop"
	if l.Tenant == "" || !env.Tenant {
		return Verdict{}, event.Refuse(event.CodeUnknownTenant, "there is no tenant whose stream it could enter").Hint(onlyDrop)
	}
	e, claim, r := received(l)
	if r != nil {
		return Verdict{}, r.Hint(onlyDrop)
	}
	signed, err := env.Verify(&e)
	if !signed || err != nil {
		if claim == nil {
			claim = e.CheckOrigin()
		}
		e.StripSystem()
		signed = false
		if claim != nil && ask.Live { // it may have been meant as an import, whose people must not be contacted
			return Verdict{}, event.Refuse(event.CodeNotRetriable, "whether it was to be live cannot be known: %v", claim).
				Hint("retry it without --as live, so that no rule answers it, or have its producer send it again with the right origin")
		}
	}
	fillIn(l, &e, env)
	engine := signed && e.Made()
	var v Verdict
	if ask.Action == Edit {
		if engine {
			return Verdict{}, event.Refuse(event.CodeNotRetriable, "the engine made this event; what it says is not edited").Hint("neuronx deadletter retry sends it as it was")
		}
		if v.Fields, r = edit(&e, ask.Value, env); r != nil {
			return Verdict{}, r
		}
	}
	if v.Redrive, r = redrive(l, e, engine, ask); r != nil {
		return Verdict{}, r.Hint(onlyDrop)
	}
	return v, nil
}

func closed(l *Letter) *event.Refusal {
	switch l.State {
	case Open:
		return nil
	case Dropped:
		return event.Refuse(event.CodeAlreadyDropped, "it was dropped")
	case RefusedAgain:
		return event.Refuse(event.CodeAlreadyRetried, "it was sent again and refused again, as %s", l.Next).Hint("neuronx deadletter show " + l.Next)
	case Resolved:
		return event.Refuse(event.CodeAlreadyRetried, "it was sent again and is in the log as sequence %d", l.Sequence)
	}
	return event.Refuse(event.CodeAlreadyRetried, "it was sent again, and the sequencer has not judged it yet")
}

// received is the refused event as its producer sent it. An origin that was claimed without a signature is put back, since an import stays an
// import; doubt says that several were claimed.
func received(l *Letter) (e event.Event, doubt, r *event.Refusal) {
	own := make([]event.Header, 0, len(l.Headers))
	var claims []event.Header
	for _, h := range l.Headers {
		switch {
		case h.Key == event.DeadValueHash:
			return event.Event{}, nil, event.Refuse(event.CodeNotRetriable, "its value was too large to be kept whole")
		case h.Key == event.DeadUnsigned+hdrOrigin:
			h.Key = hdrOrigin
			claims = append(claims, h)
		case !event.OfDeadLetter(h.Key):
			own = append(own, h)
		}
	}
	for i := range claims {
		if !bytes.Equal(claims[i].Value, claims[0].Value) {
			doubt = event.Refuse(event.CodeInvalidAttribute, "its producer sent %s with different values", hdrOrigin)
		}
	}
	if doubt == nil {
		own = append(own, claims...)
	}
	e, err := event.Parse(l.Key, own, l.Value)
	if err != nil {
		return e, nil, event.Refuse(event.CodeNotRetriable, "its attributes can't be read: %v", err)
	}
	return e, doubt, nil
}

// edit puts a new value in, and names the fields that it changes.
func edit(e *event.Event, value []byte, env Environment) ([]string, *event.Refusal) {
	schema, body, r := schemaOf(value, env)
	if r != nil {
		return nil, r
	}
	if own := schema.EventType(); e.Type != "" && own != "" && own != e.Type {
		return nil, event.Refuse(event.CodeTypeMismatch, "the data is of %s, the event of %s", schema.EventType(), e.Type)
	}
	if err := schema.CheckNew(body); err != nil {
		return nil, event.Refuse(event.CodeInvalidBody, "%v", err)
	}
	after := fields(schema, body)
	var before map[string]json.RawMessage
	if old, oldBody, r := schemaOf(e.Value, env); r == nil && old.Check(oldBody) == nil {
		before = fields(old, oldBody)
	}
	changed := []string{}
	for name, v := range after {
		if was, ok := before[name]; !ok || !bytes.Equal(was, v) {
			changed = append(changed, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return nil, event.Refuse(event.CodeUsage, "the data is what was refused: nothing changed").Hint("neuronx deadletter retry sends it as it was")
	}
	slices.Sort(changed)
	if e.Fingerprint == "" { // what the producer sent is what its repeat is told by
		e.Fingerprint = fingerprint(e)
	}
	e.Value = value
	if e.Type == "" {
		e.Type = cmp.Or(schema.EventType(), schema.ImpliedType())
	}
	return changed, nil
}

func schemaOf(value []byte, env Environment) (*avro.Schema, []byte, *event.Refusal) {
	id, body, err := event.Unframe(value)
	if err != nil {
		return nil, nil, event.Refuse(event.CodeInvalidFraming, "%v", err)
	}
	schema, err := env.Schema(id)
	if err != nil || schema == nil {
		return nil, nil, event.Refuse(event.CodeUnknownSchema, "schema %d is not known", id)
	}
	return schema, body, nil
}

// fields renders a body's top-level fields.
func fields(schema *avro.Schema, body []byte) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	text, err := schema.RenderJSON(body)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

// fingerprint is that of the record as the sequencer saw it.
func fingerprint(e *event.Event) string {
	id, body, err := event.Unframe(e.Value)
	if err != nil {
		id, body = 0, e.Value
	}
	return event.FingerprintAvro(e.Type, e.Subject, e.Source, id, body)
}

// fillIn gives a bare record the defaults that the sequencer gave it.
func fillIn(l *Letter, e *event.Event, env Environment) {
	if e.Source == "" {
		e.Source = "/kafka/" + l.Topic
	}
	if e.Time.IsZero() {
		e.Time = l.Recorded
	}
	if e.Type == "" {
		if schema, _, r := schemaOf(e.Value, env); r == nil {
			e.Type = cmp.Or(schema.EventType(), schema.ImpliedType())
		}
	}
}

func redrive(l *Letter, e event.Event, engine bool, ask Ask) (*event.Event, *event.Refusal) {
	out := event.Event{
		TenantID: l.Tenant, ID: l.id("redrive"), Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time,
		ContentType: event.ContentTypeAvro, TraceParent: e.TraceParent, TraceState: e.TraceState, IdempotencyKey: e.IdempotencyKey,
		CorrelationID: e.CorrelationID, CausationID: e.ID, Extra: e.Extra, Value: e.Value, Origin: event.OriginRedrive,
	}
	if out.Type == "" {
		return nil, event.Refuse(event.CodeNotRetriable, "nothing tells its type")
	}
	if !event.MayDerive(Deriver, out.Type) {
		return nil, event.Refuse(event.CodeNotRetriable, "%s is a control event, which is not sent again: run its command again", out.Type)
	}
	switch {
	case e.Deriver == Deriver && e.CausationID != "":
		out.CausationID = e.CausationID // a redrive that was refused: the first refused event stays the cause
	case e.ID == "" && e.IdempotencyKey != "":
		out.CausationID = event.KeyID(l.Tenant, e.IdempotencyKey)
	case e.ID == "":
		out.CausationID = l.Ref()
	}
	switch e.Origin {
	case event.OriginImport, event.OriginBackfill, event.OriginEcho:
		out.Origin = e.Origin // what was to trigger nothing shall not trigger anything now
	case "", event.OriginLive, event.OriginRedrive:
		if ask.Live {
			out.Origin = event.OriginLive
		}
	}
	if engine {
		if !event.Tells(out.Type) {
			out.Hops, out.Path = 1, []string{out.Type + "<redrive@1"} // a decision of a person begins a new chain
		}
	} else if out.Fingerprint = e.Fingerprint; out.Fingerprint == "" {
		out.Fingerprint = fingerprint(&e)
	}
	check := out.CheckAttributes
	if !engine {
		check = out.CheckOutside
	}
	if err := check(); err != nil {
		return nil, event.Refuse(event.CodeNotRetriable, "%v", err)
	}
	return &out, nil
}
