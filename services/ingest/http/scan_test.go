package httpin

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// events are bodies of one event; a list of them is a batch.
var bodies = []string{
	good, with("id", nil), with("data", nil), with("data", nil, "data_base64", "eyJsZWFkX2lkIjoiNDIifQ=="), with("data_base64", "AA=="), with("data", nil, "data_base64", "AA\n=="),
	with("datacontenttype", "Application/JSON; charset=utf-8"), with("datacontenttype", "application/avro"), with("datacontenttype", "text/plain"), with("time", "yesterday"),
	with("data", nil, "data_base64", 7), with("data", nil, "data_base64", nil), with("x", true, "y", 12, "z", -1.5, "w", []int{1}, "v", nil), with("Bad-Name", "x", "good", "ä€😀"),
	with("extension", "a\"b\\c\u2028\n"), with("extension", "a\"b\\cä"), with("data", map[string]any{"lead_id": "42", "unknown": 1}), with("data", []int{}), with("data", "text"), with("type", "crm.note.add.failed"),
	with("subject", strings.Repeat("long", 300)), with("tenantid", "globex"), with("hops", "3", "origin", "import"), with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
	strings.Replace(good, `"id":"1"`, `"id":"\u0031"`, 1), strings.Replace(good, `"id":"1"`, `"\u0069d":"1"`, 1), strings.Replace(good, `"id":"1"`, `"id":"1","id":"1"`, 1),
	strings.Replace(good, `"42"`, `"42\u0000"`, 1), strings.Replace(good, `"data":{`, `"data":{"lead_id":"1",`, 1), good + " ", good + "x", good[:40], `{}`, `[]`, `null`, ``, `{"data":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	`{"data":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, strings.Replace(good, `"source"`, strings.Repeat(`"a":1,`, 2)+`"source"`, 1), "{\"id\":\"\xff\"}",
}

// sameEnvelopes holds what was scanned against what the strict reader says.
func sameEnvelopes(t *testing.T, got, want []envelope) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.doc != nil && !bytes.Equal(g.data, raw(g)) {
			t.Fatalf("event %d: the data %q is not what its tokens say", i, g.data)
		}
		g.doc, g.at = nil, 0
		if len(g.attrs) == 0 && len(w.attrs) == 0 {
			g.attrs, w.attrs = nil, nil
		}
		if !bytes.Equal(g.data, w.data) {
			t.Fatalf("event %d has the data %q, want %q", i, g.data, w.data)
		}
		if g.data, w.data = nil, nil; !reflect.DeepEqual(g, w) {
			t.Fatalf("event %d is\n%+v, want\n%+v", i, g, w)
		}
	}
}

// raw is the text that an envelope's token stands for.
func raw(e envelope) []byte {
	tok := e.doc.Tokens[e.at]
	if tok.Kind == '"' {
		return e.doc.Text[tok.Start-1 : tok.End+1]
	}
	return e.doc.Raw(e.at)
}

func scanAgrees(t *testing.T, body []byte) (taken bool) {
	t.Helper()
	var w scratch
	if got, ok := w.scanOne(body); ok {
		taken = true
		want, p := readStructured(body)
		if p != nil {
			t.Fatalf("%q is taken, and refused: %v", body, p)
		}
		sameEnvelopes(t, []envelope{got}, []envelope{want})
	}
	if got, ok := w.scanBatch(body); ok {
		taken = true
		want, p := readBatch(body)
		if p != nil {
			t.Fatalf("%q is taken, and refused: %v", body, p)
		}
		sameEnvelopes(t, got, want)
	}
	return taken
}

func TestScan_ReadsWhatTheStrictReaderReads(t *testing.T) {
	taken := 0
	for _, body := range bodies {
		if scanAgrees(t, []byte(body)) {
			taken++
		}
		for _, batch := range []string{"[" + body + "]", "[" + good + "," + body + "," + good + "]", " [ " + body + " ,\n" + good + "\t] "} {
			scanAgrees(t, []byte(batch))
		}
	}
	if taken < 25 {
		t.Errorf("only %d of %d bodies were taken", taken, len(bodies))
	}
	if big := "[" + strings.Repeat(good+",", maxBatchItems) + good + "]"; scanAgrees(t, []byte(big)) {
		t.Error("a batch over its limit was taken")
	}
}

func TestWriteAnswers_WritesWhatJSONWould(t *testing.T) {
	answers := []itemAnswer{
		{Index: 0, ID: "018f3c1e-7b2a", Status: statusAccepted}, {Index: 999, ID: "a b", Status: statusUnknown}, {Index: 2, Status: statusRefused},
		{Index: 3, ID: "<&>\"\\", Status: statusAccepted}, {Index: 4, ID: "ä\u2028\x7f", Status: statusAccepted}, {Index: 5, ID: "x", Status: statusAdmitted, Sequence: "1", Position: "2"},
		{Index: 6, ID: "y", Status: statusDuplicate, Of: "x"}, {Index: 7, ID: "z", Status: statusRefused, Problem: problem(event.CodeInvalidBody, "bad").at("/data", "x")},
	}
	if n := reflect.TypeFor[itemAnswer]().NumField(); n != 7 {
		t.Errorf("an answer has %d fields: append must know of them", n)
	}
	for n := range len(answers) + 1 {
		got, want := httptest.NewRecorder(), httptest.NewRecorder()
		writeAnswers(got, http.StatusAccepted, answers[:n])
		writeJSON(want, http.StatusAccepted, answers[:n])
		if got.Body.String() != want.Body.String() || got.Code != want.Code || !reflect.DeepEqual(got.Header(), want.Header()) {
			t.Errorf("%d %s, want %d %s", got.Code, got.Body, want.Code, want.Body)
		}
	}
}

