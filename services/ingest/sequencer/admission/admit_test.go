package admission

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// judge judges single records as a sequencer would, one transaction each.
type judge struct {
	t    testing.TB
	keys *event.Keyring
	s    *State
	env  Env
	ms   int64
	next int64
}

func newJudge(t testing.TB) *judge {
	keys := event.NewKeyring()
	d := &judge{t: t, keys: keys, ms: sequencertest.Now, s: NewState([16]byte{1}, 0, uuid.Nil.String(), 0)}
	d.env = Env{
		Topic: kafka.TopicIngress, Partitions: 6, PartitionOf: func([]byte, int32) int32 { return 0 },
		Schema: schemaByID, Verify: keys.Verify, Sign: keys.Sign, NowMS: sequencertest.Now,
	}
	return d
}

// schemaByID answers as the sequencer's cache does.
func schemaByID(id int32) (Schema, error) {
	if s := sequencertest.Schemas.ByID[id]; s != nil {
		return s, nil
	}
	return nil, ErrUnknownSchema
}

func (d *judge) input(e *event.Event) Input {
	return Input{Offset: d.next, MS: d.ms, Stamped: true, Key: []byte(e.TenantID), Headers: e.Headers(), Value: e.Value}
}

func (d *judge) put(e *event.Event) Decision { return d.raw(d.input(e)) }

func (d *judge) raw(in Input) Decision {
	o := NewOverlay(d.s, nil, 0)
	in.Offset = d.next
	got := Admit(&d.env, o, in)
	if got.Outcome != Paused {
		d.next++
		d.s.Merge(o, 0, 0)
	}
	return got
}

func (d *judge) tenant(name string) *judge {
	if got := d.put(sequencertest.Created(d.keys, name)); got.Outcome != Admitted {
		d.t.Fatalf("tenant %s: %+v", name, got)
	}
	return d
}

func (d *judge) later(by time.Duration) *judge {
	d.ms += by.Milliseconds()
	d.env.NowMS = d.ms
	return d
}

