package sequencer

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
)

// door judges single records as a sequencer would, one transaction each.
type door struct {
	t    testing.TB
	keys *event.Keyring
	s    *State
	env  env
	ms   int64
	next int64
}

func newDoor(t testing.TB) *door {
	keys := event.NewKeyring()
	d := &door{t: t, keys: keys, ms: testNow, s: newState([16]byte{1}, 0, uuid.Nil.String(), 0)}
	d.env = env{
		topic: kafka.TopicIngress, partitions: 6, partitionOf: func([]byte, int32) int32 { return 0 },
		schema: schemaByID, verify: keys.Verify, sign: keys.Sign, nowMS: testNow,
	}
	return d
}

// schemaByID answers as the sequencer's cache does.
func schemaByID(id int32) (Schema, error) {
	if s := testSchemas.byID[id]; s != nil {
		return s, nil
	}
	return nil, errUnknownSchema
}

func (d *door) input(e *event.Event) input {
	return input{offset: d.next, ms: d.ms, stamped: true, key: []byte(e.TenantID), headers: e.Headers(), value: e.Value}
}

func (d *door) put(e *event.Event) decision { return d.raw(d.input(e)) }

func (d *door) raw(in input) decision {
	o := newOverlay(d.s, nil, 0)
	in.offset = d.next
	got := admit(&d.env, o, in)
	if got.outcome != paused {
		d.next++
		d.s.merge(o, 0, 0)
	}
	return got
}

func (d *door) tenant(name string) *door {
	if got := d.put(created(d.keys, name)); got.outcome != admitted {
		d.t.Fatalf("tenant %s: %+v", name, got)
	}
	return d
}

func (d *door) later(by time.Duration) *door {
	d.ms += by.Milliseconds()
	d.env.nowMS = d.ms
	return d
}

