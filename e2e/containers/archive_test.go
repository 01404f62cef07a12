//go:build containers

package containers

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/ingest"
	"github.com/neuronx/engine/services/neuronx/provision"
)

const (
	tenant = "acme"
	events = 1000
)

func TestContainers_WhatIsSentToKafkaIsInTheArchiveOnceAndInOrder(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	began := time.Now()
	adminURL := startPostgres(ctx, t)
	broker, addr := startKafka(ctx, t)
	cfg := kafka.Config{Brokers: []string{addr}, ClientID: "containers"}
	t.Logf("containers are up after %s", time.Since(began).Round(time.Millisecond))

	runTopicsScript(ctx, t, broker)
	secrets := filepath.Join(t.TempDir(), "secrets")
	changes, err := provision.Run(ctx, provision.Options{
		Kafka: cfg, Topics: topology.Options{Partitions: 6, ReplicationFactor: 1, Laptop: true},
		AdminURL: app.Secret(adminURL), Secrets: secrets, Execute: true,
	})
	must(t, err)
	for _, c := range changes {
		if c.Part == "kafka" {
			t.Errorf("deploy/kafka/topics.sh leaves something to do: %s %s (%s)", c.Action, c.Name, c.Detail)
		}
	}
	url := func(role string) app.Secret {
		b, err := os.ReadFile(filepath.Join(secrets, role+".url"))
		must(t, err)
		return app.Secret(strings.TrimSpace(string(b)))
	}
	registryURL, client := startRegistry(ctx, t, cfg)
	_, err = provision.Schemas(ctx, client, true)
	must(t, err)

	settings := app.Settings{KafkaBrokers: cfg.Brokers, RegistryURL: registryURL, SigningKeysFile: filepath.Join(secrets, provision.KeysFile)}
	sequencing := ingest.Default()
	sequencing.Settings, sequencing.Roles, sequencing.Laptop = settings, []string{ingest.RoleSequencer}, true
	archiving := archiver.Config{Settings: settings, Laptop: true}
	archiving.PostgresURL = url("neuronx_archiver")
	run(t, "ingest", func(ctx context.Context, rt *app.Runtime) error { return ingest.Run(ctx, rt, sequencing) })
	run(t, "archiver", func(ctx context.Context, rt *app.Runtime) error { return archiver.Run(ctx, rt, archiving) })

	producer, err := kafka.NewProducer(cfg, 5*time.Millisecond, nil)
	must(t, err)
	defer producer.Close()
	keys, err := event.LoadKeyring(settings.SigningKeysFile)
	must(t, err)
	_, err = control.New(producer, keys, client).Publish(ctx, tenant, "tenant.created", "tenant/"+tenant, "", map[string]any{"name": "Acme"})
	must(t, err)
	records, sent := leads(ctx, t, client)
	must(t, producer.Produce(ctx, records...))
	began = time.Now()

	conn, err := pgx.Connect(ctx, url("neuronx_ops").Reveal())
	must(t, err)
	defer conn.Close(context.WithoutCancel(ctx))
	eventually(ctx, t, time.Minute, func(ctx context.Context) error {
		var n int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM neuronx.tenant_events WHERE tenant_id = $1`, tenant).Scan(&n)
		if err == nil && n < events+1 {
			err = fmt.Errorf("%d of %d events are archived", n, events+1)
		}
		return err
	})
	t.Logf("%d events are archived %s after they were acknowledged", events, time.Since(began).Round(time.Millisecond))
	check(ctx, t, conn, sent)
}

// check compares the archive with what was sent, row by row.
func check(ctx context.Context, t *testing.T, conn *pgx.Conn, sent [][]byte) {
	t.Helper()
	type row struct {
		Sequence int64
		ID       string
		Lead     *string
	}
	found, err := conn.Query(ctx, `SELECT sequence, event_id, data->>'lead_id' FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence`, tenant)
	must(t, err)
	rows, err := pgx.CollectRows(found, pgx.RowToStructByPos[row])
	must(t, err)
	if len(rows) != events+1 {
		t.Fatalf("%d rows, want %d", len(rows), events+1)
	}
	for i, r := range rows {
		if r.Sequence != int64(i+1) {
			t.Fatalf("row %d has sequence %d: the stream has a gap", i, r.Sequence)
		}
		if i == 0 {
			continue // tenant.created
		}
		if want := leadID(i - 1); r.ID != "event-"+want || r.Lead == nil || *r.Lead != want {
			t.Fatalf("sequence %d is %s, want event-%s", r.Sequence, r.ID, want)
		}
	}
	var payload []byte
	must(t, conn.QueryRow(ctx, `SELECT payload FROM neuronx.tenant_events WHERE tenant_id = $1 AND event_id = $2`, tenant, "event-"+leadID(events-1)).Scan(&payload))
	if _, body, err := event.Unframe(sent[events-1]); err != nil || !bytes.Contains(payload, body) {
		t.Errorf("the stored bytes do not hold the bytes that were sent (%v)", err)
	}
}

func leadID(i int) string { return fmt.Sprintf("lead-%04d", i) }

// leads are the records of unsigned events, as an outside producer sends them, and their values.
func leads(ctx context.Context, t *testing.T, client *registry.Client) (records []*kafka.Record, values [][]byte) {
	t.Helper()
	id, schema, err := client.ByType(ctx, "lead.created")
	must(t, err)
	for i := range events {
		body, err := schema.EncodeMap(map[string]any{"lead_id": leadID(i), "email": leadID(i) + "@example.com", "channel": "referral"})
		must(t, err)
		e := event.Event{
			TenantID: tenant, ID: "event-" + leadID(i), Source: "/containers", Type: "lead.created", Subject: "lead/" + leadID(i),
			Time: time.Now().UTC(), Value: event.Frame(id, body),
		}
		records, values = append(records, kafka.ToRecord(kafka.TopicIngress, &e)), append(values, e.Value)
	}
	return records, values
}

// startRegistry serves the embedded registry over the container's Kafka.
func startRegistry(ctx context.Context, t *testing.T, cfg kafka.Config) (string, *registry.Client) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := registry.NewServer(cfg, slog.New(slog.DiscardHandler))
	run(t, "registry", func(ctx context.Context, _ *app.Runtime) error {
		g := app.NewGroup()
		g.Add("store", srv.Run)
		g.Add("http", func(ctx context.Context) error { return app.Serve(ctx, l, srv) })
		return g.Run(ctx)
	})
	eventually(ctx, t, 30*time.Second, func(context.Context) error { return srv.Ready() })
	url := "http://" + l.Addr().String()
	client, err := registry.NewClient(url, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(client.Close)
	return url, client
}

// run runs a service until the test ends; one that ends by itself, or not in time, fails the test.
func run(t *testing.T, name string, service func(context.Context, *app.Runtime) error) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	rt := app.NewRuntime(name, "0", log, prometheus.NewRegistry())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx, rt) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s did not stop", name)
		}
	})
}