// FuzzScanEnvelopes: whatever the scan takes, the strict reader takes, and gives the same events.
func FuzzScanEnvelopes(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
		f.Add([]byte("[" + body + "," + good + "]"))
	}
	f.Fuzz(func(t *testing.T, body []byte) { scanAgrees(t, body) })
}

// Events are built the same from a scan as from the strict reader, problems too; what one event of a batch is has no effect on the next.
func TestBuild_IsTheSameFromAScan(t *testing.T) {
	c, keys := newCatalogue(t), event.NewKeyring()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var all []string
	for _, body := range bodies {
		if _, p := readStructured([]byte(body)); p == nil {
			all = append(all, body)
		}
	}
	// Nested deeper than a scan goes would leave the whole batch to the strict reader.
	for i := len(all) - 1; i >= 0; i-- {
		if strings.Contains(all[i], strings.Repeat("[", 33)) || strings.Contains(all[i], `\u0000`) || strings.Contains(all[i], `\u0069`) {
			all = append(all[:i], all[i+1:]...)
		}
	}
	var w scratch
	envs, ok := w.scanBatch([]byte("[" + strings.Join(all, ",") + "]"))
	if !ok || len(envs) != len(all) {
		t.Fatalf("%d of %d events scanned", len(envs), len(all))
	}
	built := 0
	for i, env := range envs {
		want, p := readStructured([]byte(all[i]))
		if p != nil {
			t.Fatal(p)
		}
		req := request{tenant: "acme", now: now, scratch: &w}
		var e event.Event
		ignored, err := build(context.Background(), &e, &env, &req, c, keys)
		req.scratch = &scratch{}
		slow, slowIgnored, slowErr := buildByTree(want, req, c, keys)
		if !reflect.DeepEqual(err, slowErr) || !reflect.DeepEqual(ignored, slowIgnored) {
			t.Errorf("%s: %v, want %v", all[i], err, slowErr)
		}
		if err == nil {
			built++
			if !reflect.DeepEqual(e, slow) {
				t.Errorf("%s is built\n%+v, want\n%+v", all[i], e, slow)
			}
		}
	}
	if built < 8 {
		t.Errorf("only %d events were built", built)
	}
}

// buildByTree builds an event from data that no scan takes for what it is: a member's name has an escape.
func buildByTree(env envelope, req request, c Catalogue, keys *event.Keyring) (event.Event, []string, error) {
	if env.form == dataJSON && env.data != nil {
		env.data = bytes.Replace(env.data, []byte(`"lead_id"`), []byte(`"lead_\u0069d"`), 1)
	}
	var e event.Event
	ignored, err := build(context.Background(), &e, &env, &req, c, keys)
	return e, ignored, err
}

func TestPostBatch_TakesAvroBodies(t *testing.T) {
	f := newFixture(t, nil)
	id := f.catalogue.byType["lead.created"]
	body, err := f.catalogue.byID[id].EncodeMap(map[string]any{"lead_id": "42"})
	if err != nil {
		t.Fatal(err)
	}
	framed := event.Frame(id, body)
	avro := func(n int, value []byte) string {
		return with("id", fmt.Sprint(n), "data", nil, "datacontenttype", "application/avro", "data_base64", base64.StdEncoding.EncodeToString(value))
	}
	batch := "[" + strings.Join([]string{avro(0, framed), avro(1, framed[:len(framed)-1]), good, avro(3, event.Frame(9999, body)), avro(4, framed)}, ",") + "]"
	w := f.call("POST", "/v1/events", f.keys["acme"], []byte(batch), "Content-Type", mediaBatch)
	if w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	answers := decode[[]itemAnswer](t, w)
	for i, want := range []event.Code{"", event.CodeInvalidBody, "", event.CodeUnknownSchema, ""} {
		switch a := answers[i]; {
		case want == "" && a.Status != statusAccepted:
			t.Errorf("item %d: %+v", i, a)
		case want != "" && (a.Problem == nil || a.Problem.Code != want):
			t.Errorf("item %d: %+v, want %s", i, a, want)
		}
	}
	recs := f.producer.taken()
	if len(recs) != 3 || !bytes.Equal(recs[0].Value, framed) || !bytes.Equal(recs[2].Value, framed) {
		t.Fatalf("%d records", len(recs))
	}
	if a, b := parsed(t, recs[0]), parsed(t, recs[2]); a.Fingerprint != b.Fingerprint || a.Fingerprint == parsed(t, recs[1]).Fingerprint {
		t.Error("equal bodies have one fingerprint, others another")
	}
}
