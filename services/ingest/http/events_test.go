package httpin

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/tenant"
)

func TestPost_AcceptedEventIsInKafkaBeforeTheAnswer(t *testing.T) {
	url, f, cfg := live(t)
	status, body := post(t, url, f.keys["acme"], mediaStructured, good)
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	recs := kafkatest.Consume(t, cfg, kafka.TopicIngress)
	if len(recs) != 1 {
		t.Fatalf("%d records after a 202, want 1", len(recs))
	}
	e := parsed(t, recs[0])
	if e.TenantID != "acme" || e.ID != "1" || e.Type != "lead.created" || e.Subject != "lead/42" || e.TraceParent == "" || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	if ok, err := f.Keys.Verify(&e); !ok || err != nil || e.Fingerprint == "" || e.Origin != event.OriginLive {
		t.Errorf("not signed with fingerprint and origin: %v %v %q %q", ok, err, e.Fingerprint, e.Origin)
	}
	id, avroBody, err := event.Unframe(e.Value)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Schemas.SchemaByID(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Decode(avroBody)
	if err != nil || data["lead_id"] != "42" || data["email"] != "ada@example.com" {
		t.Errorf("%v %v", data, err)
	}
	batch := "[" + with("id", "2") + "," + with("id", "3") + "]"
	if status, body := post(t, url, f.keys["acme"], mediaBatch, batch); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	if n := len(kafkatest.Consume(t, cfg, kafka.TopicIngress)); n != 3 {
		t.Errorf("%d records after the batch, want 3", n)
	}
}

func TestPost_BinaryJSONCarriesAttributesInHeaders(t *testing.T) {
	f := newFixture(t, nil)
	w := f.call("POST", "/v1/events", f.keys["acme"], []byte(`{"lead_id":"€"}`), "Content-Type", "application/json; charset=UTF-8",
		"ce-specversion", "1.0", "ce-id", "a%20b", "ce-source", `"/crm"`, "ce-type", "lead.created", "ce-subject", "lead/%E2%82%AC",
		"ce-time", "2026-01-31T12:00:00.5+01:00", "ce-correlationid", "c1", "ce-dataref", "x")
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := parsed(t, f.producer.taken()[0])
	if e.ID != "a b" || e.Source != "/crm" || e.Subject != "lead/€" || e.CorrelationID != "c1" || event.FormatTime(e.Time) != "2026-01-31T11:00:00.5Z" {
		t.Errorf("%+v", e)
	}
	if len(e.Extra) != 1 || e.Extra[0].Key != "ce_dataref" {
		t.Errorf("extensions %v", e.Extra)
	}
}

func TestPost_AvroIsTakenAsItIs(t *testing.T) {
	f := newFixture(t, nil)
	id := f.catalogue.byType["lead.created"]
	body, err := f.catalogue.byID[id].EncodeMap(map[string]any{"lead_id": "42"})
	if err != nil {
		t.Fatal(err)
	}
	framed := event.Frame(id, body)
	attrs := []string{"Content-Type", mediaAvro, "ce-specversion", "1.0", "ce-id", "1", "ce-source", "/crm", "ce-type", "lead.created"}
	if w := f.call("POST", "/v1/events", f.keys["acme"], framed, attrs...); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := parsed(t, f.producer.taken()[0])
	if !bytes.Equal(e.Value, framed) || e.Fingerprint != event.FingerprintAvro("lead.created", "", "/crm", id, body) {
		t.Errorf("%x %s", e.Value, e.Fingerprint)
	}
	structured := with("data", nil, "datacontenttype", mediaAvro, "data_base64", base64.StdEncoding.EncodeToString(framed))
	if w := f.structured(structured); w.Code != http.StatusAccepted {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for i := range framed { // whatever is cut off is refused, and never accepted as something else
		if w := f.call("POST", "/v1/events", f.keys["acme"], framed[:i], attrs...); w.Code == http.StatusAccepted || w.Code >= 500 {
			t.Errorf("the first %d bytes give %d", i, w.Code)
		}
	}
	if w := f.call("POST", "/v1/events", f.keys["acme"], append(framed, 0), attrs...); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a trailing byte gives %d", w.Code)
	}
}

func TestPost_RetryWithTheSameKeyNamesTheSameEventAndFingerprint(t *testing.T) {
	f := newFixture(t, nil)
	first := `{"specversion":"1.0","source":"/crm","type":"lead.created","data":{"lead_id":"42","company":"X"},"time":"2026-01-01T00:00:00Z"}`
	again := `{"type":"lead.created","data":{ "company":"\u0058", "lead_id":"42"},"specversion":"1.0","source":"/crm"}`
	other := strings.Replace(first, `"42"`, `"43"`, 1)
	var ids, fingerprints []string
	for i, body := range []string{first, again, other} {
		key := `"order-7"`
		if i == 1 {
			key = "order-7" // bare
		}
		w := f.structured(body, "Idempotency-Key", key)
		if w.Code != http.StatusAccepted {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		ids = append(ids, decode[answer](t, w).ID)
		fingerprints = append(fingerprints, parsed(t, f.producer.taken()[i]).Fingerprint)
	}
	if ids[0] != ids[1] || ids[0] != event.DerivedID("acme", "order-7") {
		t.Errorf("ids %v", ids)
	}
	if fingerprints[0] != fingerprints[1] || fingerprints[0] == fingerprints[2] {
		t.Errorf("fingerprints %v: a retry must be equal, another payload must not", fingerprints)
	}
	w := f.call("POST", "/v1/events", f.keys["globex"], []byte(first), "Content-Type", mediaStructured, "Idempotency-Key", "order-7")
	if id := decode[answer](t, w).ID; id == ids[0] {
		t.Error("two tenants with the same key got the same event id")
	}
}

func TestPost_SystemAttributesOfClientsAreDropped(t *testing.T) {
	f := newFixture(t, nil)
	w := f.structured(with("causationid", "x", "hops", "9", "deriver", "rules", "derivernumber", "7", "sequence", "1", "origin", "live", "logid", "l"))
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := parsed(t, f.producer.taken()[0])
	if e.CausationID != "" || e.Hops != 0 || e.Derived() || e.DeriverNumber != 0 || e.Origin != event.OriginLive || len(e.Extra) != 0 {
		t.Errorf("%+v", e)
	}
	if n := testutil.CollectAndCount(f.metrics.ignored); n != 6 {
		t.Errorf("%d kinds of dropped attributes are counted, want 6", n)
	}
	if w := f.call("POST", "/v1/events", f.keys["acme"], []byte(with("id", "live")), "Content-Type", mediaStructured, "ce-origin", "live"); w.Code != http.StatusAccepted {
		t.Errorf("a header that says live, and a body that says nothing: %d %s", w.Code, w.Body)
	}
	for _, origin := range []string{"import", "backfill"} {
		if w := f.structured(with("id", origin, "origin", origin)); w.Code != http.StatusAccepted {
			t.Errorf("%s: %d %s", origin, w.Code, w.Body)
		}
		recs := f.producer.taken()
		if e := parsed(t, recs[len(recs)-1]); string(e.Origin) != origin {
			t.Errorf("origin %s became %q", origin, e.Origin)
		}
		w := f.call("POST", "/v1/events", f.keys["acme"], []byte(with("id", "with "+origin, "origin", origin)), "Content-Type", mediaStructured, "ce-origin", origin)
		if w.Code != http.StatusAccepted { // CloudEvents HTTP binding 3.2.3: a client may send the headers, too
			t.Errorf("%s in the body and in a header: %d %s", origin, w.Code, w.Body)
		}
		before := len(f.producer.taken())
		w = f.call("POST", "/v1/events", f.keys["acme"], []byte("["+with("id", "in a batch")+"]"), "Content-Type", mediaBatch, "ce-origin", origin)
		if w.Code != http.StatusUnprocessableEntity || len(f.producer.taken()) != before {
			t.Errorf("a batch with a header that says %s, and events that say nothing: %d %s", origin, w.Code, w.Body)
		}
	}
}

func TestPost_RefusesAnOriginThatAClientMayNotClaim(t *testing.T) {
	f := newFixture(t, nil)
	for _, origin := range []string{"Import", "imported", "bogus", "", "echo", "redrive"} {
		w := f.structured(with("origin", origin))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "import and backfill") || !strings.Contains(w.Body.String(), origin) {
			t.Errorf("%q: %d %s", origin, w.Code, w.Body)
		}
	}
	if recs := f.producer.taken(); len(recs) != 0 {
		t.Errorf("%d records are produced", len(recs))
	}
}

func TestPost_AllErrorsOfAnEventAtOnce(t *testing.T) {
	f := newFixture(t, nil)
	w := f.structured(`{"specversion":"0.3","type":"lead.created","time":"yesterday","data":{"lead_id":7,"nope":1}}`)
	p := decode[Problem](t, w)
	if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" || p.Status != w.Code || p.Type == "" || p.Instance != "/v1/events" {
		t.Errorf("%d %+v", w.Code, p)
	}
	locations := map[string]bool{}
	for _, e := range p.Errors {
		locations[e.Location] = true
	}
	for _, want := range []string{"specversion", "source", "id", "time", "/data/lead_id", "/data/nope"} {
		if !locations[want] {
			t.Errorf("no error at %s: %+v", want, p.Errors)
		}
	}
	if len(f.producer.taken()) != 0 {
		t.Error("a refused event was produced")
	}
}

