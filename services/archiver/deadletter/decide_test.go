package deadletter

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
)

// bench is an environment with the embedded catalogue.
type bench struct {
	t      *testing.T
	keys   *event.Keyring
	byID   map[int32]*avro.Schema
	byType map[string]int32
}

func newBench(t *testing.T) *bench {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, keys: event.NewKeyring(), byID: map[int32]*avro.Schema{}, byType: map[string]int32{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		b.byID[int32(i+1)], b.byType[s.EventType()] = s, int32(i+1)
	}
	return b
}

func (b *bench) env() Environment {
	return Environment{Verify: b.keys.Verify, Tenant: true, Schema: func(id int32) (*avro.Schema, error) {
		if s := b.byID[id]; s != nil {
			return s, nil
		}
		return nil, errors.New("unknown")
	}}
}

func (b *bench) value(typ, json string) []byte {
	b.t.Helper()
	body, err := b.byID[b.byType[typ]].EncodeJSON([]byte(json))
	if err != nil {
		b.t.Fatal(err)
	}
	return event.Frame(b.byType[typ], body)
}

func (b *bench) lead(change ...func(*event.Event)) *event.Event {
	e := &event.Event{TenantID: "acme", ID: "refused", Source: "/web", Type: "lead.created", Subject: "lead/1", Time: time.Unix(1_700_000_000, 0).UTC(),
		ContentType: event.ContentTypeAvro, IdempotencyKey: "k", Value: b.value("lead.created", `{"lead_id":"1"}`)}
	for _, c := range change {
		c(e)
	}
	return e
}

// letterOf is what the sequencer makes of a refused event.
func letterOf(e *event.Event) *Letter {
	l := &Letter{Topic: "neuronx.ingress", Partition: 2, Offset: 17, Tenant: e.TenantID, Reason: "tenant_suspended", EventID: e.ID, Type: e.Type,
		Recorded: time.Unix(1_700_000_100, 0).UTC(), State: Open, Key: []byte(e.TenantID), Value: e.Value, Headers: e.Headers()}
	for _, h := range [][2]string{{"nx_error_code", "tenant_suspended"}, {"__connect.errors.offset", "17"}, {"nx_unsigned_ce_hops", "3"}, {"ce_recordedtime", "2026-01-01T00:00:00Z"}} {
		l.Headers = append(l.Headers, event.Header{Key: h[0], Value: []byte(h[1])})
	}
	return l
}

func (b *bench) decide(l *Letter, ask Ask) *event.Event {
	b.t.Helper()
	v, r := Decide(l, ask, b.env())
	if r != nil {
		b.t.Fatalf("refused: %v", r)
	}
	return v.Redrive
}

func TestDecide_WhatIsSentAgainIsTheRefusedEventUnderANewID(t *testing.T) {
	b := newBench(t)
	was := b.lead()
	got := b.decide(letterOf(was), Ask{Action: Retry})
	if got.ID == was.ID || got.ID == "" || got.CausationID != was.ID || got.Origin != event.OriginRedrive {
		t.Errorf("id %q, cause %q, origin %q", got.ID, got.CausationID, got.Origin)
	}
	if got.Type != was.Type || got.Subject != was.Subject || got.Source != was.Source || !got.Time.Equal(was.Time) || got.IdempotencyKey != "k" || string(got.Value) != string(was.Value) {
		t.Errorf("%+v is not the refused event", got)
	}
	if got.Hops != 0 || len(got.Path) != 0 || len(got.Extra) != 0 {
		t.Errorf("it has grown: %+v", got)
	}
	if again := b.decide(letterOf(was), Ask{Action: Retry}); again.ID != got.ID {
		t.Error("the same letter gives another id")
	}
	other := letterOf(was)
	other.Offset++
	if b.decide(other, Ask{Action: Retry}).ID == got.ID {
		t.Error("another letter gives the same id")
	}
}

func TestDecide_AnOutsiderNeverComesBackAsTheEngine(t *testing.T) {
	b := newBench(t)
	for name, e := range map[string]*event.Event{
		"unsigned":                      b.lead(),
		"signed by another engine":      b.lead(func(e *event.Event) { e.Hops = 3; event.NewKeyring().Sign(e) }),
		"forwarded under our signature": b.lead(func(e *event.Event) { e.Forwarded = "t/1/2"; b.keys.Sign(e) }),
		"signed by the HTTP endpoint":   b.lead(func(e *event.Event) { e.Fingerprint = strings.Repeat("ab", 32); b.keys.Sign(e) }),
	} {
		for _, live := range []bool{false, true} {
			got := b.decide(letterOf(e), Ask{Action: Retry, Live: live})
			if got.Fingerprint == "" || got.Hops != 0 || got.Forwarded != "" {
				t.Errorf("%s: %+v: without a fingerprint it would count as the engine's", name, got)
			}
			if e.Fingerprint != "" && got.Fingerprint != e.Fingerprint {
				t.Errorf("%s: another fingerprint", name)
			}
		}
	}
	ours := b.lead(func(e *event.Event) {
		e.Deriver, e.DeriverNumber, e.Hops, e.Path = "rules", 7, 17, []string{"lead.created<ping@1"}
		b.keys.Sign(e)
	})
	if got := b.decide(letterOf(ours), Ask{Action: Retry}); got.Fingerprint != "" || got.Hops != 1 || len(got.Path) != 1 {
		t.Errorf("what the engine made: %+v, want one hop from a decision", got)
	}
	control := b.lead(func(e *event.Event) { e.Type, e.Value = "tenant.suspended", b.value("tenant.suspended", `{}`) })
	for range 2 { // an outsider's, then the engine's own
		if _, r := Decide(letterOf(control), Ask{Action: Retry}, b.env()); r == nil || r.Code != event.CodeNotRetriable {
			t.Errorf("a control event is sent again under a deriver's number: %v", r)
		}
		b.keys.Sign(control)
	}
	if _, r := Decide(letterOf(ours), Ask{Action: Edit, Value: b.value("lead.created", `{"lead_id":"2"}`)}, b.env()); r == nil || r.Code != event.CodeNotRetriable {
		t.Errorf("what the engine made is edited: %v", r)
	}
}