func TestAdmit_Verdicts(t *testing.T) {
	other := func(e *event.Event) *event.Event {
		e.Value = sequencertest.Schemas.Value("lead.created", map[string]any{"lead_id": "another"})
		return e
	}
	tests := []struct {
		name string
		put  func(d *judge) Decision
		want Outcome
		code event.Code
	}{
		{"a fact", func(d *judge) Decision { return d.put(sequencertest.Lead("a", "1")) }, Admitted, ""},
		{"a repeat", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			return d.put(sequencertest.Lead("a", "1"))
		}, duplicate, ""},
		{"a repeat of another tenant's key", func(d *judge) Decision {
			d.tenant("b").put(sequencertest.Lead("a", "1"))
			return d.put(sequencertest.Lead("b", "1"))
		}, Admitted, ""},
		{"a key with another body", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			return d.put(other(sequencertest.Lead("a", "1")))
		}, Refused, event.CodeConflict},
		{"a conflict again", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			d.put(other(sequencertest.Lead("a", "1")))
			return d.put(other(sequencertest.Lead("a", "1")))
		}, duplicate, event.CodeConflict},
		{"the first after a conflict", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			d.put(other(sequencertest.Lead("a", "1")))
			return d.put(sequencertest.Lead("a", "1"))
		}, duplicate, ""},
		{"a repeat within the day", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			return d.later(24*time.Hour - time.Second).put(sequencertest.Lead("a", "1"))
		}, duplicate, ""},
		{"a repeat after the day", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			return d.later(24*time.Hour + 2*time.Second).put(sequencertest.Lead("a", "1"))
		}, Admitted, ""},
		{"a repeat does not prolong the day", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			d.later(13 * time.Hour).put(sequencertest.Lead("a", "1"))
			return d.later(12 * time.Hour).put(sequencertest.Lead("a", "1"))
		}, Admitted, ""},
		{"two ids under one idempotency key", func(d *judge) Decision {
			x, y := sequencertest.Lead("a", "1"), sequencertest.Lead("a", "1")
			x.IdempotencyKey, y.IdempotencyKey, y.ID = "k", "k", "2"
			d.put(x)
			return d.put(y)
		}, duplicate, ""},
		{"a C1 control in the id", func(d *judge) Decision { return d.put(sequencertest.Lead("a", "t22\u009b31m")) }, Refused, event.CodeInvalidAttribute},
		{"a bidi override in the subject", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Subject = "lead/\u202egnp.exe"
			return d.put(e)
		}, Refused, event.CodeInvalidAttribute},
		{"a noncharacter in an extension", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Extra = []event.Header{{Key: "ce_partner", Value: []byte("\uffff")}}
			return d.put(e)
		}, Refused, event.CodeInvalidAttribute},
		{"another program's binary header", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Extra = []event.Header{{Key: "b3", Value: []byte("\x9b\x00")}}
			return d.put(e)
		}, Admitted, ""},
		{"what is derived from an old event with a C1 control", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Subject, e.CausationID = "lead/\u009b", "old\u009b"
			return d.put(sequencertest.Signed(d.keys, e))
		}, Admitted, ""},
		{"an unknown tenant", func(d *judge) Decision { return d.put(sequencertest.Lead("x", "1")) }, Refused, event.CodeUnknownTenant},
		{"an unsigned tenant.created", func(d *judge) Decision {
			e := sequencertest.Created(d.keys, "x")
			e.Signature = ""
			return d.put(e)
		}, Refused, event.CodeUnknownTenant},
		{"a signed fact of an unknown tenant", func(d *judge) Decision { return d.put(sequencertest.Signed(d.keys, sequencertest.Lead("x", "1"))) }, Refused, event.CodeUnknownTenant},
		{"tenant.created again", func(d *judge) Decision {
			e := sequencertest.Created(d.keys, "a")
			e.ID = "again"
			return d.put(sequencertest.Signed(d.keys, e))
		}, Refused, event.CodeTenantExists},
		{"tenant.created sent twice", func(d *judge) Decision { return d.put(sequencertest.Created(d.keys, "a")) }, duplicate, ""},
		{"a fact for a suspended tenant", func(d *judge) Decision {
			d.put(sequencertest.TenantEvent(d.keys, "a", "s", "tenant.suspended"))
			return d.put(sequencertest.Lead("a", "1"))
		}, Refused, event.CodeTenantSuspended},
		{"an engine event for a suspended tenant", func(d *judge) Decision {
			d.put(sequencertest.TenantEvent(d.keys, "a", "s", "tenant.suspended"))
			return d.put(sequencertest.Signed(d.keys, sequencertest.Lead("a", "1")))
		}, Admitted, ""},
		{"a fact after tenant.resumed", func(d *judge) Decision {
			d.put(sequencertest.TenantEvent(d.keys, "a", "s", "tenant.suspended"))
			d.put(sequencertest.Lead("a", "1"))
			d.put(sequencertest.TenantEvent(d.keys, "a", "r", "tenant.resumed"))
			return d.put(sequencertest.Lead("a", "1"))
		}, Admitted, ""},
		{"a repeat of an admitted fact while suspended stays a repeat", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			d.put(sequencertest.TenantEvent(d.keys, "a", "s", "tenant.suspended"))
			d.put(sequencertest.Lead("a", "1"))
			d.put(sequencertest.TenantEvent(d.keys, "a", "r", "tenant.resumed"))
			return d.put(sequencertest.Lead("a", "1"))
		}, duplicate, ""},
		{"garbage under an admitted key does not free the key", func(d *judge) Decision {
			d.put(sequencertest.Lead("a", "1"))
			bad := sequencertest.Lead("a", "1")
			bad.Value = []byte("garbage")
			d.put(bad)
			return d.put(sequencertest.Lead("a", "1"))
		}, duplicate, ""},
		{"a reserved type unsigned", func(d *judge) Decision {
			return d.put(sequencertest.Made("a", "1", "tenant.suspended", map[string]any{}))
		}, Refused, event.CodeReservedType},
		{"a reserved type whose data names nothing", func(d *judge) Decision {
			return d.put(sequencertest.Made("a", "1", "crm.contact.upsert.requested", map[string]any{"lead_id": ""}))
		}, Refused, event.CodeReservedType},
		{"a value that is too large and names nothing", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = append(slices.Clone(e.Value[:5]), make([]byte, event.MaxValue)...)
			return d.put(e)
		}, Refused, event.CodeTooLarge},
		{"a reserved type under a wrong signature", func(d *judge) Decision {
			return d.put(sequencertest.Signed(event.NewKeyring(), sequencertest.Made("a", "1", "tenant.suspended", map[string]any{})))
		}, Refused, event.CodeInvalidSignature},
		{"a reserved type without ce_type", func(d *judge) Decision {
			e := sequencertest.Made("a", "1", "tenant.suspended", map[string]any{})
			e.Type = ""
			return d.put(e)
		}, Refused, event.CodeReservedType},
		{"no value", func(d *judge) Decision { e := sequencertest.Lead("a", "1"); e.Value = nil; return d.put(e) }, Refused, event.CodeEmptyValue},
		{"no framing", func(d *judge) Decision { e := sequencertest.Lead("a", "1"); e.Value = []byte("{}"); return d.put(e) }, Refused, event.CodeInvalidFraming},
		{"an unknown schema", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = event.Frame(9999, []byte{0})
			return d.put(e)
		}, Refused, event.CodeUnknownSchema},
		{"a type that is not the schema's", func(d *judge) Decision { e := sequencertest.Lead("a", "1"); e.Type = "lead.lost"; return d.put(e) }, Refused, event.CodeTypeMismatch},
		{"an identifier over its bound", func(d *judge) Decision {
			e := sequencertest.Made("a", "1", "lead.created", map[string]any{"lead_id": strings.Repeat("x", 513)})
			e.Subject = ""
			return d.put(e)
		}, Refused, event.CodeInvalidBody},
		{"a body with something trailing", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = append(e.Value, 0)
			return d.put(e)
		}, Refused, event.CodeInvalidBody},
		{"a refused key, repeated", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(e)
		}, duplicate, event.CodeInvalidBody},
		{"a refused key, corrected", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(sequencertest.Lead("a", "1"))
		}, Admitted, ""},
		{"a refused key, wrong otherwise", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(func() *event.Event { e := sequencertest.Lead("a", "1"); e.Type = "lead.lost"; return e }())
		}, Refused, event.CodeTypeMismatch},
		{"the first number of a deriver", func(d *judge) Decision { return d.put(sequencertest.Derived(d.keys, "a", "d1", 1)) }, Admitted, ""},
		{"the next number", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
			return d.put(sequencertest.Derived(d.keys, "a", "d2", 2))
		}, Admitted, ""},
		{"a number again", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
			return d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
		}, duplicate, ""},
		{"a number again after years", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
			return d.later(9999 * time.Hour).put(sequencertest.Derived(d.keys, "a", "d1", 1))
		}, duplicate, ""},
		{"a number under another id", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
			return d.put(sequencertest.Derived(d.keys, "a", "other", 1))
		}, Refused, event.CodeDeriverConflict},
		{"a jump", func(d *judge) Decision { return d.put(sequencertest.Derived(d.keys, "a", "d2", 2)) }, ignored, ""},
		{"a jump, later in its turn", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d2", 2))
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1))
			return d.put(sequencertest.Derived(d.keys, "a", "d2", 2))
		}, Admitted, ""},
		{"a refused derived event uses up its number", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Value = append(e.Value, 0) }))
			return d.put(sequencertest.Derived(d.keys, "a", "d2", 2))
		}, Admitted, ""},
		{"a refused derived event, sent again", func(d *judge) Decision {
			bad := func(e *event.Event) { e.Value = append(e.Value, 0) }
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1, bad))
			return d.put(sequencertest.Derived(d.keys, "a", "d1", 1, bad))
		}, duplicate, event.CodeInvalidBody},
		{"16 hops", func(d *judge) Decision {
			return d.put(sequencertest.Derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops = 16 }))
		}, Admitted, ""},
		{"17 hops", func(d *judge) Decision {
			return d.put(sequencertest.Derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops, e.Path = 17, []string{"lead.created<r@1"} }))
		}, Refused, event.CodeStorm},
		{"after a storm the next number", func(d *judge) Decision {
			d.put(sequencertest.Derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops = 17 }))
			return d.put(sequencertest.Derived(d.keys, "a", "d2", 2))
		}, Admitted, ""},
		{"a fact with many hops is never cut", func(d *judge) Decision {
			e := sequencertest.Lead("a", "1")
			e.Hops = 40
			return d.put(sequencertest.Signed(d.keys, e))
		}, Admitted, ""},
		{"no key", func(d *judge) Decision { in := d.input(sequencertest.Lead("a", "1")); in.Key = nil; return d.raw(in) }, Refused, event.CodeMissingAttribute},
		{"a key that is no tenant", func(d *judge) Decision {
			in := d.input(sequencertest.Lead("a", "1"))
			in.Key = []byte("Ünsinn")
			return d.raw(in)
		}, Refused, event.CodeInvalidAttribute},
		{"another tenant in ce_tenantid", func(d *judge) Decision {
			in := d.input(sequencertest.Lead("a", "1"))
			in.Key = []byte("b")
			return d.raw(in)
		}, Refused, event.CodeTenantMismatch},
		{"the registry is away", func(d *judge) Decision {
			d.env.Schema = func(int32) (Schema, error) { return nil, ErrUnavailable }
			return d.put(sequencertest.Lead("a", "1"))
		}, Paused, PauseRegistry},
		{"a record of the future", func(d *judge) Decision { d.ms += 61_000; return d.put(sequencertest.Lead("a", "1")) }, Paused, pauseClock},
		{"a record of almost now", func(d *judge) Decision { d.ms += 59_000; return d.put(sequencertest.Lead("a", "1")) }, Admitted, ""},
		{"a position of the future", func(d *judge) Decision {
			d.s.Position = event.PositionAt(d.ms + 61_000)
			return d.put(sequencertest.Lead("a", "1"))
		}, Paused, pauseClock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newJudge(t).tenant("a")
			got := tt.put(d)
			if got.Outcome != tt.want || got.Code != tt.code {
				t.Fatalf("got %s %s (%s), want %s %s", got.Outcome, got.Code, got.Detail, tt.want, tt.code)
			}
			if (got.Recorded != nil) != (tt.want == Admitted) || (got.Dead != nil) != (tt.want == Refused) {
				t.Fatal("what is written does not fit the outcome")
			}
		})
	}
}

