package rules

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/ingest/sequencer"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func settings(t *testing.T, cfg kafka.Config, url, registryURL string, keys *event.Keyring) Config {
	t.Helper()
	b, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{Settings: app.Settings{KafkaBrokers: cfg.Brokers, PostgresURL: app.Secret(url), RegistryURL: registryURL, SigningKeysFile: file}, Laptop: true}
}

func TestRun_DerivesTheDemoTenantsEventsThroughTheRealWiring(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations(), outbox.Migrations(), Migrations())
	cfg := kafkatest.Start(t)
	url, client := registrytest.Start(t, cfg)
	r := &rig{t: t, kafka: cfg, pool: db.Pool(t, postgres.RoleRules), ops: db.Pool(t, postgres.RoleOps), keys: event.NewKeyring(), registry: client}
	r.follow()
	metrics := prometheus.NewRegistry()
	rt := app.NewRuntime("rules", "0", quiet(), metrics)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- Run(ctx, rt, settings(t, cfg, db.URL(postgres.RoleRules), url, r.keys)) }()
	go func() {
		done <- sequencer.Run(ctx, app.NewRuntime("ingest", "0", quiet(), prometheus.NewRegistry()), sequencer.Config{Kafka: cfg, Keys: r.keys, Schemas: client})
	}()
	defer func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("stopped with %v", err)
			}
		}
	}()
	files, err := ruleset.Load("../neuronx/demo/rules")
	if err != nil {
		t.Fatal(err)
	}
	r.send("demo", "tenant.created", "tenant/demo", map[string]any{})
	r.publish("demo", 1, files...)
	r.send("demo", "lead.created", "lead/1", map[string]any{"lead_id": "1", "email": "a@b.example", "channel": "referral"})
	want := []string{"lead.scored", "crm.contact.upsert.requested", "lead.qualified", "crm.contact.tag.requested", "crm.note.add.requested"}
	r.wait("five derived events", func() bool { return r.count("demo", "derived") == 5 })
	r.waitIdle("demo")
	for _, typ := range want {
		if r.count("demo", typ) != 1 {
			t.Errorf("%d events of type %s, want 1", r.count("demo", typ), typ)
		}
	}
	if rt.Ready.Err() != nil {
		t.Errorf("not ready: %v", rt.Ready.Err())
	}
	if n, err := testutil.GatherAndCount(metrics, "neuronx_outbox_pending", "neuronx_outbox_sent_total", "neuronx_outbox_conflicts_total", "neuronx_rules_derived_total"); err != nil || n != 7 {
		t.Errorf("%d of 7 series are served, three of each outbox and one of the rules: %v", n, err)
	}
}

func TestRun_RefusesAnUnpreparedInstallationByName(t *testing.T) {
	db := postgrestest.New(t)
	cfg := kafkatest.Start(t)
	err := Run(t.Context(), app.NewRuntime("rules", "0", quiet(), prometheus.NewRegistry()), settings(t, cfg, db.URL(postgres.RoleRules), "http://127.0.0.1:1", event.NewKeyring()))
	if err == nil || !strings.Contains(err.Error(), "neuronx provision --execute") {
		t.Errorf("got %v, want an error that names the command", err)
	}
}

func TestConfig_NamesEveryMissingSetting(t *testing.T) {
	err := (&Config{MaxBatch: -1}).Validate()
	for _, flag := range []string{"kafka-brokers", "postgres-url", "schema-registry-url", "signing-keys-file", "max-batch"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v does not name %s", err, flag)
		}
	}
}
