package event

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func full() Event {
	return Event{
		TenantID: "acme", ID: "e-1", Source: "/crm", Type: "lead.created", Subject: "lead/42",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), ContentType: ContentTypeAvro,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
		IdempotencyKey: "key", CorrelationID: "corr", CausationID: "cause", Hops: 3, Origin: OriginRedrive,
		Deriver: "rules", DeriverNumber: 7, Path: []string{"lead.scored<score@1", "lead.qualified<q@2"},
		Fingerprint: strings.Repeat("ab", 32), Forwarded: "t/1/2", Receipt: "Wait_er-1", Refused: "too_large: x", Signature: "v1,k1,x",
		Extra: []Header{{"ce_partner", []byte("p")}}, Value: Frame(9, []byte{1, 2}),
	}
}

func TestHeadersAndParseAreInverse(t *testing.T) {
	e := full()
	got, err := Parse([]byte("acme"), e.Headers(), e.Value)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, e) {
		t.Fatalf("got  %+v\nwant %+v", got, e)
	}
	r := Recorded{Event: e, Sequence: 12, Position: PositionAt(1700000000000) + 3, RecordedTime: e.Time, LogID: "log", Quiet: QuietStorm}
	back, err := ParseRecorded([]byte("acme"), r.Headers(), e.Value)
	if err != nil {
		t.Fatal(err)
	}
	r.Signature, r.Receipt = "", "" // the log carries neither signatures nor receipts
	if !reflect.DeepEqual(back, r) {
		t.Fatalf("got  %+v\nwant %+v", back, r)
	}
}

func TestSignatureCoversEverySystemAttributeAndTheValue(t *testing.T) {
	k := NewKeyring()
	changes := map[string]func(*Event){
		"tenant": func(e *Event) { e.TenantID = "evil" }, "id": func(e *Event) { e.ID = "x" }, "type": func(e *Event) { e.Type = "lead.lost" },
		"cause": func(e *Event) { e.CausationID = "x" }, "hops": func(e *Event) { e.Hops = 0 }, "origin": func(e *Event) { e.Origin = OriginLive },
		"deriver": func(e *Event) { e.Deriver = "gohighlevel" }, "number": func(e *Event) { e.DeriverNumber++ },
		"path": func(e *Event) { e.Path = e.Path[:1] }, "fingerprint": func(e *Event) { e.Fingerprint = "" },
		"forwarded": func(e *Event) { e.Forwarded = "x" }, "refused": func(e *Event) { e.Refused = "" }, "receipt": func(e *Event) { e.Receipt = "x" }, "value": func(e *Event) { e.Value = Frame(9, []byte{1, 3}) },
		"malformed": func(e *Event) { e.malformed = []string{hHops} },
	}
	for name, change := range changes {
		e := full()
		k.Sign(&e)
		if ok, err := k.Verify(&e); !ok || err != nil {
			t.Fatalf("a fresh signature does not verify: %v", err)
		}
		change(&e)
		if ok, err := k.Verify(&e); ok || err == nil {
			t.Errorf("changing %s goes unnoticed", name)
		}
	}
}

func TestKeyringAcceptsOldKeysAndHidesAll(t *testing.T) {
	old := NewKeyring()
	e := full()
	old.Sign(&e)
	fresh := NewKeyring()
	rotated := &Keyring{primary: "k2", keys: map[string]*signingKey{"k1": old.keys["k1"], "k2": fresh.keys["k1"]}}
	b, err := json.Marshal(rotated)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseKeyring(b)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := read.Verify(&e); !ok {
		t.Error("a signature by an accepted key is refused")
	}
	if ok, _ := fresh.Verify(&e); ok {
		t.Error("a signature by an unknown key is accepted")
	}
	if s := rotated.String(); strings.Contains(s, "k1") {
		t.Errorf("prints its keys: %s", s)
	}
	for _, bad := range []string{``, `{}`, `{"primary":"k1","keys":{"k1":"c2hvcnQ="}}`, `{"primary":"k2","keys":{}}`} {
		if _, err := ParseKeyring([]byte(bad)); err == nil {
			t.Errorf("keyring %q is accepted", bad)
		}
	}
}

func TestStripSystemKeepsOnlyOriginsThatReduceEffects(t *testing.T) {
	e := full()
	got := e.StripSystem()
	if len(got) != 10 || e.Refused != "" || e.Receipt != "" || e.Hops != 0 || e.Deriver != "" || e.Origin != "" || e.Fingerprint != "" {
		t.Errorf("stripped %v, left %+v", got, e)
	}
	e = Event{Origin: OriginImport}
	if got := e.StripSystem(); len(got) != 0 || e.Origin != OriginImport {
		t.Errorf("import lost: %v", got)
	}
}