func TestDecide_LiveGivesNothingMoreThanItCameWith(t *testing.T) {
	b := newBench(t)
	for origin, want := range map[event.Origin][2]event.Origin{
		"": {event.OriginRedrive, event.OriginLive}, event.OriginImport: {event.OriginImport, event.OriginImport}, event.OriginBackfill: {event.OriginBackfill, event.OriginBackfill},
	} {
		for i, live := range []bool{false, true} {
			if got := b.decide(letterOf(b.lead(func(e *event.Event) { e.Origin = origin })), Ask{Action: Retry, Live: live}); got.Origin != want[i] {
				t.Errorf("%q, live %v: %q, want %q", origin, live, got.Origin, want[i])
			}
		}
	}
}

func TestDecide_ARedriveThatWasRefusedKeepsItsFirstCause(t *testing.T) {
	b := newBench(t)
	first := b.decide(letterOf(b.lead()), Ask{Action: Retry})
	first.Deriver, first.DeriverNumber = Deriver, 4
	b.keys.Sign(first)
	second := letterOf(first)
	second.Offset = 99
	got := b.decide(second, Ask{Action: Retry, Live: true})
	if got.CausationID != "refused" || got.Fingerprint != first.Fingerprint || got.ID == first.ID || got.Origin != event.OriginLive {
		t.Errorf("%+v", got)
	}
}

func TestDecide_WhatMayHaveBeenAnImportIsNeverSentAsLive(t *testing.T) {
	b := newBench(t)
	claiming := func(name string, values ...string) *Letter {
		l := letterOf(b.lead())
		for _, v := range values {
			l.Headers = append(l.Headers, event.Header{Key: name, Value: []byte(v)})
		}
		return l
	}
	for name, l := range map[string]*Letter{
		"an origin that is none":           claiming("nx_unsigned_ce_origin", "Import"),
		"an empty one":                     claiming("nx_unsigned_ce_origin", ""),
		"the engine's":                     claiming("nx_unsigned_ce_origin", "echo"),
		"two":                              claiming("nx_unsigned_ce_origin", "live", "import"),
		"a header that looks like one":     claiming("cloudEvents:origin", "import"),
		"an extension that looks like one": claiming("ce_orgin", "import"),
	} {
		if v, r := Decide(l, Ask{Action: Retry, Live: true}, b.env()); r == nil || r.Code != event.CodeNotRetriable {
			t.Errorf("%s: %v, sent as %s", name, r, v.Redrive.Origin)
		}
		if got := b.decide(l, Ask{Action: Retry}); got.Origin != event.OriginRedrive {
			t.Errorf("%s: %s, want a redrive, which no rule answers", name, got.Origin)
		}
	}
	for _, live := range []bool{false, true} { // of a record that could not be read whole, all that is unsigned is set apart
		if got := b.decide(claiming("nx_unsigned_ce_origin", "import"), Ask{Action: Retry, Live: live}); got.Origin != event.OriginImport {
			t.Errorf("an import comes back as %s", got.Origin)
		}
	}
	if got := b.decide(claiming("nx_unsigned_ce_origin", "live"), Ask{Action: Retry, Live: true}); got.Origin != event.OriginLive {
		t.Errorf("a live event comes back as %s", got.Origin)
	}
}

func TestDecide_BareRecordsGetTheirDefaults(t *testing.T) {
	b := newBench(t)
	l := letterOf(&event.Event{TenantID: "acme", Value: b.value("lead.created", `{"lead_id":"1"}`)})
	got := b.decide(l, Ask{Action: Retry})
	if got.Type != "lead.created" || got.Source != "/kafka/neuronx.ingress" || !got.Time.Equal(l.Recorded) || got.CausationID != l.Ref() {
		t.Errorf("%+v", got)
	}
}

