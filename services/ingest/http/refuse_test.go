package httpin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// refusal is one bad input with the answer it must get.
type refused struct {
	name   string
	key    string // of the fixture; "" is acme
	media  string // "" is structured
	body   string
	head   []string
	status int
	code   event.Code
}

var binary = []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/crm", "ce-type", "lead.created"}

func badInputs() []refused {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	data := func(v string) string { return strings.Replace(good, `"42","email":"ada@example.com"`, v, 1) }
	list := []refused{
		// Who asks.
		{name: "no key", key: "-", body: good, status: 401, code: event.CodeUnauthenticated},
		{name: "no key at all but bytes", key: "?", body: good, status: 401, code: event.CodeUnauthenticated},
		{name: "basic auth", key: "-", body: good, head: []string{"Authorization", "Basic YTpi"}, status: 401, code: event.CodeUnauthenticated},
		{name: "two credentials", body: good, head: []string{"Authorization", "Bearer x"}, status: 401, code: event.CodeUnauthenticated},
		{name: "expired key", key: "expired", body: good, status: 401, code: event.CodeUnauthenticated},
		{name: "revoked key", key: "revoked", body: good, status: 401, code: event.CodeUnauthenticated},
		{name: "other secret", key: "forged", body: good, status: 401, code: event.CodeUnauthenticated},
		{name: "key without the scope", key: "read-only", body: good, status: 403, code: event.CodeForbidden},
		{name: "suspended tenant", key: "suspended", body: good, status: 403, code: event.CodeTenantSuspended},
		{name: "another tenant in the event", body: with("tenantid", "globex"), status: 403, code: event.CodeTenantMismatch},
		{name: "the tenant in capitals", body: with("tenantid", "ACME"), status: 403, code: event.CodeTenantMismatch},
		{name: "another tenant in a header", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce-tenantid", "globex"}, binary...), status: 403, code: event.CodeTenantMismatch},
		// What it is.
		{name: "no content type", media: "-", body: good, status: 415, code: event.CodeUnsupportedMedia},
		{name: "text", media: "text/plain", body: good, status: 415, code: event.CodeUnsupportedMedia},
		{name: "broken content type", media: "application/;;", body: good, status: 415, code: event.CodeUnsupportedMedia},
		{name: "UTF-16", media: mediaStructured + "; charset=utf-16", body: good, status: 415, code: event.CodeUnsupportedMedia},
		{name: "CloudEvents Avro", media: "application/cloudevents+avro", body: good, status: 415, code: event.CodeUnsupportedMedia},
		{name: "two content types", body: good, head: []string{"Content-Type", "application/json"}, status: 415, code: event.CodeUnsupportedMedia},
		// JSON that is none.
		{name: "empty", body: "", status: 400, code: event.CodeInvalidJSON},
		{name: "blank", body: "  \n", status: 400, code: event.CodeInvalidJSON},
		{name: "null", body: "null", status: 400, code: event.CodeInvalidJSON},
		{name: "an array as one event", body: "[" + good + "]", status: 400, code: event.CodeInvalidJSON},
		{name: "cut off", body: good[:len(good)-1], status: 400, code: event.CodeInvalidJSON},
		{name: "trailing garbage", body: good + "x", status: 400, code: event.CodeInvalidJSON},
		{name: "two documents", body: good + good, status: 400, code: event.CodeInvalidJSON},
		{name: "comment", body: "/*x*/" + good, status: 400, code: event.CodeInvalidJSON},
		{name: "JSONP", body: "cb(" + good + ")", status: 400, code: event.CodeInvalidJSON},
		{name: "BOM", body: "\xef\xbb\xbf" + good, status: 400, code: event.CodeInvalidJSON},
		{name: "invalid UTF-8", body: data("\"\xff\""), status: 400, code: event.CodeInvalidJSON},
		{name: "overlong UTF-8", body: data("\"\xc0\xaf\""), status: 400, code: event.CodeInvalidJSON},
		{name: "lone surrogate", body: data(`"\ud800"`), status: 400, code: event.CodeInvalidJSON},
		{name: "NaN", body: data(`NaN`), status: 400, code: event.CodeInvalidJSON},
		{name: "hex number", body: data(`0x1`), status: 400, code: event.CodeInvalidJSON},
		{name: "attribute twice", body: strings.Replace(good, `"id":"1"`, `"id":"1","id":"2"`, 1), status: 400, code: event.CodeInvalidJSON},
		{name: "field of the data twice", body: data(`"42","lead_id":"43"`), status: 400, code: event.CodeInvalidJSON},
		{name: "a million brackets", body: deep(500_000), status: 400, code: event.CodeInvalidJSON},
		{name: "a million brackets as data", body: data(deep(500_000)), status: 400, code: event.CodeInvalidJSON},
		// Data that does not fit.
		{name: "depth 33", body: data(deep(33)), status: 422, code: event.CodeInvalidBody},
		{name: "NUL", body: data(`"a\u0000b"`), status: 422, code: event.CodeInvalidBody},
		{name: "number as text", body: data(`42`), status: 422, code: event.CodeInvalidBody},
		{name: "unknown field", body: data(`"42","nope":1`), status: 422, code: event.CodeInvalidBody},
		{name: "case of a field", body: data(`"42","LEAD_ID":"43"`), status: 422, code: event.CodeInvalidBody},
		{name: "data is an array", body: with("data", []int{1}), status: 422, code: event.CodeInvalidBody},
		{name: "data is text", body: with("data", "x"), status: 422, code: event.CodeInvalidBody},
		{name: "no data", body: with("data", nil), status: 400, code: event.CodeEmptyValue},
		{name: "1e400", body: with("type", "lead.scored", "data", nil)[:len(with("type", "lead.scored", "data", nil))-1] + `,"data":{"lead_id":"1","score":1e400}}`, status: 422, code: event.CodeInvalidBody},
		{name: "2^53+1 in an int", body: with("type", "lead.scored", "data", map[string]any{"lead_id": "1", "score": 9007199254740993}), status: 422, code: event.CodeInvalidBody},
		{name: "unknown type", body: with("type", "no.such"), status: 422, code: event.CodeUnknownType},
		// Attributes.
		{name: "no id and no key", body: with("id", nil), status: 400, code: event.CodeMissingAttribute},
		{name: "empty id", body: with("id", ""), status: 400, code: event.CodeMissingAttribute},
		{name: "no source", body: with("source", nil), status: 400, code: event.CodeMissingAttribute},
		{name: "no type", body: with("type", nil), status: 400, code: event.CodeMissingAttribute},
		{name: "no specversion", body: with("specversion", nil), status: 400, code: event.CodeMissingAttribute},
		{name: "old specversion", body: with("specversion", "0.3"), status: 400, code: event.CodeInvalidAttribute},
		{name: "id too long", body: with("id", strings.Repeat("x", 257)), status: 400, code: event.CodeInvalidAttribute},
		{name: "control character in id", body: with("id", "a\x07b"), status: 400, code: event.CodeInvalidAttribute},
		{name: "C1 control in id", body: with("id", "t22\u009b31m"), status: 400, code: event.CodeInvalidAttribute},
		{name: "bidi override in subject", body: with("subject", "lead/\u202egnp.exe"), status: 400, code: event.CodeInvalidAttribute},
		{name: "line separator in source", body: with("source", "/a\u2028b"), status: 400, code: event.CodeInvalidAttribute},
		{name: "noncharacter in an extension", body: with("partner", "a\uffffb"), status: 400, code: event.CodeInvalidAttribute},
		{name: "control character in an extension", body: with("partner", "a\x1bb"), status: 400, code: event.CodeInvalidAttribute},
		{name: "type in capitals", body: with("type", "Lead.Created"), status: 400, code: event.CodeInvalidAttribute},
		{name: "dotless i", body: with("type", "lead.pıng"), status: 400, code: event.CodeInvalidAttribute},
		{name: "year 0", body: with("time", "0000-01-01T00:00:00Z"), status: 400, code: event.CodeInvalidAttribute},
		{name: "year 10000", body: with("time", "10000-01-01T00:00:00Z"), status: 400, code: event.CodeInvalidAttribute},
		{name: "time of an unset clock", body: with("time", "1970-01-01T01:00:00+01:00"), status: 400, code: event.CodeInvalidAttribute},
		{name: "year 26", body: with("time", "0026-11-30T00:00:00Z"), status: 400, code: event.CodeInvalidAttribute},
		{name: "second 60 in the middle of a month", body: with("time", "2026-06-15T23:59:60Z"), status: 400, code: event.CodeInvalidAttribute},
		{name: "time is a number", body: with("time", 5), status: 400, code: event.CodeInvalidAttribute},
		{name: "attribute is an object", body: with("subject", map[string]any{"a": 1}), status: 400, code: event.CodeInvalidAttribute},
		{name: "attribute is a fraction", body: with("x", 1.5), status: 400, code: event.CodeInvalidAttribute},
		{name: "tenant_id", body: with("tenant_id", "globex"), status: 400, code: event.CodeInvalidAttribute},
		{name: "TENANTID", body: with("TENANTID", "globex"), status: 400, code: event.CodeInvalidAttribute},
		{name: "attribute name too long", body: with(strings.Repeat("a", 41), "x"), status: 400, code: event.CodeInvalidAttribute},
		{name: "data and data_base64", body: with("data_base64", "e30="), status: 400, code: event.CodeInvalidAttribute},
		{name: "bad base64", body: with("data", nil, "data_base64", "***"), status: 400, code: event.CodeInvalidAttribute},
		{name: "other data content type", body: with("datacontenttype", "text/xml"), status: 400, code: event.CodeInvalidAttribute},
		{name: "JSON sent as Avro", body: with("datacontenttype", mediaAvro), status: 400, code: event.CodeInvalidAttribute},
		{name: "an empty id", media: mediaJSON, body: `{"lead_id":""}`, head: binary, status: 422, code: event.CodeInvalidBody},
		{name: "an id of a template", media: mediaJSON, body: `{"lead_id":"{{contact.id}}"}`, head: binary, status: 422, code: event.CodeInvalidBody},
		{name: "the id of a guest", body: with("data", map[string]any{"lead_id": "0"}), status: 422, code: event.CodeInvalidBody},
		{name: "an id that was undefined", body: with("data", map[string]any{"lead_id": "undefined"}), status: 422, code: event.CodeInvalidBody},
		{name: "binary without attributes", media: mediaJSON, body: `{"lead_id":"1"}`, status: 400, code: event.CodeMissingAttribute},
		{name: "binary with an attribute twice", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce-id", "2"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "binary with a bad percent", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce-subject", "a%2"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "binary with percent-encoded rubbish", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce-subject", "%ff"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "binary with datacontenttype", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce-datacontenttype", "application/json"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "binary Avro with a wrong magic byte", media: mediaAvro, body: "\x01\x00\x00\x00\x01x", head: binary, status: 400, code: event.CodeInvalidFraming},
		{name: "binary Avro of four bytes", media: mediaAvro, body: "\x00\x00\x00\x00", head: binary, status: 400, code: event.CodeInvalidFraming},
		{name: "binary Avro of an unknown schema", media: mediaAvro, body: "\x00\x7f\x00\x00\x01x", head: binary, status: 422, code: event.CodeUnknownSchema},
		// Keys.
		{name: "empty key and no id", body: with("id", nil), head: []string{"Idempotency-Key", ""}, status: 400, code: event.CodeMissingAttribute},
		{name: "empty quoted key and no id", body: with("id", nil), head: []string{"Idempotency-Key", `""`}, status: 400, code: event.CodeMissingAttribute},
		{name: "two keys in two spellings", body: good, head: []string{"Idempotency-Key", "1", "Idempotency_Key", "2"}, status: 400, code: event.CodeInvalidAttribute},
		{name: "two ids in two spellings", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"ce_id", "other"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "an unknown origin in another spelling", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"CE_Origin", "Import"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "a word that looks like an origin", body: with("orgin", "import"), status: 400, code: event.CodeInvalidAttribute},
		{name: "a header that looks like an origin", media: mediaJSON, body: `{"lead_id":"1"}`, head: append([]string{"Cloudevents-Origin", "import"}, binary...), status: 400, code: event.CodeInvalidAttribute},
		{name: "an origin with a body that says none", body: good, head: []string{"ce-origin", "import"}, status: 400, code: event.CodeInvalidAttribute},
		{name: "an origin with a body that says another", body: with("origin", "live"), head: []string{"CE_ORIGIN", "import"}, status: 400, code: event.CodeInvalidAttribute},
		{name: "open quote", body: good, head: []string{"Idempotency-Key", `"a`}, status: 400, code: event.CodeInvalidAttribute},
		{name: "key of 257", body: good, head: []string{"Idempotency-Key", strings.Repeat("k", 257)}, status: 400, code: event.CodeInvalidAttribute},
		{name: "key with unicode", body: good, head: []string{"Idempotency-Key", "clé"}, status: 400, code: event.CodeInvalidAttribute},
		{name: "key with a control character", body: good, head: []string{"Idempotency-Key", "\"a\tb\""}, status: 400, code: event.CodeInvalidAttribute},
		{name: "two keys", body: good, head: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, status: 400, code: event.CodeInvalidAttribute},
		{name: "key on a batch", media: mediaBatch, body: "[" + good + "]", head: []string{"Idempotency-Key", "a"}, status: 400, code: event.CodeInvalidAttribute},
		// Batches.
		{name: "batch that is an object", media: mediaBatch, body: good, status: 400, code: event.CodeInvalidJSON},
		{name: "batch of numbers", media: mediaBatch, body: "[1]", status: 400, code: event.CodeInvalidJSON},
		{name: "batch cut off", media: mediaBatch, body: "[" + good, status: 400, code: event.CodeInvalidJSON},
		{name: "batch with a trailing comma", media: mediaBatch, body: "[" + good + ",]", status: 400, code: event.CodeInvalidJSON},
		{name: "batch of 1,001", media: mediaBatch, body: "[" + strings.TrimSuffix(strings.Repeat(good+",", 1001), ",") + "]", status: 413, code: event.CodeTooLarge},
		// Sizes.
		{name: "body over the limit", body: good + strings.Repeat(" ", MaxBody), status: 413, code: event.CodeTooLarge},
		{name: "record over the limit", body: with("data", map[string]any{"lead_id": "42", "company": strings.Repeat("x", MaxBody-600)}), status: 413, code: event.CodeTooLarge},
		{name: "an identifier over its bound", body: with("data", map[string]any{"lead_id": strings.Repeat("x", 513)}), status: 422, code: event.CodeInvalidBody},
		{name: "batch body over the limit", media: mediaBatch, body: "[" + strings.Repeat(" ", MaxBatchBody) + "]", status: 413, code: event.CodeTooLarge},
	}
	for _, typ := range []string{"tenant.created", "tenant.x", "rules.published", "engine.rule.failed", "timer.fired", "crm.note.add.requested", "crm.x.succeeded", "crm.contact.tag.failed", "crm.contact.deleted", "workflow.completed", "subject.merged"} {
		list = append(list, refused{name: "reserved " + typ, body: with("type", typ), status: 403, code: event.CodeReservedType})
	}
	return list
}

func TestPost_BadInputIsANamedRefusal(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range badInputs() {
		t.Run(c.name, func(t *testing.T) {
			key := f.keys["acme"]
			switch c.key {
			case "":
			case "-":
				key = ""
			case "?":
				key = "\x00\xff"
			default:
				key = f.keys[c.key]
			}
			var head []string
			switch c.media {
			case "":
				head = []string{"Content-Type", mediaStructured}
			case "-":
			default:
				head = []string{"Content-Type", c.media}
			}
			w := f.call("POST", "/v1/events", key, []byte(c.body), append(head, c.head...)...)
			p := decode[Problem](t, w)
			if w.Code != c.status || p.Code != c.code {
				t.Errorf("%d %s, want %d %s: %.300s", w.Code, p.Code, c.status, c.code, w.Body)
			}
			if p.Status != w.Code || p.Title == "" || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("not a whole problem: %+v", p)
			}
			if strings.Contains(w.Body.String(), "ada@example.com") {
				t.Error("the answer repeats personal data")
			}
		})
	}
	if n := len(f.producer.taken()); n != 0 {
		t.Errorf("%d records were produced from bad input", n)
	}
}

