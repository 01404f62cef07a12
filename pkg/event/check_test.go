package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// slowCheck is CheckAttributes without its shortcut.
func slowCheck(e *Event) error {
	long := *e
	long.malformed = append(long.malformed, "x") // which no plain event has, and which is never read
	return long.CheckAttributes()
}

func TestCheckAttributes_ShortcutTakesOnlyWhatTheLongWayTakes(t *testing.T) {
	base := Event{
		TenantID: "acme", ID: "1", Source: "/crm", Type: "lead.created", Subject: "lead/42", Time: time.Date(2026, 1, 31, 12, 0, 0, 1000, time.UTC),
		Origin: OriginLive, Fingerprint: strings.Repeat("ab", 32), Extra: []Header{{"ce_partner", []byte("p")}},
	}
	if !base.plain() || base.CheckAttributes() != nil {
		t.Fatal("an ordinary event is not plain")
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	texts := map[string]*string{
		"id": &base.ID, "source": &base.Source, "type": &base.Type, "subject": &base.Subject, "tenant": &base.TenantID, "traceparent": &base.TraceParent,
		"tracestate": &base.TraceState, "key": &base.IdempotencyKey, "correlation": &base.CorrelationID, "causation": &base.CausationID, "fingerprint": &base.Fingerprint,
	}
	plain, refused := 0, 0
	try := func(what string) {
		t.Helper()
		err := slowCheck(&base)
		if err != nil {
			refused++
			if base.plain() {
				t.Errorf("%s is plain, and refused: %v", what, err)
			}
		} else if base.plain() {
			plain++
		}
		if got := base.CheckAttributes(); (got == nil) != (err == nil) || got != nil && got.Error() != err.Error() {
			t.Errorf("%s: %v, want %v", what, got, err)
		}
	}
	for name, text := range texts {
		was := *text
		for _, v := range []string{"", "a", "a\x00", "a\n", "\x7f", "ä", "\xff", "a.b", "A.B", long(63), long(64), long(128), long(129), long(256), long(257), long(512), long(513), long(1024), long(1025)} {
			*text = v
			try(name + " " + v)
		}
		*text = was
	}
	for _, hops := range []int{-1, 1, 16, 17, 65535, 65536} {
		base.Hops = hops
		try("hops")
	}
	base.Hops = 1
	for _, path := range [][]string{{"a.b<r@1"}, {""}, {"a\nb"}, {"ä"}, {long(256)}, {long(257)}, slices.Repeat([]string{"a.b<r@1"}, 17), slices.Repeat([]string{"a.b<r@1"}, 18),
		slices.Repeat([]string{long(256)}, 15), slices.Repeat([]string{long(255)}, 16), append(slices.Repeat([]string{long(255)}, 15), long(256)), slices.Repeat([]string{long(256)}, 17)} {
		base.Path = path
		try("path")
	}
	if base.Path = []string{"a.b<r@1"}; !base.plain() {
		t.Error("what a rule derives is not plain")
	}
	base.Path, base.Hops = nil, 0
	for _, extra := range [][]Header{
		nil, {{"ce_a", nil}}, {{"", []byte("x")}}, {{"a b", []byte("x")}}, {{"ä", []byte("x")}}, {{long(64), []byte("x")}}, {{long(65), []byte("x")}},
		{{"x", []byte(long(4095))}}, {{"x", []byte(long(4097))}}, {{hID, []byte("2")}}, {{hSequence, []byte("2")}}, {{hPath, []byte("a<b")}}, {{hHops, []byte("x")}},
		{{"ce_a", []byte("1")}, {"ce_a", []byte("2")}}, make([]Header, 90), make([]Header, 17),
	} {
		base.Extra = extra
		try("extensions")
	}
	base.Extra = nil
	for _, at := range []time.Time{{}, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		base.Time = at
		try("time")
	}
	if base.Time, base.Origin = (time.Time{}), "magic"; base.plain() {
		t.Error("an unknown origin is plain")
	}
	if plain < 40 || refused < 40 {
		t.Errorf("%d plain, %d refused: the test has lost its teeth", plain, refused)
	}
}

func TestSignature_IsTheHMACThatItSays(t *testing.T) {
	k := NewKeyring()
	for _, e := range []Event{full(), {TenantID: "a"}, full()} { // a signing key keeps its memory from one event to the next
		k.Sign(&e)
		b := []byte{}
		for _, s := range []string{"neuronx-sig v1", e.TenantID, e.ID, e.Type} {
			b = appendPart(b, s)
		}
		e.eachSystem(func(name, value string) { b = appendPart(appendPart(b, name), value) })
		sum := sha256.Sum256(e.Value)
		h := hmac.New(sha256.New, k.keys["k1"].secret)
		h.Write(append(b, sum[:]...))
		if want := "v1,k1," + base64.StdEncoding.EncodeToString(h.Sum(nil)); e.Signature != want {
			t.Errorf("%s, want %s", e.Signature, want)
		}
		if ok, err := k.Verify(&e); !ok || err != nil {
			t.Errorf("%v %v", ok, err)
		}
	}
}

func TestFingerprint_DoesNotDependOnLength(t *testing.T) {
	for _, n := range []int{0, 1, 900, 1000, 1024, 1025, 5000} {
		body := []byte(strings.Repeat("b", n))
		b := []byte{}
		for _, s := range []string{"t.a", "s", "/x", "json"} {
			b = appendPart(b, s)
		}
		sum := sha256.Sum256(append(b, body...))
		if got := FingerprintJSON("t.a", "s", "/x", body); got != hex.EncodeToString(sum[:]) {
			t.Errorf("%d bytes: %s", n, got)
		}
	}
}

func TestKeyring_KeepsBadSignaturesOut(t *testing.T) {
	k, e := NewKeyring(), full()
	k.Sign(&e)
	e.Value = append(e.Value, 0)
	var r *Refusal
	if ok, err := k.Verify(&e); ok || !errors.As(err, &r) {
		t.Errorf("%v %v", ok, err)
	}
}

func TestHeaders_TakeTwoPiecesOfMemory(t *testing.T) {
	e := full()
	if n, size := e.room(); n < len(e.Headers()) || size < 300 {
		t.Errorf("room for %d headers of %d bytes", n, size)
	}
	r := Recorded{Event: Event{TenantID: "acme", ID: "1", Source: "/x", Type: "a.b", Time: time.Now()}, Sequence: 1, Position: 1 << 60, RecordedTime: time.Now(), LogID: "log"}
	if n := testing.AllocsPerRun(100, func() { _ = HeadersAs[Header](&e) }); n > 5 { // three more for the numbers and the path
		t.Errorf("%v allocations for an event that was derived", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = RecordedHeadersAs[Header](&r) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// A fingerprint is made of every record that is admitted.
func TestFingerprint32_TakesNoMemoryOfItsOwn(t *testing.T) {
	body := make([]byte, 300)
	if n := testing.AllocsPerRun(1000, func() { Fingerprint32("lead.created", "lead/1", "/test", body) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPages_HoldWhatHeadersAre(t *testing.T) {
	full := Event{TenantID: "acme", ID: "1", Source: "/s", Type: "lead.created", Subject: "lead/1", Time: time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC),
		TraceParent: "00-a-b-01", TraceState: "x=y", IdempotencyKey: "k", CorrelationID: "c", CausationID: "0", Hops: 3, Origin: OriginEcho, Deriver: "rules", DeriverNumber: 7,
		Path: []string{"a.b<r@1", "c.d<r@2"}, Fingerprint: "f", Forwarded: "t/0/1", Receipt: "r", Refused: "x: y", Signature: "v1,k,s", Extra: []Header{{"ce_x", []byte("1")}, {"ce_y", []byte("2")}}}
	many := full
	many.Extra = make([]Header, 2*pageHeaders)
	events := []Event{{TenantID: "a", ID: "2"}, full, many, full}
	sized, grown := PagesFor[Header](events), Pages[Header]{}
	var recorded Pages[Header]
	for round := range 200 { // over many pages
		for i := range events {
			e := events[i]
			e.Extra = e.Extra[:min(len(e.Extra), 2+round%3*1000)]
			if want := e.Headers(); !reflect.DeepEqual(grown.Event(&e), want) || !reflect.DeepEqual(sized.Event(&e), want) {
				t.Fatalf("round %d: event %d is not written as its headers", round, i)
			}
			r := Recorded{Event: e, Sequence: int64(round), Position: 1 << 40, RecordedTime: full.Time.Add(time.Duration(round/10) * time.Millisecond), LogID: "log", Quiet: QuietStorm}
			if i == 3 {
				r.RecordedTime = r.RecordedTime.Truncate(time.Millisecond)
			}
			if got, want := recorded.Recorded(&r), r.Headers(); !reflect.DeepEqual(got, want) {
				t.Fatalf("round %d: recorded event %d is written as\n%q, want\n%q", round, i, got, want)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { p := PagesFor[Header](events[:1]); p.Event(&events[0]) }); n > 2 {
		t.Errorf("%v allocations for the pages of one event", n)
	}
}

func TestCheckOutside_RefusesCharactersThatActAndNamesAttributeAndCodePoint(t *testing.T) {
	base := func() *Event {
		return &Event{TenantID: "acme", ID: "1", Source: "/crm", Type: "lead.created", Subject: "lead/42"}
	}
	set := map[string]func(*Event, string){
		"ce_id": func(e *Event, v string) { e.ID = v }, "ce_source": func(e *Event, v string) { e.Source = v }, "ce_subject": func(e *Event, v string) { e.Subject = v },
		"idempotency-key": func(e *Event, v string) { e.IdempotencyKey = v }, "ce_correlationid": func(e *Event, v string) { e.CorrelationID = v },
		"ce_partner": func(e *Event, v string) { e.Extra = []Header{{"ce_partner", []byte(v)}} },
	}
	for name, put := range set {
		for text, point := range map[string]string{
			"t22\u009b31m": "U+009B", "a\u0080": "U+0080", "\u202egnp.exe": "U+202E", "a\u2066b": "U+2066", "a\u2028": "U+2028", "a\u2029b": "U+2029", "\uffff": "U+FFFF", "\ufdd0": "U+FDD0",
			"\U0001fffe": "U+1FFFE", "e\x1b[31m": "U+001B", "a\x7f": "U+007F", "a\nb": "U+000A",
		} {
			e := base()
			put(e, text)
			var r *Refusal
			err := e.CheckOutside()
			if !errors.As(err, &r) || r.Code != CodeInvalidAttribute || r.Location != "header "+name || !strings.Contains(r.Detail, point) || strings.ContainsAny(r.Error(), text[strings.IndexFunc(text, func(r rune) bool { return r > 0x7e || r < 0x20 }):][:1]) {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
		for _, text := range []string{"Zoë", "李", "🙂", "क्‍ष", "שלום", "a b"} {
			e := base()
			put(e, text)
			if err := e.CheckOutside(); err != nil {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
	}
	e := base()
	e.Extra = []Header{{"b3", []byte("\x00\x9b")}} // another program's header, no attribute
	if err := e.CheckOutside(); err != nil {
		t.Error(err)
	}
}

// TestCheckCharacters_LeavesWhatIsInLogsReadable: what earlier versions admitted is read as before, and derived from.
func TestCheckCharacters_LeavesWhatIsInLogsReadable(t *testing.T) {
	e := Event{TenantID: "acme", ID: "t22\u009b31m", Source: "/crm", Type: "lead.created", Subject: "lead/\u202egnp.exe", Extra: []Header{{"ce_old", []byte("\x01")}}}
	if err := e.CheckAttributes(); err != nil {
		t.Errorf("a rule can't derive from it: %v", err)
	}
	r := Recorded{Event: e, Sequence: 1, Position: 1, RecordedTime: time.Unix(1, 0), LogID: "l"}
	again, err := ParseRecorded([]byte("acme"), r.Headers(), nil)
	if err != nil || again.ID != e.ID || again.Subject != e.Subject {
		t.Errorf("%v %+v", err, again.Event)
	}
	parsed, err := Parse([]byte("acme"), e.Headers(), nil)
	if err != nil || parsed.CheckCharacters() == nil {
		t.Errorf("%v; passes at the sequencer", err)
	}
}