func TestBatch_OneBadItemDoesNotRefuseTheOthers(t *testing.T) {
	f := newFixture(t, nil)
	items := []string{with("id", "1"), with("id", "2", "type", "no.such"), with("id", "3", "data", map[string]any{}), with("id", "4", "tenantid", "globex"), with("id", nil), with("id", "6")}
	w := f.call("POST", "/v1/events", f.keys["acme"], []byte("["+strings.Join(items, ",")+"]"), "Content-Type", mediaBatch)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var got []string
	for i, a := range decode[[]itemAnswer](t, w) {
		if a.Index != i {
			t.Errorf("item %d has index %d", i, a.Index)
		}
		s := a.Status
		if a.Problem != nil {
			s += " " + string(a.Problem.Code)
		}
		got = append(got, s)
	}
	want := []string{"accepted", "refused unknown_type", "refused invalid_body", "refused tenant_mismatch", "refused missing_attribute", "accepted"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if n := len(f.producer.taken()); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	w = f.call("POST", "/v1/events", f.keys["acme"], []byte("["+items[1]+"]"), "Content-Type", mediaBatch)
	if a := decode[[]itemAnswer](t, w); w.Code != http.StatusUnprocessableEntity || len(a) != 1 {
		t.Errorf("all refused: %d %v", w.Code, a)
	}
	if w = f.call("POST", "/v1/events", f.keys["acme"], []byte("[]"), "Content-Type", mediaBatch); w.Code != http.StatusAccepted {
		t.Errorf("an empty batch: %d", w.Code)
	}
}

func TestPost_LateAcknowledgementIsUnknownAndTheRecordStaysOnItsWay(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AckTimeout = 20 * time.Millisecond })
	f.producer.silent = true
	w := f.structured(good)
	p := decode[Problem](t, w)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(p.Detail, "not known") || !strings.Contains(p.Hint, "same id") {
		t.Errorf("%d %+v", w.Code, p)
	}
	if n := f.gate.records.reserved(); n != 1 {
		t.Errorf("%d records count as waiting, want the abandoned one", n)
	}
	f.producer.waiting[0]()
	if n := f.gate.records.reserved(); n != 0 {
		t.Errorf("%d records count as waiting after the late acknowledgement", n)
	}
	w = f.call("POST", "/v1/events", f.keys["acme"], []byte("["+with("type", "no.such")+","+with("id", "2")+"]"), "Content-Type", mediaBatch)
	if p := decode[Problem](t, w); w.Code != http.StatusServiceUnavailable || len(p.Items) != 2 || p.Items[0].Status != "refused" || p.Items[1].Status != "unknown" {
		t.Errorf("%d %+v", w.Code, p)
	}
}