func TestRoutes_AnswerWithProblems(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 404}, {"POST", "/v1/event", 404}, {"GET", "/v1/events/1", 404}, {"POST", "/v1/events/", 404},
		{"GET", "/v1/events", 405}, {"HEAD", "/v1/events", 405}, {"TRACE", "/v1/events", 405}, {"FROBNICATE", "/v1/events", 405},
		{"POST", "/openapi.json", 405},
	} {
		w := f.call(c.method, c.path, f.keys["acme"], nil)
		if w.Code != c.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Header().Get("Content-Type"))
		}
		if c.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, fam := range families {
		for _, m := range fam.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == "FROBNICATE" {
					t.Error("an invented method makes a series")
				}
			}
		}
	}
}

func TestStatusOf_EveryCodeHasAStatusAndATitle(t *testing.T) {
	for _, code := range []event.Code{
		event.CodeInvalidAttribute, event.CodeMissingAttribute, event.CodeTenantMismatch, event.CodeUnknownTenant, event.CodeTenantSuspended,
		event.CodeEmptyValue, event.CodeInvalidFraming, event.CodeUnknownSchema, event.CodeIncompatibleSchema, event.CodeUnknownType,
		event.CodeTypeMismatch, event.CodeInvalidBody, event.CodeInvalidJSON, event.CodeTooLarge, event.CodeReservedType, event.CodeConflict,
		event.CodeUnauthenticated, event.CodeForbidden, event.CodeUnsupportedMedia, event.CodeMethodNotAllowed, event.CodeRateLimited,
		event.CodeUnavailable, event.CodeNotFound,
	} {
		if s := statusOf(code); s == http.StatusInternalServerError || title(code) == "" {
			t.Errorf("%s: %d %q", code, s, title(code))
		}
	}
	if p := fromError(fmt.Errorf("secret of the inside")); strings.Contains(p.Detail, "inside") || p.Status != 500 {
		t.Errorf("%+v", p)
	}
}

