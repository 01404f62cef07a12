package archiver

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

// settings are those of a process, with a registry that knows the one schema.
func (r *rig) settings(t *testing.T) app.Settings {
	t.Helper()
	reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasPrefix(req.URL.Path, "/schemas/ids/7") {
			http.Error(w, `{"error_code":40403,"message":"none"}`, http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		if err := json.NewEncoder(w).Encode(map[string]string{"schema": string(parsed(t).Text())}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(reg.Close)
	keys, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	return app.Settings{KafkaBrokers: r.kafka.Brokers, PostgresURL: app.Secret(r.db.URL(postgres.RoleArchiver)), RegistryURL: reg.URL, SigningKeysFile: file}
}

func TestRun_ArchivesAndStopsWhenAsked(t *testing.T) {
	r := newRig(t)
	acme := r.log(run("acme", 1, 10).Events...)
	rt := app.NewRuntime("archiver", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	settings := r.settings(t)
	go func() { done <- Run(ctx, rt, Config{Settings: settings, Laptop: true}) }()
	kafkatest.WaitFor(t, "it is ready", func(context.Context) bool {
		select {
		case err := <-done:
			t.Fatalf("ended: %v", err)
		default:
		}
		return rt.Ready.Err() == nil
	})
	r.waitCount("all events", 10, countEvents)
	r.decides(settings.SigningKeysFile)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rt.Ready.Err() == nil {
		t.Error("ready after the end")
	}
	checkArchive(t, r.db, "acme", acme)
}

// decides checks that the running service answers requests about dead letters, and sends what was decided.
func (r *rig) decides(keysFile string) {
	r.t.Helper()
	keys, err := event.LoadKeyring(keysFile)
	if err != nil {
		r.t.Fatal(err)
	}
	e := &event.Event{TenantID: "acme", ID: "again", Source: "/crm", Type: "lead.created", Subject: "lead/1", CausationID: "letter", Hops: 1,
		Origin: event.OriginRedrive, ContentType: event.ContentTypeAvro, Time: time.Unix(1_700_000_000, 0).UTC(), Value: recorded("acme", 1).Value}
	box := outbox.New(deadletter.Deriver, keys)
	if err := pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) error { return box.Add(r.t.Context(), tx, e) }); err != nil {
		r.t.Fatal(err)
	}
	kafkatest.WaitFor(r.t, "the decided event at ingress", func(context.Context) bool {
		for _, rec := range kafkatest.Consume(r.t, r.kafka, kafka.TopicIngress) {
			if sent, err := kafka.ParseRecord(rec); err == nil && sent.ID == "again" {
				return true
			}
		}
		return false
	})
	_, err = r.db.Pool(r.t, postgres.RoleOps).Exec(r.t.Context(), `INSERT INTO neuronx.dead_letter_requests (id, tenant_id, topic, partition, "offset", action, origin)
		VALUES (gen_random_uuid(), 'acme', 'neuronx.ingress', 0, 9, 'drop', 'redrive')`)
	if err != nil {
		r.t.Fatal(err)
	}
	r.waitCount("an answer to the request", 1, `SELECT count(*) FROM neuronx.dead_letter_requests WHERE state = 'refused'`)
}

func TestRun_RefusesWhatIsNotProvisioned(t *testing.T) {
	r := newRig(t)
	rt := func() *app.Runtime {
		return app.NewRuntime("archiver", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	}
	empty := r.settings(t)
	empty.PostgresURL = app.Secret(postgrestest.New(t).URL(postgres.RoleArchiver))
	if err := Run(t.Context(), rt(), Config{Settings: empty, Laptop: true}); err == nil || !strings.Contains(err.Error(), "neuronx provision") {
		t.Errorf("a database without tables: %v", err)
	}
	super := r.settings(t)
	super.PostgresURL = app.Secret(r.db.AdminURL)
	if err := Run(t.Context(), rt(), Config{Settings: super, Laptop: true}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("a superuser: %v", err)
	}
	bare := r.settings(t)
	cfg, _ := kafkatest.StartEmpty(t)
	bare.KafkaBrokers = cfg.Brokers
	if err := Run(t.Context(), rt(), Config{Settings: bare, Laptop: true}); err == nil || !strings.Contains(err.Error(), "neuronx provision") {
		t.Errorf("a broker without topics: %v", err)
	}
}

func TestConfig_NamesEveryProblemAtOnce(t *testing.T) {
	err := (&Config{MaxBatch: -1}).Validate()
	for _, want := range []string{"kafka-brokers", "postgres-url", "schema-registry-url", "signing-keys-file", "max-batch"} {
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
}

func BenchmarkApplyBatch(b *testing.B) {
	db := postgrestest.New(b, outbox.Migrations(), Migrations())
	pool := db.Pool(b, postgres.RoleArchiver)
	a := testArchiver(b, pool)
	const batch = 2_000
	next := int64(1)
	for b.Loop() {
		applyAll(b, a, pool, run("acme", next, batch))
		next += batch
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}