func TestPostBatch_RecordsThatAreStillOnTheirWayDoNotChangeWithLaterRequests(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AckTimeout = time.Millisecond })
	f.producer.silent = true
	id := f.catalogue.byType["lead.created"]
	post := func(n int) {
		body, err := f.catalogue.byID[id].EncodeMap(map[string]any{"lead_id": strings.Repeat(fmt.Sprint(n), 10)})
		if err != nil {
			t.Fatal(err)
		}
		batch := "[" + strings.Join([]string{
			with("id", fmt.Sprint(n, "json"), "subject", fmt.Sprint("lead/L", n), "data", map[string]any{"lead_id": fmt.Sprint("L", n)}),
			with("id", fmt.Sprint(n, "avro"), "subject", nil, "data", nil, "datacontenttype", mediaAvro, "data_base64", base64.StdEncoding.EncodeToString(event.Frame(id, body))),
		}, ",") + "]"
		if n%2 == 1 { // a way to write it that the scan leaves to the strict reader
			batch = strings.Replace(batch, `"source"`, `"sour\u0063e"`, 1)
		}
		if w := f.call("POST", "/v1/events", f.keys["acme"], []byte(batch), "Content-Type", mediaBatch); w.Code != http.StatusServiceUnavailable {
			t.Fatal(w.Code, w.Body)
		}
	}
	written := func() (all []string) {
		for _, r := range f.producer.taken()[:4] {
			all = append(all, fmt.Sprintf("%s %q %q", r.Key, r.Headers, r.Value))
		}
		return all
	}
	post(1)
	post(2)
	want := written()
	for n := range 50 {
		post(n + 3)
	}
	if got := written(); !slices.Equal(got, want) {
		t.Errorf("records became\n%s\nwere\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPost_FullGateSays503BeforeProducing(t *testing.T) {
	f := newFixture(t, nil)
	f.gate.records.used = maxWaitingRecords
	if w := f.structured(good); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(f.producer.taken()) != 0 {
		t.Errorf("%d, %d produced", w.Code, len(f.producer.taken()))
	}
	if n := f.gate.records.reserved(); n != maxWaitingRecords {
		t.Errorf("a refused entry moved the gate to %d", n)
	}
}

func TestPost_RateIsPerTenant(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Quotas.Events = 0.5 })
	now := time.Now()
	f.now = func() time.Time { return now } // nothing comes back while the test runs, however slow the machine is
	statuses := map[int]int{}
	for i := range maxBatchItems + 1 {
		statuses[f.structured(with("id", fmt.Sprint(i))).Code]++
	}
	if statuses[http.StatusTooManyRequests] != 1 {
		t.Errorf("%v", statuses)
	}
	if w := f.call("POST", "/v1/events", f.keys["globex"], []byte(good), "Content-Type", mediaStructured); w.Code != http.StatusAccepted {
		t.Errorf("another tenant gets %d", w.Code)
	}
}