func TestAdmit_FillsInWhatABareRecordLacks(t *testing.T) {
	d := newJudge(t).tenant("a")
	in := Input{MS: d.ms, Stamped: true, Key: []byte("a"), Value: sequencertest.Lead("a", "1").Value}
	got := d.raw(in)
	if got.Outcome != Admitted {
		t.Fatalf("%+v", got)
	}
	r := got.Recorded
	if r.Type != "lead.created" || r.Source != "/kafka/neuronx.ingress" || r.ID != event.RecordID("a", [16]byte{1}, 0, 1) || !r.Time.Equal(time.UnixMilli(d.ms)) {
		t.Fatalf("%+v", r.Event)
	}
	if r.Sequence != 2 || r.Position != event.PositionAt(d.ms)+1 || r.LogID != uuid.Nil.String() || !r.RecordedTime.Equal(time.UnixMilli(d.ms)) {
		t.Fatalf("sequence %d position %d", r.Sequence, r.Position)
	}
	if _, err := event.ParseRecorded(in.Key, r.Headers(), in.Value); err != nil {
		t.Fatal(err)
	}
}

func TestAdmit_UsesTheOwnClockWhereTheBrokerDoesNotStamp(t *testing.T) {
	d := newJudge(t).tenant("a")
	in := d.input(sequencertest.Lead("a", "1"))
	in.MS, in.Stamped = 5, false // stamped 1970 by its producer
	if got := d.raw(in); event.PositionTime(got.Recorded.Position) != sequencertest.Now {
		t.Fatalf("%+v", got)
	}
}