func TestAdmit_Verdicts(t *testing.T) {
	other := func(e *event.Event) *event.Event {
		e.Value = testSchemas.value("lead.created", map[string]any{"lead_id": "another"})
		return e
	}
	tests := []struct {
		name string
		put  func(d *door) decision
		want outcome
		code event.Code
	}{
		{"a fact", func(d *door) decision { return d.put(lead("a", "1")) }, admitted, ""},
		{"a repeat", func(d *door) decision { d.put(lead("a", "1")); return d.put(lead("a", "1")) }, duplicate, ""},
		{"a repeat of another tenant's key", func(d *door) decision { d.tenant("b").put(lead("a", "1")); return d.put(lead("b", "1")) }, admitted, ""},
		{"a key with another body", func(d *door) decision { d.put(lead("a", "1")); return d.put(other(lead("a", "1"))) }, refused, event.CodeConflict},
		{"a conflict again", func(d *door) decision {
			d.put(lead("a", "1"))
			d.put(other(lead("a", "1")))
			return d.put(other(lead("a", "1")))
		}, duplicate, event.CodeConflict},
		{"the first after a conflict", func(d *door) decision {
			d.put(lead("a", "1"))
			d.put(other(lead("a", "1")))
			return d.put(lead("a", "1"))
		}, duplicate, ""},
		{"a repeat within the day", func(d *door) decision {
			d.put(lead("a", "1"))
			return d.later(24*time.Hour - time.Second).put(lead("a", "1"))
		}, duplicate, ""},
		{"a repeat after the day", func(d *door) decision {
			d.put(lead("a", "1"))
			return d.later(24*time.Hour + 2*time.Second).put(lead("a", "1"))
		}, admitted, ""},
		{"a repeat does not prolong the day", func(d *door) decision {
			d.put(lead("a", "1"))
			d.later(13 * time.Hour).put(lead("a", "1"))
			return d.later(12 * time.Hour).put(lead("a", "1"))
		}, admitted, ""},
		{"two ids under one idempotency key", func(d *door) decision {
			x, y := lead("a", "1"), lead("a", "1")
			x.IdempotencyKey, y.IdempotencyKey, y.ID = "k", "k", "2"
			d.put(x)
			return d.put(y)
		}, duplicate, ""},
		{"a C1 control in the id", func(d *door) decision { return d.put(lead("a", "t22\u009b31m")) }, refused, event.CodeInvalidAttribute},
		{"a bidi override in the subject", func(d *door) decision {
			e := lead("a", "1")
			e.Subject = "lead/\u202egnp.exe"
			return d.put(e)
		}, refused, event.CodeInvalidAttribute},
		{"a noncharacter in an extension", func(d *door) decision {
			e := lead("a", "1")
			e.Extra = []event.Header{{Key: "ce_partner", Value: []byte("\uffff")}}
			return d.put(e)
		}, refused, event.CodeInvalidAttribute},
		{"another program's binary header", func(d *door) decision {
			e := lead("a", "1")
			e.Extra = []event.Header{{Key: "b3", Value: []byte("\x9b\x00")}}
			return d.put(e)
		}, admitted, ""},
		{"what is derived from an old event with a C1 control", func(d *door) decision {
			e := lead("a", "1")
			e.Subject, e.CausationID = "lead/\u009b", "old\u009b"
			return d.put(signed(d.keys, e))
		}, admitted, ""},
		{"an unknown tenant", func(d *door) decision { return d.put(lead("x", "1")) }, refused, event.CodeUnknownTenant},
		{"an unsigned tenant.created", func(d *door) decision {
			e := created(d.keys, "x")
			e.Signature = ""
			return d.put(e)
		}, refused, event.CodeUnknownTenant},
		{"a signed fact of an unknown tenant", func(d *door) decision { return d.put(signed(d.keys, lead("x", "1"))) }, refused, event.CodeUnknownTenant},
		{"tenant.created again", func(d *door) decision {
			e := created(d.keys, "a")
			e.ID = "again"
			return d.put(signed(d.keys, e))
		}, refused, event.CodeTenantExists},
		{"tenant.created sent twice", func(d *door) decision { return d.put(created(d.keys, "a")) }, duplicate, ""},
		{"a fact for a suspended tenant", func(d *door) decision {
			d.put(tenantEvent(d.keys, "a", "s", "tenant.suspended"))
			return d.put(lead("a", "1"))
		}, refused, event.CodeTenantSuspended},
		{"an engine event for a suspended tenant", func(d *door) decision {
			d.put(tenantEvent(d.keys, "a", "s", "tenant.suspended"))
			return d.put(signed(d.keys, lead("a", "1")))
		}, admitted, ""},
		{"a fact after tenant.resumed", func(d *door) decision {
			d.put(tenantEvent(d.keys, "a", "s", "tenant.suspended"))
			d.put(lead("a", "1"))
			d.put(tenantEvent(d.keys, "a", "r", "tenant.resumed"))
			return d.put(lead("a", "1"))
		}, admitted, ""},
		{"a repeat of an admitted fact while suspended stays a repeat", func(d *door) decision {
			d.put(lead("a", "1"))
			d.put(tenantEvent(d.keys, "a", "s", "tenant.suspended"))
			d.put(lead("a", "1"))
			d.put(tenantEvent(d.keys, "a", "r", "tenant.resumed"))
			return d.put(lead("a", "1"))
		}, duplicate, ""},
		{"garbage under an admitted key does not free the key", func(d *door) decision {
			d.put(lead("a", "1"))
			bad := lead("a", "1")
			bad.Value = []byte("garbage")
			d.put(bad)
			return d.put(lead("a", "1"))
		}, duplicate, ""},
		{"a reserved type unsigned", func(d *door) decision {
			return d.put(made("a", "1", "tenant.suspended", map[string]any{}))
		}, refused, event.CodeReservedType},
		{"a reserved type whose data names nothing", func(d *door) decision {
			return d.put(made("a", "1", "crm.contact.upsert.requested", map[string]any{"lead_id": ""}))
		}, refused, event.CodeReservedType},
		{"a value that is too large and names nothing", func(d *door) decision {
			e := lead("a", "1")
			e.Value = append(slices.Clone(e.Value[:5]), make([]byte, event.MaxValue)...)
			return d.put(e)
		}, refused, event.CodeTooLarge},
		{"a reserved type under a wrong signature", func(d *door) decision {
			return d.put(signed(event.NewKeyring(), made("a", "1", "tenant.suspended", map[string]any{})))
		}, refused, event.CodeInvalidSignature},
		{"a reserved type without ce_type", func(d *door) decision {
			e := made("a", "1", "tenant.suspended", map[string]any{})
			e.Type = ""
			return d.put(e)
		}, refused, event.CodeReservedType},
		{"no value", func(d *door) decision { e := lead("a", "1"); e.Value = nil; return d.put(e) }, refused, event.CodeEmptyValue},
		{"no framing", func(d *door) decision { e := lead("a", "1"); e.Value = []byte("{}"); return d.put(e) }, refused, event.CodeInvalidFraming},
		{"an unknown schema", func(d *door) decision {
			e := lead("a", "1")
			e.Value = event.Frame(9999, []byte{0})
			return d.put(e)
		}, refused, event.CodeUnknownSchema},
		{"a type that is not the schema's", func(d *door) decision { e := lead("a", "1"); e.Type = "lead.lost"; return d.put(e) }, refused, event.CodeTypeMismatch},
		{"an identifier over its bound", func(d *door) decision {
			e := made("a", "1", "lead.created", map[string]any{"lead_id": strings.Repeat("x", 513)})
			e.Subject = ""
			return d.put(e)
		}, refused, event.CodeInvalidBody},
		{"a body with something trailing", func(d *door) decision { e := lead("a", "1"); e.Value = append(e.Value, 0); return d.put(e) }, refused, event.CodeInvalidBody},
		{"a refused key, repeated", func(d *door) decision {
			e := lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(e)
		}, duplicate, event.CodeInvalidBody},
		{"a refused key, corrected", func(d *door) decision {
			e := lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(lead("a", "1"))
		}, admitted, ""},
		{"a refused key, wrong otherwise", func(d *door) decision {
			e := lead("a", "1")
			e.Value = append(e.Value, 0)
			d.put(e)
			return d.put(func() *event.Event { e := lead("a", "1"); e.Type = "lead.lost"; return e }())
		}, refused, event.CodeTypeMismatch},
		{"the first number of a deriver", func(d *door) decision { return d.put(derived(d.keys, "a", "d1", 1)) }, admitted, ""},
		{"the next number", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1))
			return d.put(derived(d.keys, "a", "d2", 2))
		}, admitted, ""},
		{"a number again", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1))
			return d.put(derived(d.keys, "a", "d1", 1))
		}, duplicate, ""},
		{"a number again after years", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1))
			return d.later(9999 * time.Hour).put(derived(d.keys, "a", "d1", 1))
		}, duplicate, ""},
		{"a number under another id", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1))
			return d.put(derived(d.keys, "a", "other", 1))
		}, refused, event.CodeDeriverConflict},
		{"a jump", func(d *door) decision { return d.put(derived(d.keys, "a", "d2", 2)) }, ignored, ""},
		{"a jump, later in its turn", func(d *door) decision {
			d.put(derived(d.keys, "a", "d2", 2))
			d.put(derived(d.keys, "a", "d1", 1))
			return d.put(derived(d.keys, "a", "d2", 2))
		}, admitted, ""},
		{"a refused derived event uses up its number", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Value = append(e.Value, 0) }))
			return d.put(derived(d.keys, "a", "d2", 2))
		}, admitted, ""},
		{"a refused derived event, sent again", func(d *door) decision {
			bad := func(e *event.Event) { e.Value = append(e.Value, 0) }
			d.put(derived(d.keys, "a", "d1", 1, bad))
			return d.put(derived(d.keys, "a", "d1", 1, bad))
		}, duplicate, event.CodeInvalidBody},
		{"16 hops", func(d *door) decision {
			return d.put(derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops = 16 }))
		}, admitted, ""},
		{"17 hops", func(d *door) decision {
			return d.put(derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops, e.Path = 17, []string{"lead.created<r@1"} }))
		}, refused, event.CodeStorm},
		{"after a storm the next number", func(d *door) decision {
			d.put(derived(d.keys, "a", "d1", 1, func(e *event.Event) { e.Hops = 17 }))
			return d.put(derived(d.keys, "a", "d2", 2))
		}, admitted, ""},
		{"a fact with many hops is never cut", func(d *door) decision {
			e := lead("a", "1")
			e.Hops = 40
			return d.put(signed(d.keys, e))
		}, admitted, ""},
		{"no key", func(d *door) decision { in := d.input(lead("a", "1")); in.key = nil; return d.raw(in) }, refused, event.CodeMissingAttribute},
		{"a key that is no tenant", func(d *door) decision {
			in := d.input(lead("a", "1"))
			in.key = []byte("Ünsinn")
			return d.raw(in)
		}, refused, event.CodeInvalidAttribute},
		{"another tenant in ce_tenantid", func(d *door) decision {
			in := d.input(lead("a", "1"))
			in.key = []byte("b")
			return d.raw(in)
		}, refused, event.CodeTenantMismatch},
		{"the registry is away", func(d *door) decision {
			d.env.schema = func(int32) (Schema, error) { return nil, errUnavailable }
			return d.put(lead("a", "1"))
		}, paused, pauseRegistry},
		{"a record of the future", func(d *door) decision { d.ms += 61_000; return d.put(lead("a", "1")) }, paused, pauseClock},
		{"a record of almost now", func(d *door) decision { d.ms += 59_000; return d.put(lead("a", "1")) }, admitted, ""},
		{"a position of the future", func(d *door) decision {
			d.s.position = event.PositionAt(d.ms + 61_000)
			return d.put(lead("a", "1"))
		}, paused, pauseClock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t).tenant("a")
			got := tt.put(d)
			if got.outcome != tt.want || got.code != tt.code {
				t.Fatalf("got %s %s (%s), want %s %s", got.outcome, got.code, got.detail, tt.want, tt.code)
			}
			if (got.recorded != nil) != (tt.want == admitted) || (got.dead != nil) != (tt.want == refused) {
				t.Fatal("what is written does not fit the outcome")
			}
		})
	}
}

