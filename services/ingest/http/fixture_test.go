package httpin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalogue is the embedded schemas under fixed ids, without a registry.
type catalogue struct {
	byType map[string]int32
	byID   map[int32]*avro.Schema
	down   bool
}

func newCatalogue(t testing.TB) *catalogue {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	c := &catalogue{byType: map[string]int32{}, byID: map[int32]*avro.Schema{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		c.byType[s.EventType()], c.byID[int32(i+1)] = int32(i+1), s
	}
	return c
}

func (c *catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	if c.down {
		return 0, nil, registry.ErrUnavailable
	}
	id, ok := c.byType[typ]
	if !ok {
		return 0, nil, registry.ErrUnknown
	}
	return id, c.byID[id], nil
}

func (c *catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	if c.down {
		return nil, registry.ErrUnavailable
	}
	if s := c.byID[id]; s != nil {
		return s, nil
	}
	return nil, registry.ErrUnknown
}

// recorder is a producer that keeps what it is given, and can hold it back.
type recorder struct {
	mu      sync.Mutex
	records []*kafka.Record
	silent  bool // never acknowledge
	waiting []func()
}

func (r *recorder) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	if r.silent {
		r.waiting = append(r.waiting, func() { done(rec, nil) })
		return
	}
	go done(rec, nil)
}

func (r *recorder) taken() []*kafka.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*kafka.Record(nil), r.records...)
}

// source is a fixed tenant directory.
type source struct{ snap tenant.Snapshot }

func (s source) Load(context.Context) (tenant.Snapshot, error) { return s.snap, nil }

type fixture struct {
	*Server
	t         testing.TB
	contract  *contract // every answer is held against the document
	producer  *recorder
	catalogue *catalogue
	handler   http.Handler
	reg       *prometheus.Registry
	keys      map[string]string // by name
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	snap := tenant.Snapshot{}
	keys := map[string]string{}
	issue := func(name, tenantID string, status tenant.Status, edit func(*tenant.StoredKey)) {
		k, err := tenant.NewKey(tenantID)
		if err != nil {
			t.Fatal(err)
		}
		stored := tenant.StoredKey{Tenant: tenantID, ID: k.ID, Hash: k.Hash(), Scopes: []string{tenant.ScopeWrite, tenant.ScopeRead}}
		if edit != nil {
			edit(&stored)
		}
		entry, ok := snap[tenantID]
		if !ok {
			entry = tenant.Entry{Tenant: tenantID, Status: status, Keys: map[string]tenant.StoredKey{}}
		}
		entry.Keys[k.ID] = stored
		snap[tenantID] = entry
		keys[name] = k.Reveal()
	}
	issue("acme", "acme", tenant.StatusActive, nil)
	issue("globex", "globex", tenant.StatusActive, nil)
	issue("witness", "witness", tenant.StatusActive, nil)
	witness := snap["witness"]
	witness.Limits = tenant.Limits{EventsPerSecond: 100_000}
	snap["witness"] = witness
	issue("suspended", "initech", tenant.StatusSuspended, nil)
	issue("expired", "acme", tenant.StatusActive, func(k *tenant.StoredKey) { k.ExpiresAt = time.Now().Add(-time.Hour) })
	issue("revoked", "acme", tenant.StatusActive, func(k *tenant.StoredKey) { k.Revoked = true })
	issue("read-only", "acme", tenant.StatusActive, func(k *tenant.StoredKey) { k.Scopes = []string{tenant.ScopeRead} })
	issue("forged", "acme", tenant.StatusActive, func(k *tenant.StoredKey) { k.Hash = [sha256.Size]byte{} })
	log := slog.New(slog.DiscardHandler)
	directory := tenant.NewDirectory(source{snap}, log, nil)
	if err := directory.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, contract: readContract(t), producer: &recorder{}, catalogue: newCatalogue(t), reg: prometheus.NewRegistry(), keys: keys}
	cfg := Config{
		Producer: f.producer, Auth: directory, Schemas: f.catalogue, Keys: event.NewKeyring(), Log: log, Reg: f.reg,
		AckTimeout: 5 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	f.Server = New(cfg)
	f.handler = f.Handler()
	return f
}

// call is one request; headers are name, value pairs.
func (f *fixture) call(method, path, key string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[http.CanonicalHeaderKey(headers[i])] = append(r.Header[http.CanonicalHeaderKey(headers[i])], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if f.contract != nil {
		f.contract.holds(f.t, r, w)
	}
	return w
}

func (f *fixture) structured(body string, headers ...string) *httptest.ResponseRecorder {
	return f.call("POST", "/v1/events", f.keys["acme"], []byte(body), append([]string{"Content-Type", mediaStructured}, headers...)...)
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body.String(), err)
	}
	return out
}

const good = `{"specversion":"1.0","id":"1","source":"/crm","type":"lead.created","subject":"lead/42","data":{"lead_id":"42","email":"ada@example.com"}}`

// with changes attributes of the good event; nil removes one.
func with(pairs ...any) string {
	var m map[string]any
	_ = json.Unmarshal([]byte(good), &m) // a constant
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(m, pairs[i].(string))
			continue
		}
		m[pairs[i].(string)] = pairs[i+1]
	}
	b, _ := json.Marshal(m)
	return string(b)
}

func parsed(t testing.TB, r *kafka.Record) event.Event {
	t.Helper()
	e, err := kafka.ParseRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// live is a server over kfake and the embedded registry, on a real port.
func live(t *testing.T) (url string, f *fixture, cfg kafka.Config) {
	t.Helper()
	cfg = kafkatest.Start(t)
	ctx, cancel := context.WithCancel(context.Background())
	reg := registry.NewServer(cfg, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	kafkatest.WaitFor(t, "the registry is ready", func(context.Context) bool { return reg.Ready() == nil })
	web := httptest.NewServer(reg)
	client, err := registry.NewClient(web.URL, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Push(ctx, files, true); err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A broker next to the race detector may take many seconds to acknowledge.
	f = newFixture(t, func(c *Config) { c.Producer, c.Schemas, c.AckTimeout = producer, client, time.Minute })
	srv := httptest.NewServer(f.handler)
	t.Cleanup(func() {
		srv.Close()
		producer.Close()
		web.Close()
		cancel()
		<-done
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return srv.URL, f, cfg
}

func post(t *testing.T, url, key, media, body string, headers ...string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/v1/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", media)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}