func TestAdmit_RefusesATimeThatNoFactHas(t *testing.T) {
	for text, want := range map[string]Outcome{
		"1970-01-01T00:00:00Z": Refused, "0026-11-30T09:00:00Z": Refused, "1899-12-30T00:00:00Z": Refused,
		"1900-01-01T00:00:00Z": Admitted, "1970-01-01T00:00:01Z": Admitted, "1969-12-31T00:00:00Z": Admitted,
		"0001-01-01T00:00:00Z": Admitted, // as if it were absent
		"2026-11-30t09:00:00z": Admitted, "2016-12-31T23:59:60Z": Admitted,
	} {
		d := newJudge(t).tenant("a")
		e := sequencertest.Lead("a", "1")
		in := d.input(e)
		in.Headers = slices.DeleteFunc(in.Headers, func(h event.Header) bool { return h.Key == "ce_time" })
		in.Headers = append(in.Headers, event.Header{Key: "ce_time", Value: []byte(text)})
		got := d.raw(in)
		if got.Outcome != want || want == Refused && (got.Code != event.CodeInvalidAttribute || !strings.Contains(got.Detail, "ce_time")) {
			t.Errorf("%s: %+v", text, got)
		}
		if want == Admitted && got.Recorded != nil && got.Recorded.Time.Year() < 1900 {
			t.Errorf("%s became %s", text, got.Recorded.Time)
		}
	}
}