func TestAdmit_FillsInWhatABareRecordLacks(t *testing.T) {
	d := newDoor(t).tenant("a")
	in := input{ms: d.ms, stamped: true, key: []byte("a"), value: lead("a", "1").Value}
	got := d.raw(in)
	if got.outcome != admitted {
		t.Fatalf("%+v", got)
	}
	r := got.recorded
	if r.Type != "lead.created" || r.Source != "/kafka/neuronx.ingress" || r.ID != event.RecordID("a", [16]byte{1}, 0, 1) || !r.Time.Equal(time.UnixMilli(d.ms)) {
		t.Fatalf("%+v", r.Event)
	}
	if r.Sequence != 2 || r.Position != event.PositionAt(d.ms)+1 || r.LogID != uuid.Nil.String() || !r.RecordedTime.Equal(time.UnixMilli(d.ms)) {
		t.Fatalf("sequence %d position %d", r.Sequence, r.Position)
	}
	if _, err := event.ParseRecorded(in.key, r.Headers(), in.value); err != nil {
		t.Fatal(err)
	}
}

func TestAdmit_UsesTheOwnClockWhereTheBrokerDoesNotStamp(t *testing.T) {
	d := newDoor(t).tenant("a")
	in := d.input(lead("a", "1"))
	in.ms, in.stamped = 5, false // stamped 1970 by its producer
	if got := d.raw(in); event.PositionTime(got.recorded.Position) != testNow {
		t.Fatalf("%+v", got)
	}
}

