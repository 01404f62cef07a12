package projector

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
)

// process runs the service as its main does, until stop.
func (f *fixture) process(cfg Config) (stop func()) {
	f.t.Helper()
	reg := prometheus.NewRegistry()
	rt := app.NewRuntime("projector", "0", slog.New(slog.DiscardHandler), reg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, rt, cfg) }()
	kafkatest.WaitFor(f.t, "it is ready", func(context.Context) bool {
		select {
		case err := <-done:
			f.t.Fatalf("ended: %v", err)
		default:
		}
		return rt.Ready.Err() == nil
	})
	return func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("ended with %v", err)
		}
	}
}

// signingKeys makes a keyring and a file that holds it.
func signingKeys(t *testing.T) (keyring *event.Keyring, file string) {
	t.Helper()
	keyring = event.NewKeyring()
	keys, err := json.Marshal(keyring)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	return keyring, file
}

func TestRun_ProjectsAndAnnouncesAReset(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	url, client := registrytest.Start(t, f.kafka)
	keyring, file := signingKeys(t)
	cfg := Config{Laptop: true, Settings: app.Settings{KafkaBrokers: f.kafka.Brokers, PostgresURL: app.Secret(f.db.URL(postgres.RoleProjector)), RegistryURL: url, SigningKeysFile: file}}

	e := f.event("acme", "lead.created", map[string]any{"lead_id": "1", "email": "a@example.com"})
	id, schema, err := client.ByType(context.Background(), "lead.created")
	if err != nil {
		t.Fatal(err)
	}
	body, err := schema.EncodeMap(map[string]any{"lead_id": "1", "email": "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	e.Value = event.Frame(id, body)
	f.produce(e)
	stop := f.process(cfg)
	kafkatest.WaitFor(t, "the lead in read.leads", func(ctx context.Context) bool {
		var email string
		err := f.admin.QueryRow(ctx, `SELECT email FROM read.leads WHERE tenant_id = 'acme' AND lead_id = '1'`).Scan(&email)
		return err == nil && email == "a@example.com"
	})
	stop()

	adm, err := admin.New(f.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	err = adm.Commit(context.Background(), kafka.GroupProjector, map[kafka.TopicPartition]kafka.Committed{
		{Topic: kafka.TopicEvents, Partition: kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)}: {Offset: 100, Metadata: kafka.ResetMark + "s-9", Present: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.exec(`UPDATE neuronx.progress SET definition = 'of the build before' WHERE consumer = 'neuronx.projector'`)
	stop = f.process(cfg)
	defer stop()
	var announced []*kafka.Record
	kafkatest.WaitFor(t, "both announcements in ingress", func(context.Context) bool {
		announced = kafkatest.Consume(t, f.kafka, kafka.TopicIngress)
		return len(announced) == 2
	})
	for i, want := range []string{"engine.replay.started", "engine.replay.completed"} {
		e, err := kafka.ParseRecord(announced[i])
		if err != nil {
			t.Fatal(err)
		}
		if signed, err := keyring.Verify(&e); !signed || err != nil || e.Type != want || e.TenantID != "acme" || !strings.HasPrefix(e.Subject, "replay/") {
			t.Errorf("announced %s of %s, signed %t, %v", e.Type, e.TenantID, signed, err)
		}
		data, err := decodeBy(client)(&event.Recorded{Event: e})
		if err != nil || data["group"] != kafka.GroupProjector {
			t.Errorf("%s: %v, %v", want, data, err)
		}
	}
	kafkatest.WaitFor(t, "a generation by this build's definition", func(ctx context.Context) bool {
		var origin string
		err := f.admin.QueryRow(ctx, `SELECT origin FROM neuronx.progress WHERE consumer = 'neuronx.projector' AND generation = 2`).Scan(&origin)
		return err == nil && strings.HasPrefix(origin, "definition ")
	})
}

// What the service does outside its loop it does for both feeds: it rebuilds what an earlier build made, and removes what was retired.
func TestRun_RedeclaresAndPurgesInBothFeeds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	url, _ := registrytest.Start(t, f.kafka)
	_, file := signingKeys(t)
	cfg := Config{Laptop: true, Settings: app.Settings{KafkaBrokers: f.kafka.Brokers, PostgresURL: app.Secret(f.db.URL(postgres.RoleProjector)), RegistryURL: url, SigningKeysFile: file}}
	feeds := func(format string) {
		for row, feed := range map[string]string{"neuronx.projector": "main", "neuronx.projector.control": "control"} {
			f.exec(strings.NewReplacer("$row", "'"+row+"'", "$feed", "'"+feed+"'").Replace(format))
		}
	}
	feeds(fmt.Sprintf(`INSERT INTO neuronx.progress (consumer, tenant_id, generation, partition, state, sequence, seen, definition)
		VALUES ($row, 'old', 1, %d, 'live', 1, 1, 'of the build before')`, kafka.PartitionFor([]byte("old"), kafkatest.Partitions)))
	feeds(`INSERT INTO neuronx.progress (consumer, tenant_id, generation, partition, state, updated_at) VALUES ($row, 'gone', 9, 0, 'retired', now() - interval '2 days')`)
	feeds(`INSERT INTO projection.generations (tenant_id, feed, generation) VALUES ('gone', $feed, 9)`)
	defer f.process(cfg)()
	kafkatest.WaitFor(t, "generations of both feeds by this build's definitions", func(ctx context.Context) bool {
		var built int
		err := f.admin.QueryRow(ctx, `SELECT count(DISTINCT consumer) FROM neuronx.progress
			WHERE tenant_id = 'old' AND generation > 1 AND origin LIKE 'definition %'`).Scan(&built)
		return err == nil && built == 2
	})
	kafkatest.WaitFor(t, "what was known of the retired generations to be gone", func(ctx context.Context) bool {
		var left int
		err := f.admin.QueryRow(ctx, `SELECT count(*) FROM projection.generations WHERE tenant_id = 'gone'`).Scan(&left)
		return err == nil && left == 0
	})
}

func TestRun_RefusesADatabaseThatWasNotProvisioned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`DROP TABLE neuronx.goose_projector`)
	rt := app.NewRuntime("projector", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	_, keys := signingKeys(t)
	err := Run(context.Background(), rt, Config{Settings: app.Settings{PostgresURL: app.Secret(f.db.URL(postgres.RoleProjector)), SigningKeysFile: keys,
		KafkaBrokers: []string{"127.0.0.1:1"}, RegistryURL: "http://127.0.0.1:1"}})
	if err == nil || !strings.Contains(err.Error(), "neuronx provision --execute") {
		t.Errorf("Run gave %v", err)
	}
}