func TestAdmit_RefusesAnOriginThatItsProducerMayNotClaim(t *testing.T) {
	for _, origin := range []string{"Import", "imported", "bogus", "", " import", "echo", "redrive"} {
		for name, d := range map[string]*judge{"at home": newJudge(t).tenant("a"), "in another's partition": newJudge(t).tenant("a")} {
			in := d.input(sequencertest.Lead("a", "1"))
			in.Headers = append(in.Headers, event.Header{Key: "ce_origin", Value: []byte(origin)})
			if name != "at home" {
				d.env.PartitionOf = func([]byte, int32) int32 { return 1 }
			}
			if got := d.raw(in); got.Outcome != Refused || got.Code != event.CodeInvalidAttribute || !strings.Contains(got.Detail, "ce_origin") ||
				!strings.Contains(got.Detail, "import and backfill") || !strings.Contains(got.Detail, strings.TrimSpace(origin)) {
				t.Errorf("%q %s: %+v", origin, name, got)
			}
		}
	}
	// What an earlier version took as live was admitted; it is sent again and is still a repeat.
	d := newJudge(t).tenant("a")
	d.put(sequencertest.Lead("a", "1"))
	in := d.input(sequencertest.Lead("a", "1"))
	in.Headers = append(in.Headers, event.Header{Key: "ce_origin", Value: []byte("Import")})
	if got := d.raw(in); got.Outcome != duplicate {
		t.Errorf("%+v", got)
	}
}

func TestAdmit_ANewIdempotencyKeyMakesNoNewEventOfTheSameID(t *testing.T) {
	d := newJudge(t).tenant("a")
	send := func(id, key, lead string) Decision {
		e := sequencertest.Made("a", id, "lead.created", map[string]any{"lead_id": lead})
		e.IdempotencyKey = key
		return d.put(e)
	}
	first := send("1", "try-1", "L")
	for _, key := range []string{"try-2", "", "try-1"} {
		if got := send("1", key, "L"); first.Outcome != Admitted || got.Outcome != duplicate || got.of != first.Recorded.Sequence {
			t.Errorf("again under %q: %+v", key, got)
		}
	}
	plain := send("2", "", "L")
	if got := send("2", "try-3", "L"); plain.Outcome != Admitted || got.Outcome != duplicate || got.of != plain.Recorded.Sequence {
		t.Errorf("%+v", got)
	}
	// A client that gives all its events one id tells them apart by the key, as ever.
	if got := send("1", "order-2", "L2"); got.Outcome != Admitted {
		t.Errorf("other data under another key: %+v", got)
	}
	if got := send("1", "order-2", "L3"); got.Outcome != Refused || got.Code != event.CodeConflict {
		t.Errorf("other data under the same key: %+v", got)
	}
	if got := send("", "order-3", "L4"); got.Outcome != Admitted {
		t.Errorf("%+v", got)
	}
	if got := send("", "order-4", "L4"); got.Outcome != Admitted {
		t.Errorf("without an id the key alone counts: %+v", got)
	}
}