func TestAdmit_RefusesATimeThatNoFactHas(t *testing.T) {
	for text, want := range map[string]outcome{
		"1970-01-01T00:00:00Z": refused, "0026-11-30T09:00:00Z": refused, "1899-12-30T00:00:00Z": refused,
		"1900-01-01T00:00:00Z": admitted, "1970-01-01T00:00:01Z": admitted, "1969-12-31T00:00:00Z": admitted,
		"0001-01-01T00:00:00Z": admitted, // as if it were absent
		"2026-11-30t09:00:00z": admitted, "2016-12-31T23:59:60Z": admitted,
	} {
		d := newDoor(t).tenant("a")
		e := lead("a", "1")
		in := d.input(e)
		in.headers = slices.DeleteFunc(in.headers, func(h event.Header) bool { return h.Key == "ce_time" })
		in.headers = append(in.headers, event.Header{Key: "ce_time", Value: []byte(text)})
		got := d.raw(in)
		if got.outcome != want || want == refused && (got.code != event.CodeInvalidAttribute || !strings.Contains(got.detail, "ce_time")) {
			t.Errorf("%s: %+v", text, got)
		}
		if want == admitted && got.recorded != nil && got.recorded.Time.Year() < 1900 {
			t.Errorf("%s became %s", text, got.recorded.Time)
		}
	}
}