// FuzzEnvelope holds every reader of the body to: no panic, and what is accepted
// makes an event that the sequencer can read.
func FuzzEnvelope(f *testing.F) {
	for _, c := range badInputs() {
		if len(c.body) < 4096 {
			f.Add(c.body, uint8(0))
			f.Add(c.body, uint8(1))
		}
	}
	f.Add(good, uint8(0))
	f.Add("["+good+"]", uint8(1))
	fx := newFixture(f, nil)
	fx.contract = nil // a fuzz target may not use the helpers of f
	media := []string{mediaStructured, mediaBatch, mediaJSON, mediaAvro}
	f.Fuzz(func(t *testing.T, body string, kind uint8) {
		before := len(fx.producer.taken())
		m := media[int(kind)%len(media)]
		w := fx.call("POST", "/v1/events", fx.keys["acme"], []byte(body), append([]string{"Content-Type", m}, binary...)...)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, r := range fx.producer.taken()[before:] {
			e := parsed(t, r)
			if ok, err := fx.Keys.Verify(&e); e.TenantID != "acme" || !ok || err != nil || event.Reserved(e.Type) {
				t.Fatalf("%+v %v", e, err)
			}
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{"", "%", "%2", "%41", `"a\"b"`, `"`, `""`, "%E2%82%AC", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { _, _ = decodeHeader(s) })
}