func TestDecide_AnEditTellsNamesAndIsChecked(t *testing.T) {
	b := newBench(t)
	broken := b.lead(func(e *event.Event) { e.Value = append(slices.Clone(e.Value), 0) })
	good := b.value("lead.created", `{"lead_id":"2","email":"ada@example.com"}`)
	v, r := Decide(letterOf(b.lead()), Ask{Action: Edit, Value: good}, b.env())
	if r != nil || !slices.Equal(v.Fields, []string{"email", "lead_id"}) || string(v.Redrive.Value) != string(good) {
		t.Errorf("%v %+v", r, v)
	}
	plain := b.decide(letterOf(b.lead()), Ask{Action: Retry})
	if v.Redrive.Fingerprint != plain.Fingerprint {
		t.Error("the fingerprint is of the edited data: the producer's repeat would be a conflict")
	}
	bare := letterOf(&event.Event{TenantID: "acme", Value: []byte("rubbish")})
	if v, r := Decide(bare, Ask{Action: Edit, Value: good}, b.env()); r != nil || v.Redrive.Type != "lead.created" {
		t.Errorf("what tells no type has that of its new data: %v %+v", r, v)
	}
	if v, r := Decide(letterOf(broken), Ask{Action: Edit, Value: good}, b.env()); r != nil || len(v.Fields) < 3 {
		t.Errorf("of unreadable data all fields change: %v %v", r, v.Fields)
	}
	for name, c := range map[string]struct {
		value []byte
		code  event.Code
	}{
		"another type":       {b.value("lead.lost", `{"lead_id":"1"}`), event.CodeTypeMismatch},
		"trailing bytes":     {append(slices.Clone(good), 1), event.CodeInvalidBody},
		"no frame":           {[]byte("{}"), event.CodeInvalidFraming},
		"an unknown schema":  {event.Frame(9999, nil), event.CodeUnknownSchema},
		"nothing changed":    {b.lead().Value, event.CodeUsage},
		"nothing to replace": {nil, event.CodeInvalidFraming},
	} {
		if _, r := Decide(letterOf(b.lead()), Ask{Action: Edit, Value: c.value}, b.env()); r == nil || r.Code != c.code {
			t.Errorf("%s: %v, want %s", name, r, c.code)
		}
	}
}

func TestDecide_RefusesByStateAndByWhatCanBeSent(t *testing.T) {
	b := newBench(t)
	with := func(change func(*Letter)) *Letter { l := letterOf(b.lead()); change(l); return l }
	noTenant := b.env()
	noTenant.Tenant = false
	for name, c := range map[string]struct {
		l    *Letter
		env  Environment
		code event.Code // of a retry
		drop event.Code // of a drop
	}{
		"open":            {with(func(*Letter) {}), b.env(), "", ""},
		"retried":         {with(func(l *Letter) { l.State = Retried }), b.env(), event.CodeAlreadyRetried, event.CodeAlreadyRetried},
		"resolved":        {with(func(l *Letter) { l.State = Resolved }), b.env(), event.CodeAlreadyRetried, event.CodeAlreadyRetried},
		"refused again":   {with(func(l *Letter) { l.State, l.Next = RefusedAgain, "t/0/1" }), b.env(), event.CodeAlreadyRetried, event.CodeAlreadyRetried},
		"dropped":         {with(func(l *Letter) { l.State = Dropped }), b.env(), event.CodeAlreadyDropped, event.CodeAlreadyDropped},
		"unknown tenant":  {with(func(*Letter) {}), noTenant, event.CodeUnknownTenant, ""},
		"no tenant":       {with(func(l *Letter) { l.Tenant, l.Key = "", []byte("Not One") }), b.env(), event.CodeUnknownTenant, ""},
		"unreadable time": {with(func(l *Letter) { l.Headers = append(l.Headers, event.Header{Key: "ce_time", Value: []byte("x")}) }), b.env(), event.CodeNotRetriable, ""},
		"cut": {with(func(l *Letter) {
			l.Headers = append(l.Headers, event.Header{Key: event.DeadValueHash, Value: []byte("x")})
		}),
			b.env(), event.CodeNotRetriable, ""},
		"a bidi override": {letterOf(b.lead(func(e *event.Event) { e.Subject = "lead/\u202egnp.exe" })), b.env(), event.CodeNotRetriable, ""},
		"what the engine derived from an old subject": {letterOf(b.lead(func(e *event.Event) { e.Subject = "lead/\u009b"; b.keys.Sign(e) })), b.env(), "", ""},
		"typeless garbage":                            {letterOf(&event.Event{TenantID: "acme", Value: []byte("junk")}), b.env(), event.CodeNotRetriable, ""},
	} {
		code := func(ask Ask) event.Code {
			if _, r := Decide(c.l, ask, c.env); r != nil {
				return r.Code
			}
			return ""
		}
		if got := code(Ask{Action: Retry}); got != c.code {
			t.Errorf("%s: retry is %q, want %q", name, got, c.code)
		}
		if got := code(Ask{Action: Drop, Reason: "why"}); got != c.drop {
			t.Errorf("%s: drop is %q, want %q", name, got, c.drop)
		}
	}
	if _, r := Decide(letterOf(b.lead()), Ask{Action: Drop}, b.env()); r == nil {
		t.Error("a drop without a reason")
	}
}