func TestAdmit_RefusesAnOriginThatItsProducerMayNotClaim(t *testing.T) {
	for _, origin := range []string{"Import", "imported", "bogus", "", " import", "echo", "redrive"} {
		for name, d := range map[string]*door{"at home": newDoor(t).tenant("a"), "in another's partition": newDoor(t).tenant("a")} {
			in := d.input(lead("a", "1"))
			in.headers = append(in.headers, event.Header{Key: "ce_origin", Value: []byte(origin)})
			if name != "at home" {
				d.env.partitionOf = func([]byte, int32) int32 { return 1 }
			}
			if got := d.raw(in); got.outcome != refused || got.code != event.CodeInvalidAttribute || !strings.Contains(got.detail, "ce_origin") ||
				!strings.Contains(got.detail, "import and backfill") || !strings.Contains(got.detail, strings.TrimSpace(origin)) {
				t.Errorf("%q %s: %+v", origin, name, got)
			}
		}
	}
	// What an earlier version took as live was admitted; it is sent again and is still a repeat.
	d := newDoor(t).tenant("a")
	d.put(lead("a", "1"))
	in := d.input(lead("a", "1"))
	in.headers = append(in.headers, event.Header{Key: "ce_origin", Value: []byte("Import")})
	if got := d.raw(in); got.outcome != duplicate {
		t.Errorf("%+v", got)
	}
}

func TestAdmit_ANewIdempotencyKeyMakesNoNewEventOfTheSameID(t *testing.T) {
	d := newDoor(t).tenant("a")
	send := func(id, key, lead string) decision {
		e := made("a", id, "lead.created", map[string]any{"lead_id": lead})
		e.IdempotencyKey = key
		return d.put(e)
	}
	first := send("1", "try-1", "L")
	for _, key := range []string{"try-2", "", "try-1"} {
		if got := send("1", key, "L"); first.outcome != admitted || got.outcome != duplicate || got.of != first.recorded.Sequence {
			t.Errorf("again under %q: %+v", key, got)
		}
	}
	plain := send("2", "", "L")
	if got := send("2", "try-3", "L"); plain.outcome != admitted || got.outcome != duplicate || got.of != plain.recorded.Sequence {
		t.Errorf("%+v", got)
	}
	// A client that gives all its events one id tells them apart by the key, as ever.
	if got := send("1", "order-2", "L2"); got.outcome != admitted {
		t.Errorf("other data under another key: %+v", got)
	}
	if got := send("1", "order-2", "L3"); got.outcome != refused || got.code != event.CodeConflict {
		t.Errorf("other data under the same key: %+v", got)
	}
	if got := send("", "order-3", "L4"); got.outcome != admitted {
		t.Errorf("%+v", got)
	}
	if got := send("", "order-4", "L4"); got.outcome != admitted {
		t.Errorf("without an id the key alone counts: %+v", got)
	}
}