func TestParseTime_TakesWhatRFC3339Allows(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-30t05:00:00.5z": "2026-11-30T05:00:00.5Z", "1990-12-31T23:59:60Z": "1990-12-31T23:59:59.999999Z",
		"1990-12-31T15:59:60-08:00": "1990-12-31T23:59:59.999999Z", "2016-12-31t23:59:60.25z": "2016-12-31T23:59:59.999999Z",
		"2026-11-30T05:00:00-00:00": "2026-11-30T05:00:00Z",
	} {
		if at, err := ParseTime(text); err != nil || FormatTime(at) != want {
			t.Errorf("%s is %s, want %s (%v)", text, FormatTime(at), want, err)
		}
	}
	for _, text := range []string{"2026-06-15T23:59:60Z", "1990-12-31T23:59:60-08:00", "2026-06-30T23:58:60Z", "2026-06-30T22:59:60Z", "2026-06-30T23:59:61Z",
		"2026-11-30T24:00:00Z", "2026-11-30 05:00:00Z", "2026-02-30t00:00:00z", "2026-11-30T05:00:00", "60", "2026-06-30T23:59:60"} {
		if at, err := ParseTime(text); err == nil {
			t.Errorf("%s is taken as %s", text, FormatTime(at))
		}
	}
}

func TestParseRefusesByCode(t *testing.T) {
	ok := full()
	with := func(name, value string) []Header {
		return []Header{{hID, []byte("1")}, {name, []byte(value)}}
	}
	for name, c := range map[string]struct {
		key     string
		headers []Header
		code    Code
	}{
		"no key":         {"", ok.Headers(), CodeMissingAttribute},
		"key not tenant": {"Acme", nil, CodeInvalidAttribute},
		"other tenant":   {"acme", with(hTenant, "other"), CodeTenantMismatch},
		"doubled id":     {"acme", with(hID, "2"), CodeInvalidAttribute},
		"bad time":       {"acme", with(hTime, "yesterday"), CodeInvalidAttribute},
		"year 0":         {"acme", with(hTime, "0000-01-01T00:00:00Z"), CodeInvalidAttribute},
		"bad version":    {"acme", with(hSpecVersion, "0.3"), CodeInvalidAttribute},
		"bad type":       {"acme", with(hType, "Lead Created"), CodeInvalidAttribute},
		"long id":        {"acme", []Header{{hID, []byte(strings.Repeat("x", 257))}}, CodeInvalidAttribute},
		"control":        {"acme", with(hSubject, "a\nb"), CodeInvalidAttribute},
		"not utf-8":      {"acme", with(hSubject, "\xff"), CodeInvalidAttribute},
		"json":           {"acme", with(hContentType, "application/json"), CodeUnsupportedMedia},
		"no id in it":    {"acme", []Header{{hID, nil}}, CodeInvalidAttribute},
		"fat extensions": {"acme", slices.Repeat(with("ce_x", strings.Repeat("x", 4000))[1:], 9), CodeTooLarge},
		"fat extension":  {"acme", with("ce_x", strings.Repeat("x", 5000)), CodeInvalidAttribute},
	} {
		_, err := Parse([]byte(c.key), c.headers, nil)
		var r *Refusal
		if !errors.As(err, &r) || r.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestMalformedSystemAttributesAreStrippedNotRefused(t *testing.T) {
	for name, v := range map[string]string{hHops: "-1", hDeriverNumber: "0x1", hOrigin: "magic", hPath: strings.Repeat("a\n", 40) + "b", hFingerprint: "short", hReceipt: strings.Repeat("w", 65)} {
		e, err := Parse([]byte("acme"), []Header{{name, []byte(v)}}, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := e.StripSystem(); len(got) != 1 || got[0] != name {
			t.Errorf("%s: stripped %v", name, got)
		}
	}
}

func TestAProducerCannotQuietAnEvent(t *testing.T) {
	e, err := Parse([]byte("acme"), []Header{{hID, []byte("1")}, {hQuiet, []byte(QuietStorm)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range e.Headers() {
		if h.Key == hQuiet {
			t.Error("ce_quiet of a producer goes on")
		}
	}
}

func TestUnframe(t *testing.T) {
	id, body, err := Unframe(Frame(77, []byte("b")))
	if id != 77 || string(body) != "b" || err != nil {
		t.Fatal(id, body, err)
	}
	for _, bad := range [][]byte{nil, {}, {0}, {0, 0, 0, 0}, {1, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {0, 0xff, 0, 0, 0}} {
		if _, _, err := Unframe(bad); err == nil {
			t.Errorf("%x is taken for a framed value", bad)
		}
	}
}

func TestNumbersSortAsText(t *testing.T) {
	if a, b := FormatNumber(9), FormatNumber(10); a >= b || len(a) != 20 {
		t.Error(a, b)
	}
	if PositionTime(PositionAt(1700000000123)+5) != 1700000000123 {
		t.Error("a position loses its time")
	}
}

func TestShapesOfTenantAndTypeAreTheDocumentedOnes(t *testing.T) {
	tenant := regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	typ := regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,7}$`)
	check := func(s string) {
		t.Helper()
		if got, want := ValidTenant(s), tenant.MatchString(s); got != want {
			t.Errorf("ValidTenant(%q) = %v", s, got)
		}
		if got, want := ValidType(s), typ.MatchString(s); got != want {
			t.Errorf("ValidType(%q) = %v", s, got)
		}
	}
	check("")
	check(strings.Repeat("a", 63))
	check(strings.Repeat("a", 64))
	for _, words := range []int{1, 2, 8, 9} {
		check(strings.TrimSuffix(strings.Repeat("ab.", words), "."))
	}
	alphabet := []string{"a", "z", "0", "9", "_", "-", ".", "A", " ", "\n", "\x00", "ä", "\xff", "`", "{"}
	var all func(s string, left int)
	all = func(s string, left int) {
		check(s)
		for _, c := range alphabet {
			if left > 0 {
				all(s+c, left-1)
			}
		}
	}
	all("", 4)
}

func TestOneHeaderCanBeAppendedToWithoutChangingTheNext(t *testing.T) {
	e := Event{TenantID: "t", ID: "i", Source: "/s", Type: "lead.created"}
	headers := e.Headers()
	for _, h := range headers {
		_ = append(h.Value, "spill"...)
	}
	for i, h := range e.Headers() {
		if string(headers[i].Value) != string(h.Value) {
			t.Errorf("header %s became %q", h.Key, headers[i].Value)
		}
	}
}

func TestReserved(t *testing.T) {
	for typ, want := range map[string]bool{
		"lead.created": false, "tenant.created": true, "rules.published": true, "engine.rule.failed": true, "timer.fired": true,
		"crm.contact.upsert.requested": true, "crm.note.add.failed": true, "crm.contact.changed": true,
		"crm.contact.deleted": true, "workflow.started": true, "workflow.cancel.requested": true, "workflow.of.a.tenant": true, "subject.merged": true, "subject.x": true,
		"acme.crm.deal_closed": false, "crmx.deal.closed": false, "workflows.x": false, "crm": false, "tenant": false, "": false, ".crm.x": false,
	} {
		if Reserved(typ) != want {
			t.Errorf("Reserved(%s) = %v", typ, !want)
		}
	}
}

func TestIdentitiesDoNotCollideByJoining(t *testing.T) {
	if DerivedID("t", "ab", "c") == DerivedID("t", "a", "bc") {
		t.Error("parts run together")
	}
	a, b := Event{Source: "/a", ID: "b1"}, Event{Source: "/ab", ID: "1"}
	if a.Key() == b.Key() {
		t.Error("source and id run together")
	}
	if FingerprintAvro("t", "", "s", 1, []byte("x")) == FingerprintJSON("t", "", "s", []byte("x")) {
		t.Error("JSON and Avro bodies share fingerprints")
	}
}

func TestReceiptIsLettersDigitsHyphensAndUnderscores(t *testing.T) {
	for v, want := range map[string]bool{"aZ09-_": true, strings.Repeat("w", 64): true, strings.Repeat("w", 65): false, "": false, "a b": false, "a.b": false, "é": false, "@": false, "[": false} {
		if validReceipt(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
	r := Receipt{ID: "1", Tenant: "a", Outcome: OutcomeAdmitted, Sequence: 1, Position: 1 << 60}
	if got := string(r.Encode()); got != `{"id":"1","tenant":"a","outcome":"admitted","sequence":"1","position":"1152921504606846976"}` {
		t.Error(got)
	}
	if back, err := ParseReceipt(r.Encode()); err != nil || back != r {
		t.Errorf("%+v %v", back, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("acme", hTime, "2026-01-01T00:00:00Z", hHops, "3")
	f.Add("acme", hPath, "a<b@1", hOrigin, "import")
	f.Fuzz(func(t *testing.T, key, n1, v1, n2, v2 string) {
		hs := []Header{{n1, []byte(v1)}, {n2, []byte(v2)}}
		e, err := Parse([]byte(key), hs, nil)
		if err != nil {
			var r *Refusal
			if !errors.As(err, &r) {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		e.StripSystem()
		again, err := Parse([]byte(key), e.Headers(), nil)
		if err != nil {
			t.Fatalf("what was accepted is refused when written again: %v", err)
		}
		again.ContentType = e.ContentType
		if !reflect.DeepEqual(again.Headers(), e.Headers()) {
			t.Fatalf("%q\n%q", again.Headers(), e.Headers())
		}
	})
}

func TestPlain_IsASCIIWithoutControlCharactersAtEveryPosition(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for b := range 256 {
				s := []byte(strings.Repeat("a~ ", n)[:n])
				s[at] = byte(b)
				if got, want := plain(string(s)), b >= 0x20 && b < 0x7f; got != want {
					t.Fatalf("plain(%q) = %v", s, got)
				}
			}
		}
	}
	if !plain("") {
		t.Error("an empty text has no such character")
	}
}
