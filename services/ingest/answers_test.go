package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/tenant"
	httpin "github.com/neuronx/engine/services/ingest/http"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

// both is a sequencer and two HTTP servers over one kfake.
type both struct {
	t    *testing.T
	cfg  kafka.Config
	urls []string
	key  string

	schemas *registry.Client
}

type directory struct{ snap tenant.Snapshot }

func (d directory) Load(context.Context) (tenant.Snapshot, error) { return d.snap, nil }

func startBoth(t *testing.T) *both {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &both{t: t, cfg: kafkatest.Start(t)}
	_, schemas := registrytest.Start(t, b.cfg)
	b.schemas = schemas
	keys := event.NewKeyring()
	producer, err := kafka.NewProducer(b.cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tenant.NewKey("acme")
	if err != nil {
		t.Fatal(err)
	}
	b.key = key.Reveal()
	stored := tenant.StoredKey{Tenant: "acme", ID: key.ID, Hash: key.Hash(), Scopes: []string{tenant.ScopeWrite, tenant.ScopeRead}}
	d := tenant.NewDirectory(directory{tenant.Snapshot{"acme": {Tenant: "acme", Status: tenant.StatusActive, Keys: map[string]tenant.StoredKey{key.ID: stored}}}}, log, nil)
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	rt := &app.Runtime{Name: "ingest", Log: log, Metrics: prometheus.NewRegistry(), Ready: app.NewReadiness()}
	running.Go(func() {
		if err := sequencer.Run(ctx, rt, sequencer.Config{Kafka: b.cfg, Keys: keys, Schemas: schemas}); err != nil {
			t.Error(err)
		}
	})
	var webs []*httptest.Server
	for range 2 {
		s := httpin.New(httpin.Config{Producer: producer, Auth: d, Schemas: schemas, Keys: keys, Log: log})
		web := httptest.NewServer(s.Handler())
		webs, b.urls = append(webs, web), append(b.urls, web.URL)
		running.Go(func() { _ = s.FollowReceipts(ctx, b.cfg) })
	}
	t.Cleanup(func() {
		for _, w := range webs {
			w.Close()
		}
		cancel()
		running.Wait()
		producer.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	if _, err := control.New(producer, keys, schemas).Publish(t.Context(), "acme", "tenant.created", "tenant/acme", "created", map[string]any{"name": "Acme"}); err != nil {
		t.Fatal(err)
	}
	for i := range b.urls { // a server that does not follow the receipts yet does not say that it waited
		kafkatest.WaitFor(t, "the server to wait for verdicts", func(context.Context) bool {
			_, h, _ := b.post(i, "application/cloudevents+json", lead("warm"), "Prefer", "wait=1")
			return h.Get("Preference-Applied") != ""
		})
	}
	return b
}

func lead(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/crm","type":"lead.created","subject":"lead/1","data":{"lead_id":"1"}}`, id)
}

func (b *both) post(server int, media, body string, headers ...string) (int, http.Header, string) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.urls[server]+"/v1/events", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.key)
	r.Header.Set("Content-Type", media)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(bytes.TrimSpace(text))
}

type item struct {
	ID, Sequence, Position, Of, Code string
	Status                           any // a word, or a problem's number
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnswers_TheVerdictOfTheSequencerReachesWhoWaits(t *testing.T) {
	b := startBoth(t)
	one := func(server int, body string, headers ...string) (int, item) {
		t.Helper()
		status, _, text := b.post(server, "application/cloudevents+json", body, append(headers, "Prefer", "wait=20")...)
		var i item
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			t.Fatalf("%d %s: %v", status, text, err)
		}
		return status, i
	}
	status, first := one(0, lead("a"))
	if status != 200 || first.Status != "admitted" || first.Sequence == "" || first.Position == "" {
		t.Fatalf("%d %+v", status, first)
	}
	if status, again := one(1, lead("a")); status != 200 || again.Status != "duplicate" || again.Of != first.Sequence {
		t.Errorf("through the other server: %d %+v, first %+v", status, again, first)
	}
	if status, other := one(0, strings.Replace(lead("a"), `"lead_id":"1"`, `"lead_id":"1","channel":"web"`, 1)); status != 422 || other.Code != "conflict" {
		t.Errorf("%d %+v", status, other)
	}
	bare := strings.Replace(lead("x"), `"id":"x",`, "", 1)
	if status, keyed := one(1, bare, "Idempotency-Key", "order-7"); status != 200 || keyed.ID != event.KeyID("acme", "order-7") {
		t.Errorf("%d %+v", status, keyed)
	}

	var batch []string
	for i := range 50 {
		batch = append(batch, lead(fmt.Sprint("b", i)))
	}
	batch = append(batch, lead("a"), lead("b0"))
	status, _, text := b.post(0, "application/cloudevents-batch+json", "["+strings.Join(batch, ",")+"]", "Prefer", "wait=20")
	var items []item
	if err := json.Unmarshal([]byte(text), &items); err != nil || status != 200 || len(items) != 52 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	for i, it := range items[:50] {
		if it.Status != "admitted" || it.Sequence == "" {
			t.Errorf("item %d: %+v", i, it)
		}
	}
	if items[50].Of != first.Sequence || items[51].Of != items[0].Sequence {
		t.Errorf("%+v %+v", items[50], items[51])
	}
}

func TestAnswers_ManyClientsOfTwoServersEachGetTheirOwn(t *testing.T) {
	b := startBoth(t)
	var clients sync.WaitGroup
	var mu sync.Mutex
	sequences := map[string]bool{}
	begun := time.Now()
	for c := range 20 {
		clients.Go(func() {
			for i := range 10 {
				id := fmt.Sprint("c", c, "-", i)
				status, _, text := b.post(c%2, "application/cloudevents+json", lead(id), "Prefer", "wait=30")
				var got item
				if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || got.ID != id || got.Status != "admitted" {
					t.Errorf("%s: %d %s", id, status, text)
				}
				mu.Lock()
				if sequences[got.Sequence] {
					t.Errorf("%s has the sequence of another", id)
				}
				sequences[got.Sequence] = true
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	t.Logf("200 verdicts for 20 clients in %v", time.Since(begun).Round(time.Millisecond))
}