func TestAdmit_KnowsARepeatInEverySpellingOfItsID(t *testing.T) {
	d := newDoor(t).tenant("a")
	send := func(headers ...string) decision {
		in := d.input(&event.Event{TenantID: "a", Value: lead("a", "1").Value})
		in.headers = nil
		for i := 0; i < len(headers); i += 2 {
			in.headers = append(in.headers, event.Header{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return d.raw(in)
	}
	for _, headers := range [][]string{{"ce-id", "nm1", "ce-source", "/case"}, {"CE_ID", "nm2", "CE_SOURCE", "/case"}, {"Idempotency-Key", "nm3"}} {
		if first, again := send(headers...), send(headers...); first.outcome != admitted || again.outcome != duplicate || strings.HasPrefix(headers[0], "c") && first.eventID != headers[1] {
			t.Errorf("%v: %+v, then %+v", headers, first, again)
		}
	}
	if got := send("ce_id", "nm1", "CE-Source", "/case", "CE-ID", "nm1"); got.outcome != duplicate {
		t.Errorf("%+v", got)
	}
	for _, headers := range [][]string{{"idempotency-key", ""}, {"ceid", "1"}, {"ce-id", "1", "ce_id", "2"}} {
		if got := send(headers...); got.outcome != refused {
			t.Errorf("%v: %+v", headers, got)
		}
	}
	got := send("CE-Hops", "9", "ce-deriver", "rules", "ce_type", "x.y", "ce-id", "nm4") // refused, by its type
	for _, h := range got.dead.headers {
		if event.IsSystem(h.Key) {
			t.Errorf("an unsigned %s keeps its name in the dead letter", h.Key)
		}
	}
	if got.outcome != refused || len(got.stripped) != 2 || got.stripped[0] != "ce_deriver" {
		t.Errorf("%+v", got)
	}
}

func TestAdmit_StripsAndNamesSystemAttributesThatNobodySigned(t *testing.T) {
	d := newDoor(t).tenant("a")
	e := lead("a", "1")
	e.Hops, e.CausationID, e.Origin, e.Deriver, e.DeriverNumber, e.Path = 3, "c", event.OriginLive, "rules", 7, []string{"x<y@1"}
	got := d.put(e)
	if got.outcome != admitted || len(got.stripped) != 6 {
		t.Fatalf("%+v", got)
	}
	if r := got.recorded; r.Hops != 0 || r.CausationID != "" || r.Origin != "" || r.Deriver != "" || r.Path != nil {
		t.Fatalf("%+v", r.Event)
	}
	imported := lead("a", "2")
	imported.Origin = event.OriginImport
	if got := d.put(imported); got.recorded.Origin != event.OriginImport || len(got.stripped) != 0 {
		t.Fatalf("%+v", got)
	}
	echo := lead("a", "3")
	echo.Origin = event.OriginEcho
	if got := d.put(signed(d.keys, echo)); got.recorded.Origin != event.OriginEcho || got.badSig {
		t.Fatalf("%+v", got)
	}
	if got := d.put(signed(event.NewKeyring(), lead("a", "4"))); got.outcome != admitted || !got.badSig {
		t.Fatalf("a fact under a foreign key's signature: %+v", got)
	}
}

func TestAdmit_ForwardsAMisroutedRecordOnceAndKeepsItsIdentity(t *testing.T) {
	away := newDoor(t)
	home := newDoor(t)
	home.keys, home.env.verify, home.env.sign = away.keys, away.keys.Verify, away.keys.Sign
	home.tenant("a")
	away.env.partitionOf = func([]byte, int32) int32 { return 4 }
	away.next = 77

	got := away.raw(input{ms: away.ms, stamped: true, key: []byte("a"), value: lead("a", "1").Value})
	if got.outcome != forwarded || got.forward.partition != 4 {
		t.Fatalf("%+v", got)
	}
	at := home.raw(input{ms: home.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value})
	if at.outcome != admitted || at.recorded.ID != event.RecordID("a", [16]byte{1}, 0, 77) {
		t.Fatalf("%+v", at)
	}
	again := away.raw(input{ms: away.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value})
	if again.outcome != refused || again.code != event.CodeMisrouted {
		t.Fatalf("%+v", again)
	}

	// Our signature on a forwarded record does not make it the engine's.
	in := away.input(made("a", "x", "tenant.suspended", map[string]any{}))
	got = away.raw(in)
	if at := home.raw(input{ms: home.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value}); at.code != event.CodeReservedType {
		t.Fatalf("a forged control event went through by being misrouted: %+v", at)
	}
	// But the engine's own stays the engine's.
	got = away.raw(away.input(tenantEvent(away.keys, "a", "s", "tenant.suspended")))
	if at := home.raw(input{ms: home.ms, stamped: true, key: got.forward.key, headers: got.forward.headers, value: got.forward.value}); at.outcome != admitted {
		t.Fatalf("%+v", at)
	}
}

func TestAdmit_DeadLetterKeepsTheRecordAndSaysWhy(t *testing.T) {
	d := newDoor(t).tenant("a")
	e := lead("a", "1")
	e.Value = append(e.Value, 0)
	e.Deriver, e.DeriverNumber = "rules", 1 // unsigned: the outbox must not take it for its own
	in := d.input(e)
	in.headers = append(in.headers, event.Header{Key: event.DeadCode, Value: []byte("forged")})
	got := d.raw(in)
	h := map[string]string{}
	for _, x := range got.dead.headers {
		if _, twice := h[x.Key]; twice {
			t.Fatalf("%s is there twice", x.Key)
		}
		h[x.Key] = string(x.Value)
	}
	if !bytes.Equal(got.dead.value, e.Value) || string(got.dead.key) != "a" || h["ce_id"] != "1" || h["ce_tenantid"] != "a" {
		t.Fatalf("%+v", got.dead)
	}
	if h[event.DeadCode] != string(event.CodeInvalidBody) || h[event.DeadDetail] == "" || h[event.DeadTopic] != "neuronx.ingress" || h[event.DeadPartition] != "0" || h[event.DeadOffset] != "1" || h["ce_recordedtime"] == "" {
		t.Fatalf("%+v", h)
	}
	if h["ce_deriver"] != "" || h["nx_unsigned_ce_deriver"] != "rules" {
		t.Fatalf("%+v", h)
	}
}

func TestAdmit_CutsADeadLetterThatWouldNotFit(t *testing.T) {
	d := newDoor(t).tenant("a")
	for name, in := range map[string]input{
		"value":   {ms: d.ms, stamped: true, key: []byte("a"), value: make([]byte, 3<<20)},
		"headers": {ms: d.ms, stamped: true, key: []byte("a"), headers: []event.Header{{Key: "x", Value: make([]byte, 3<<20)}}},
		"key":     {ms: d.ms, stamped: true, key: make([]byte, 3<<20)},
	} {
		got := d.raw(in)
		if got.outcome != refused || size(got.dead.key, got.dead.headers, got.dead.value) > maxOutput {
			t.Fatalf("%s: %s %s, %d bytes", name, got.outcome, got.code, size(got.dead.key, got.dead.headers, got.dead.value))
		}
	}
	big := lead("a", "big")
	big.Value = testSchemas.value("lead.created", map[string]any{"lead_id": strings.Repeat("x", 1<<20)})
	if got := d.put(big); got.code != event.CodeTooLarge {
		t.Fatalf("%s %s", got.outcome, got.code)
	}
}

func TestAdmit_AddsLessThanItAllowsFor(t *testing.T) {
	tenant := strings.Repeat("t", 63)
	d := newDoor(t).tenant(tenant)
	bare := d.input(lead(tenant, "x"))
	bare.headers = nil
	got := d.raw(bare)
	if got.outcome != admitted {
		t.Fatalf("%+v", got)
	}
	if added := size(bare.key, got.recorded.Headers(), bare.value) - size(bare.key, bare.headers, bare.value); added > maxAdded/2 {
		t.Fatalf("%d bytes were added, the bound is %d", added, maxAdded)
	}
}

func TestAdmit_CountsEveryRecordOnce(t *testing.T) {
	d := newDoor(t).tenant("a")
	d.put(lead("a", "1"))
	d.put(lead("a", "1"))
	d.put(derived(d.keys, "a", "x", 5))
	e := lead("a", "2")
	e.Value = append(e.Value, 0)
	d.put(e)
	for i := range 100 {
		d.put(lead(fmt.Sprintf("invented-%d", i), "1"))
	}
	if c := d.s.tenants["a"].counts; c != (counts{Admitted: 2, Duplicates: 1, Refused: 1, Ignored: 1}) {
		t.Fatalf("%+v", c)
	}
	if c := d.s.tenants[nobody].counts; c != (counts{Refused: 100}) || len(d.s.tenants) != 2 {
		t.Fatalf("%+v, %d tenants kept", c, len(d.s.tenants))
	}
}

func TestAdmit_KeepsWhatCanBeReadOfARecordThatIsTooLargeToBeRead(t *testing.T) {
	d := newDoor(t).tenant("acme")
	in := d.input(lead("acme", "1"))
	in.unread = "the record of the offset 7 can't be taken"
	got := d.raw(in)
	if got.outcome != refused || got.code != event.CodeTooLarge || got.dead == nil || string(got.dead.key) != "acme" || len(got.dead.value) == 0 {
		t.Fatalf("%+v", got)
	}
	has := map[string]string{}
	for _, h := range got.dead.headers {
		has[h.Key] = string(h.Value)
	}
	if has[event.DeadTenant] != "acme" || has["ce_id"] == "" || has[event.DeadDetail] != in.unread {
		t.Errorf("the letter has %v", has)
	}
}

func TestAdmit_RefusesABatchThatCouldNotBeReadAsAWhole(t *testing.T) {
	d := newDoor(t).tenant("acme")
	got := d.raw(input{unread: "the batch of the offsets 7 to 9 inflates to more than allowed"})
	if got.outcome != refused || got.code != event.CodeTooLarge || got.dead == nil || len(got.dead.value) != 0 {
		t.Errorf("%+v", got)
	}
	if got := d.put(lead("acme", "1")); got.outcome != admitted {
		t.Errorf("the next event: %+v", got)
	}
}