func TestAdmit_KnowsARepeatInEverySpellingOfItsID(t *testing.T) {
	d := newJudge(t).tenant("a")
	send := func(headers ...string) Decision {
		in := d.input(&event.Event{TenantID: "a", Value: sequencertest.Lead("a", "1").Value})
		in.Headers = nil
		for i := 0; i < len(headers); i += 2 {
			in.Headers = append(in.Headers, event.Header{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return d.raw(in)
	}
	for _, headers := range [][]string{{"ce-id", "nm1", "ce-source", "/case"}, {"CE_ID", "nm2", "CE_SOURCE", "/case"}, {"Idempotency-Key", "nm3"}} {
		if first, again := send(headers...), send(headers...); first.Outcome != Admitted || again.Outcome != duplicate || strings.HasPrefix(headers[0], "c") && first.eventID != headers[1] {
			t.Errorf("%v: %+v, then %+v", headers, first, again)
		}
	}
	if got := send("ce_id", "nm1", "CE-Source", "/case", "CE-ID", "nm1"); got.Outcome != duplicate {
		t.Errorf("%+v", got)
	}
	for _, headers := range [][]string{{"idempotency-key", ""}, {"ceid", "1"}, {"ce-id", "1", "ce_id", "2"}} {
		if got := send(headers...); got.Outcome != Refused {
			t.Errorf("%v: %+v", headers, got)
		}
	}
	got := send("CE-Hops", "9", "ce-deriver", "rules", "ce_type", "x.y", "ce-id", "nm4") // refused, by its type
	for _, h := range got.Dead.Headers {
		if event.IsSystem(h.Key) {
			t.Errorf("an unsigned %s keeps its name in the dead letter", h.Key)
		}
	}
	if got.Outcome != Refused || len(got.Stripped) != 2 || got.Stripped[0] != "ce_deriver" {
		t.Errorf("%+v", got)
	}
}

func TestAdmit_StripsAndNamesSystemAttributesThatNobodySigned(t *testing.T) {
	d := newJudge(t).tenant("a")
	e := sequencertest.Lead("a", "1")
	e.Hops, e.CausationID, e.Origin, e.Deriver, e.DeriverNumber, e.Path = 3, "c", event.OriginLive, "rules", 7, []string{"x<y@1"}
	got := d.put(e)
	if got.Outcome != Admitted || len(got.Stripped) != 6 {
		t.Fatalf("%+v", got)
	}
	if r := got.Recorded; r.Hops != 0 || r.CausationID != "" || r.Origin != "" || r.Deriver != "" || r.Path != nil {
		t.Fatalf("%+v", r.Event)
	}
	imported := sequencertest.Lead("a", "2")
	imported.Origin = event.OriginImport
	if got := d.put(imported); got.Recorded.Origin != event.OriginImport || len(got.Stripped) != 0 {
		t.Fatalf("%+v", got)
	}
	echo := sequencertest.Lead("a", "3")
	echo.Origin = event.OriginEcho
	if got := d.put(sequencertest.Signed(d.keys, echo)); got.Recorded.Origin != event.OriginEcho || got.BadSig {
		t.Fatalf("%+v", got)
	}
	if got := d.put(sequencertest.Signed(event.NewKeyring(), sequencertest.Lead("a", "4"))); got.Outcome != Admitted || !got.BadSig {
		t.Fatalf("a fact under a foreign key's signature: %+v", got)
	}
}

func TestAdmit_ForwardsAMisroutedRecordOnceAndKeepsItsIdentity(t *testing.T) {
	away := newJudge(t)
	home := newJudge(t)
	home.keys, home.env.Verify, home.env.Sign = away.keys, away.keys.Verify, away.keys.Sign
	home.tenant("a")
	away.env.PartitionOf = func([]byte, int32) int32 { return 4 }
	away.next = 77

	got := away.raw(Input{MS: away.ms, Stamped: true, Key: []byte("a"), Value: sequencertest.Lead("a", "1").Value})
	if got.Outcome != forwarded || got.Forward.Partition != 4 {
		t.Fatalf("%+v", got)
	}
	at := home.raw(Input{MS: home.ms, Stamped: true, Key: got.Forward.Key, Headers: got.Forward.Headers, Value: got.Forward.Value})
	if at.Outcome != Admitted || at.Recorded.ID != event.RecordID("a", [16]byte{1}, 0, 77) {
		t.Fatalf("%+v", at)
	}
	again := away.raw(Input{MS: away.ms, Stamped: true, Key: got.Forward.Key, Headers: got.Forward.Headers, Value: got.Forward.Value})
	if again.Outcome != Refused || again.Code != event.CodeMisrouted {
		t.Fatalf("%+v", again)
	}

	// Our signature on a forwarded record does not make it the engine's.
	in := away.input(sequencertest.Made("a", "x", "tenant.suspended", map[string]any{}))
	got = away.raw(in)
	if at := home.raw(Input{MS: home.ms, Stamped: true, Key: got.Forward.Key, Headers: got.Forward.Headers, Value: got.Forward.Value}); at.Code != event.CodeReservedType {
		t.Fatalf("a forged control event went through by being misrouted: %+v", at)
	}
	// But the engine's own stays the engine's.
	got = away.raw(away.input(sequencertest.TenantEvent(away.keys, "a", "s", "tenant.suspended")))
	if at := home.raw(Input{MS: home.ms, Stamped: true, Key: got.Forward.Key, Headers: got.Forward.Headers, Value: got.Forward.Value}); at.Outcome != Admitted {
		t.Fatalf("%+v", at)
	}
}

func TestAdmit_DeadLetterKeepsTheRecordAndSaysWhy(t *testing.T) {
	d := newJudge(t).tenant("a")
	e := sequencertest.Lead("a", "1")
	e.Value = append(e.Value, 0)
	e.Deriver, e.DeriverNumber = "rules", 1 // unsigned: the outbox must not take it for its own
	in := d.input(e)
	in.Headers = append(in.Headers, event.Header{Key: event.DeadCode, Value: []byte("forged")})
	got := d.raw(in)
	h := map[string]string{}
	for _, x := range got.Dead.Headers {
		if _, twice := h[x.Key]; twice {
			t.Fatalf("%s is there twice", x.Key)
		}
		h[x.Key] = string(x.Value)
	}
	if !bytes.Equal(got.Dead.Value, e.Value) || string(got.Dead.Key) != "a" || h["ce_id"] != "1" || h["ce_tenantid"] != "a" {
		t.Fatalf("%+v", got.Dead)
	}
	if h[event.DeadCode] != string(event.CodeInvalidBody) || h[event.DeadDetail] == "" || h[event.DeadTopic] != "neuronx.ingress" || h[event.DeadPartition] != "0" || h[event.DeadOffset] != "1" || h["ce_recordedtime"] == "" {
		t.Fatalf("%+v", h)
	}
	if h["ce_deriver"] != "" || h["nx_unsigned_ce_deriver"] != "rules" {
		t.Fatalf("%+v", h)
	}
}

func TestAdmit_CutsADeadLetterThatWouldNotFit(t *testing.T) {
	d := newJudge(t).tenant("a")
	for name, in := range map[string]Input{
		"value":   {MS: d.ms, Stamped: true, Key: []byte("a"), Value: make([]byte, 3<<20)},
		"headers": {MS: d.ms, Stamped: true, Key: []byte("a"), Headers: []event.Header{{Key: "x", Value: make([]byte, 3<<20)}}},
		"key":     {MS: d.ms, Stamped: true, Key: make([]byte, 3<<20)},
	} {
		got := d.raw(in)
		if got.Outcome != Refused || size(got.Dead.Key, got.Dead.Headers, got.Dead.Value) > maxOutput {
			t.Fatalf("%s: %s %s, %d bytes", name, got.Outcome, got.Code, size(got.Dead.Key, got.Dead.Headers, got.Dead.Value))
		}
	}
	big := sequencertest.Lead("a", "big")
	big.Value = sequencertest.Schemas.Value("lead.created", map[string]any{"lead_id": strings.Repeat("x", 1<<20)})
	if got := d.put(big); got.Code != event.CodeTooLarge {
		t.Fatalf("%s %s", got.Outcome, got.Code)
	}
}

func TestAdmit_AddsLessThanItAllowsFor(t *testing.T) {
	tenant := strings.Repeat("t", 63)
	d := newJudge(t).tenant(tenant)
	bare := d.input(sequencertest.Lead(tenant, "x"))
	bare.Headers = nil
	got := d.raw(bare)
	if got.Outcome != Admitted {
		t.Fatalf("%+v", got)
	}
	if added := size(bare.Key, got.Recorded.Headers(), bare.Value) - size(bare.Key, bare.Headers, bare.Value); added > maxAdded/2 {
		t.Fatalf("%d bytes were added, the bound is %d", added, maxAdded)
	}
}

func TestAdmit_CountsEveryRecordOnce(t *testing.T) {
	d := newJudge(t).tenant("a")
	d.put(sequencertest.Lead("a", "1"))
	d.put(sequencertest.Lead("a", "1"))
	d.put(sequencertest.Derived(d.keys, "a", "x", 5))
	e := sequencertest.Lead("a", "2")
	e.Value = append(e.Value, 0)
	d.put(e)
	for i := range 100 {
		d.put(sequencertest.Lead(fmt.Sprintf("invented-%d", i), "1"))
	}
	if c := d.s.Tenants["a"].Counts; c != (Counts{Admitted: 2, Duplicates: 1, Refused: 1, Ignored: 1}) {
		t.Fatalf("%+v", c)
	}
	if c := d.s.Tenants[NoTenant].Counts; c != (Counts{Refused: 100}) || len(d.s.Tenants) != 2 {
		t.Fatalf("%+v, %d tenants kept", c, len(d.s.Tenants))
	}
}

func TestAdmit_KeepsWhatCanBeReadOfARecordThatIsTooLargeToBeRead(t *testing.T) {
	d := newJudge(t).tenant("acme")
	in := d.input(sequencertest.Lead("acme", "1"))
	in.Unread = "the record of the offset 7 can't be taken"
	got := d.raw(in)
	if got.Outcome != Refused || got.Code != event.CodeTooLarge || got.Dead == nil || string(got.Dead.Key) != "acme" || len(got.Dead.Value) == 0 {
		t.Fatalf("%+v", got)
	}
	has := map[string]string{}
	for _, h := range got.Dead.Headers {
		has[h.Key] = string(h.Value)
	}
	if has[event.DeadTenant] != "acme" || has["ce_id"] == "" || has[event.DeadDetail] != in.Unread {
		t.Errorf("the letter has %v", has)
	}
}

func TestAdmit_RefusesABatchThatCouldNotBeReadAsAWhole(t *testing.T) {
	d := newJudge(t).tenant("acme")
	got := d.raw(Input{Unread: "the batch of the offsets 7 to 9 inflates to more than allowed"})
	if got.Outcome != Refused || got.Code != event.CodeTooLarge || got.Dead == nil || len(got.Dead.Value) != 0 {
		t.Errorf("%+v", got)
	}
	if got := d.put(sequencertest.Lead("acme", "1")); got.Outcome != Admitted {
		t.Errorf("the next event: %+v", got)
	}
}
