package effects

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/pkg/vault"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/standin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

// catalogue serves the embedded schemas without a registry.
type catalogue struct {
	byType map[string]int32
	byID   map[int32]*avro.Schema
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
			t.Fatalf("%s: %v", f.Path, err)
		}
		c.byType[s.EventType()], c.byID[int32(i+1)] = int32(i+1), s
	}
	return c
}

func (c *catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	if s := c.byID[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("no schema %d", id)
}

func (c *catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	id := c.byType[typ]
	if id == 0 {
		return 0, nil, fmt.Errorf("no schema of %s", typ)
	}
	return id, c.byID[id], nil
}

// rig is an adapter over a real database and the stand-in, with a log that the test writes by hand.
type rig struct {
	t       *testing.T
	db      *postgrestest.DB
	pool    *pgxpool.Pool
	crm     *standin.Server
	crmURL  string
	cat     *catalogue
	keys    *event.Keyring
	h       *handler
	cfg     Config
	now     time.Time
	mu      sync.Mutex
	seq     map[string]int64
	secrets string
	vault   *vault.Vault // nil: the process has no master keyset
}

const tenant = "acme"

var book = ledger.Ledger{Adapter: gohighlevel.Name}

func newRig(t *testing.T) *rig { t.Helper(); return newRigOver(t, standin.Config{}) }

// newRigOver makes a rig whose stand-in is as crm says; tokens and limits are the rig's.
func newRigOver(t *testing.T, crmConfig standin.Config) *rig {
	t.Helper()
	crmConfig.Tokens, crmConfig.Burst = map[string]string{"tok-acme": "loc-acme", "tok-zeta": "loc-zeta"}, 10_000
	r := &rig{t: t, cat: newCatalogue(t), keys: event.NewKeyring(), seq: map[string]int64{}, now: time.Now().UTC(), secrets: t.TempDir()}
	r.db = postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), ledger.Migrations())
	r.pool = r.db.Pool(t, "neuronx_gohighlevel")
	crm, err := standin.New(crmConfig, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(crm.Handler())
	r.crm, r.crmURL = crm, srv.URL
	t.Cleanup(func() { _ = crm.Close(); srv.CloseClientConnections(); srv.Close() })
	for _, name := range []string{"acme", "zeta"} {
		if err := os.WriteFile(filepath.Join(r.secrets, "ghl-"+name+"@1"), []byte("tok-"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.cfg = Config{BaseURL: srv.URL, Timeout: time.Second, PollEvery: 10 * time.Millisecond, SweepEvery: 50 * time.Millisecond, ShutdownTimeout: time.Second}.withDefaults()
	r.h = &handler{
		ledger: book, carries: gohighlevel.Adapter{}.Kinds(),
		decoder: consumer.NewDecoder(r.cat), box: outbox.New(gohighlevel.Name, r.keys), outcomes: &outcomes{adapter: gohighlevel.Name, schemas: r.cat, now: time.Now},
		partitions: 6, started: event.PositionAt(time.Now().UnixMilli()), pool: r.pool, log: slog.New(slog.DiscardHandler),
	}
	return r
}

// worker makes a worker that may send for all partitions; it is not running yet.
func (r *rig) worker() *worker {
	client := transport.New(r.cfg.Timeout, r.cfg.BaseURL, "test")
	r.t.Cleanup(client.Close)
	w := newWorker(workerConfig{
		Config: r.cfg, adapter: gohighlevel.Adapter{}, ledger: book, name: "test", pool: r.pool, client: client, box: r.h.box,
		tokens:   grants.Source{Adapter: gohighlevel.Name, Files: transport.NewSecrets(r.secrets), Vault: r.vault, Now: time.Now},
		outcomes: r.h.outcomes, log: slog.New(slog.DiscardHandler), metrics: newMetrics(prometheus.NewRegistry()),
	})
	w.partitions = func(context.Context) []int32 { return []int32{0, 1, 2, 3, 4, 5} }
	return w
}

// run runs a worker until stop is called or the test ends.
func (r *rig) run(w *worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	r.t.Cleanup(stop)
	return stop
}

// event makes the next event of a tenant's log.
func (r *rig) event(ten, typ, subject string, data map[string]any) event.Recorded {
	r.t.Helper()
	id, s, err := r.cat.ByType(context.Background(), typ)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := s.EncodeMap(data)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq[ten]++
	n := r.seq[ten]
	return event.Recorded{
		Event:    event.Event{TenantID: ten, ID: fmt.Sprintf("%s-%d", typ, n), Type: typ, Subject: subject, Source: "/test", Value: event.Frame(id, body), CorrelationID: "corr"},
		Sequence: n, Position: event.PositionAt(r.now.UnixMilli()) + n, RecordedTime: r.now, LogID: "log", Partition: kafka.PartitionFor([]byte(ten), 6), Offset: n,
	}
}

func (r *rig) apply(evs ...event.Recorded) {
	r.t.Helper()
	for _, e := range evs {
		if err := r.tryApply(e); err != nil {
			r.t.Fatalf("apply %s: %v", e.Type, err)
		}
	}
}

func (r *rig) tryApply(e event.Recorded) error {
	return pgx.BeginFunc(context.Background(), r.pool, func(tx pgx.Tx) error {
		return r.h.Apply(context.Background(), tx, consumer.Run{TenantID: e.TenantID, Generation: 1, Events: []event.Recorded{e}})
	})
}

func (r *rig) connect(ten, mode string) {
	r.t.Helper()
	r.apply(r.event(ten, "tenant.crm_connected", "tenant/"+ten, map[string]any{
		"adapter": "gohighlevel", "location": "loc-" + ten, "token": "secret://ghl-" + ten + "@1", "mode": mode}))
}

func (r *rig) upsert(lead string) event.Recorded {
	return r.event(tenant, "crm.contact.upsert.requested", "lead/"+lead, map[string]any{"lead_id": lead, "email": lead + "@example.com", "first_name": "Ann"})
}

func (r *rig) tag(lead string, add ...any) event.Recorded {
	return r.event(tenant, "crm.contact.tag.requested", "lead/"+lead, map[string]any{"lead_id": lead, "add": add, "remove": []any{}})
}

func (r *rig) note(lead, body string) event.Recorded {
	return r.event(tenant, "crm.note.add.requested", "lead/"+lead, map[string]any{"lead_id": lead, "body": body})
}

func (r *rig) resolve(id, how string) {
	r.apply(r.event(tenant, "engine.effect.resolved", "effect/"+id, map[string]any{"effect_id": id, "resolution": how}))
}

func (r *rig) get(id string) ledger.Effect {
	r.t.Helper()
	e, found, err := book.Get(context.Background(), r.pool, tenant, id, false)
	if err != nil || !found {
		r.t.Fatalf("effect %s: found %v, %v", id, found, err)
	}
	return e
}

func (r *rig) waitFor(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(kafkatest.Patience)
	for !cond() {
		if time.Now().After(deadline) {
			all, _ := ledger.List(context.Background(), r.pool, ledger.Filter{})
			for _, e := range all {
				r.t.Logf("%s %s %s attempts %d %s %s", e.ID, e.Kind, e.Status, e.Attempts, e.Code, e.LastError)
			}
			r.t.Fatalf("waited in vain for: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (r *rig) waitStatus(id string, want crm.Status) ledger.Effect {
	r.t.Helper()
	r.waitFor(id+" to be "+string(want), func() bool { return r.get(id).Status == want })
	return r.get(id)
}

// outbox lists the ids of outcome events that wait to be sent.
func (r *rig) outbox() map[string]bool {
	r.t.Helper()
	rows, err := r.pool.Query(context.Background(), `SELECT event_id FROM neuronx.outbox`)
	if err != nil {
		r.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// sent counts requests to an endpoint (by method and end of path) and how many took effect.
func (r *rig) sent(method, suffix string) (requests, applied int) {
	for _, e := range r.crm.Requests(0, "") {
		if e.Method == method && len(e.Path) >= len(suffix) && e.Path[len(e.Path)-len(suffix):] == suffix {
			requests++
			if e.Applied {
				applied++
			}
		}
	}
	return requests, applied
}

// writes lists the requests that were meant to change something: all but look-ups.
func (r *rig) writes() []standin.Entry {
	var out []standin.Entry
	for _, e := range r.crm.Requests(0, "") {
		if e.Method != http.MethodGet {
			out = append(out, e)
		}
	}
	return out
}

// delete removes a contact as a person does in the CRM.
func (r *rig) delete(contact string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, r.crmURL+"/contacts/"+contact, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer tok-acme")
	req.Header.Set("Version", "2021-07-28")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("delete contact: %s", res.Status)
	}
}

func (r *rig) fault(f standin.Fault) {
	r.t.Helper()
	if err := r.crm.AddFault(f); err != nil {
		r.t.Fatal(err)
	}
}