func TestPost_UnavailableRegistryOrDirectoryIs503(t *testing.T) {
	f := newFixture(t, nil)
	f.catalogue.down = true
	for _, media := range []string{mediaStructured, mediaBatch} {
		body := good
		if media == mediaBatch {
			body = "[" + good + "]"
		}
		w := f.call("POST", "/v1/events", f.keys["acme"], []byte(body), "Content-Type", media)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", media, w.Code, w.Body)
		}
	}
	f = newFixture(t, func(c *Config) { c.Auth = tenant.NewDirectory(failing{}, c.Log, nil) })
	if w := f.structured(good); w.Code != http.StatusServiceUnavailable {
		t.Errorf("before the first load: %d", w.Code)
	}
}

type failing struct{}

func (failing) Load(context.Context) (tenant.Snapshot, error) { return nil, errors.New("down") }

func TestPost_GzipIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	zip := func(b []byte) []byte {
		var buf bytes.Buffer
		w := gzip.NewWriter(&buf)
		_, _ = w.Write(b)
		_ = w.Close()
		return buf.Bytes()
	}
	send := func(body []byte, encoding string) int {
		return f.call("POST", "/v1/events", f.keys["acme"], body, "Content-Type", mediaStructured, "Content-Encoding", encoding).Code
	}
	ok := zip([]byte(good))
	crc := bytes.Clone(ok)
	crc[len(crc)-8] ^= 1
	for _, c := range []struct {
		name     string
		body     []byte
		encoding string
		want     int
	}{
		{"gzip", ok, "gzip", 202},
		{"identity", []byte(good), "identity", 202},
		{"bomb", zip(make([]byte, 64<<20)), "gzip", 413},
		{"twice", zip(ok), "gzip, gzip", 415},
		{"not gzip", []byte(good), "gzip", 400},
		{"bad CRC", crc, "gzip", 400},
		{"cut off", ok[:len(ok)-9], "gzip", 400},
		{"two members", append(bytes.Clone(ok), ok...), "gzip", 400},
		{"trailing bytes", append(bytes.Clone(ok), "x"...), "gzip", 400},
		{"br", ok, "br", 415},
		{"gzip without saying so", ok, "", 400},
	} {
		if got := send(c.body, c.encoding); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTrace_IsCarriedOrStarted(t *testing.T) {
	f := newFixture(t, nil)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f.structured(with("id", "1"), "traceparent", parent, "tracestate", "a=b")
	f.structured(with("id", "2", "traceparent", strings.Replace(parent, "4bf9", "aaaa", 1)), "traceparent", parent)
	f.structured(with("id", "3"), "traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	recs := f.producer.taken()
	if e := parsed(t, recs[0]); e.TraceParent != parent || e.TraceState != "a=b" {
		t.Errorf("%q %q", e.TraceParent, e.TraceState)
	}
	if e := parsed(t, recs[1]); !strings.Contains(e.TraceParent, "-aaaa2f") {
		t.Errorf("the event's own trace lost to the hop's: %q", e.TraceParent)
	}
	if e := parsed(t, recs[2]); !event.ValidTraceParent(e.TraceParent) {
		t.Errorf("no trace was started: %q", e.TraceParent)
	}
}

func TestServe_RefusesAPageOfAnotherSiteWithAProblem(t *testing.T) {
	f := newFixture(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx, ln) }()
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"", "https://evil.example", 403}, {"evil.example", "", 421}, {"evil.example", "http://evil.example", 421}, {"", "", 202}, {"localhost", "", 202},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String()+"/v1/events", strings.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		req.Header.Set("Authorization", "Bearer "+f.keys["acme"])
		req.Header.Set("Content-Type", mediaStructured)
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if media := resp.Header.Get("Content-Type"); resp.StatusCode != c.want || c.want != 202 && (media != "application/problem+json" || !strings.Contains(string(body), `"code":"forbidden"`)) {
			t.Errorf("Host %q, Origin %q: %s %s: %s", c.host, c.origin, resp.Status, media, body)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestServe_FinishesRequestsUnderWayWhenStopped(t *testing.T) {
	f := newFixture(t, nil)
	f.producer.silent = true
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx, ln) }()
	answer := make(chan int, 1)
	go func() {
		status, _ := post(t, "http://"+ln.Addr().String(), f.keys["acme"], mediaStructured, good)
		answer <- status
	}()
	kafkatest.WaitFor(t, "the record is produced", func(context.Context) bool { return len(f.producer.taken()) == 1 })
	cancel()
	kafkatest.WaitFor(t, "the port is closed", func(context.Context) bool {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	f.producer.mu.Lock()
	f.producer.waiting[0]()
	f.producer.mu.Unlock()
	if status := <-answer; status != http.StatusAccepted {
		t.Errorf("the request under way got %d", status)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestOpenAPI_IsJSONAndNamesTheRoutes(t *testing.T) {
	f := newFixture(t, nil)
	w := f.call("GET", "/openapi.json", "", nil)
	var doc struct {
		OpenAPI string                     `json:"openapi"`
		Paths   map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.OpenAPI != "3.1.0" || doc.Paths["/v1/events"] == nil || doc.Paths["/v1/events/{id}"] == nil {
		t.Errorf("%v %+v", err, doc)
	}
}
