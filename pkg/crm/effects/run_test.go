package effects

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/standin"
)

// system is the whole service over an in-memory broker, with the smallest of sequencers: it gives signed events of ingress the next
// number of their tenant, and drops what it has.
type system struct {
	*rig
	kafka kafka.Config
	reg   *registry.Client
	cfg   Config
}

func newSystem(t *testing.T) *system {
	t.Helper()
	r := newRig(t)
	s := &system{rig: r, kafka: kafkatest.Start(t), cfg: r.cfg}
	ctx, cancel := context.WithCancel(context.Background())
	server := registry.NewServer(s.kafka, slog.New(slog.DiscardHandler))
	web := httptest.NewServer(server)
	ran := make(chan struct{}, 2)
	go func() { _ = server.Run(ctx); ran <- struct{}{} }()
	go func() { s.sequence(ctx); ran <- struct{}{} }()
	var err error
	if s.reg, err = registry.NewClient(web.URL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-ran
		<-ran
		s.reg.Close()
		web.CloseClientConnections()
		web.Close()
	})
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	kafkatest.WaitFor(t, "the registry", func(ctx context.Context) bool { _, err := s.reg.Push(ctx, files, true); return err == nil })
	b, err := json.Marshal(r.keys)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keys, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.cfg.Laptop = true
	s.cfg.Settings.Settings = app.Settings{KafkaBrokers: s.kafka.Brokers, PostgresURL: app.Secret(r.db.URL("neuronx_gohighlevel")), RegistryURL: web.URL,
		SigningKeysFile: keys, SecretsDir: r.secrets}
	return s
}

// sequence copies signed events of ingress into the log until ctx ends.
func (s *system) sequence(ctx context.Context) {
	seen := map[string]bool{}
	_ = read.Follow(ctx, s.kafka, kafka.TopicIngress, true, func(rec *kafka.Record) error {
		e, err := kafka.ParseRecord(rec)
		if err != nil {
			s.t.Errorf("ingress holds no event: %v", err)
			return nil
		}
		if ok, _ := s.keys.Verify(&e); !ok {
			s.t.Errorf("%s is not signed", e.Type)
			return nil
		}
		if !seen[e.ID] {
			seen[e.ID] = true
			s.admit(e)
		}
		return nil
	})
}

func (s *system) admit(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq[e.TenantID]++
	r := event.Recorded{Event: e, Sequence: s.seq[e.TenantID], RecordedTime: time.Now().UTC(), LogID: "5d3a0c1e-0000-4000-8000-000000000001"}
	r.Position = event.PositionAt(r.RecordedTime.UnixMilli()) + r.Sequence
	kafkatest.Produce(s.t, s.kafka, kafka.RecordedToRecord(&r))
}

// say puts an event into the log, encoded under the registry's schemas.
func (s *system) say(typ, subject string, data map[string]any) string {
	s.t.Helper()
	id, schema, err := s.reg.ByType(context.Background(), typ)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		s.t.Fatal(err)
	}
	e := event.Event{TenantID: tenant, ID: event.DerivedID(tenant, typ, time.Now().String()), Type: typ, Subject: subject, Source: "/test", Value: event.Frame(id, body)}
	s.admit(e)
	return e.ID
}

// start runs the service until stop.
func (s *system) start() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	rt := app.NewRuntime("gohighlevel", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	go func() { done <- Run(ctx, rt, s.cfg, gohighlevel.Adapter{}) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("the service ended with: %v", err)
		}
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *system) waitIdle() {
	s.t.Helper()
	s.waitFor("all outcomes in the log", func() bool { return len(s.outbox()) == 0 })
}

func TestRun_FromCommandToOutcomeOverRestartsResetAndRestore(t *testing.T) {
	s := newSystem(t)
	stop := s.start()
	s.say("tenant.crm_connected", "tenant/acme", map[string]any{"adapter": "gohighlevel", "location": "loc-acme", "token": "secret://ghl-acme@1", "mode": "send"})
	up := s.say("crm.contact.upsert.requested", "lead/l1", map[string]any{"lead_id": "l1", "email": "l1@example.com"})
	tag := s.say("crm.contact.tag.requested", "lead/l1", map[string]any{"lead_id": "l1", "add": []any{"hot"}, "remove": []any{}})
	note := s.say("crm.note.add.requested", "lead/l1", map[string]any{"lead_id": "l1", "body": "hello"})
	for _, id := range []string{up, tag, note} {
		s.waitFor("the command to be read", func() bool { _, ok, _ := book.Get(context.Background(), s.pool, tenant, id, false); return ok })
		s.waitStatus(id, crm.Done)
	}
	// One more whose answer is lost: unknown, and no outcome in the log.
	s.fault(standin.Fault{Kind: "close", Apply: true, Path: "/contacts/*/notes"})
	lost := s.say("crm.note.add.requested", "lead/l1", map[string]any{"lead_id": "l1", "body": "lost"})
	s.waitFor("the lost note", func() bool {
		e, ok, _ := book.Get(context.Background(), s.pool, tenant, lost, false)
		return ok && e.Status == crm.Unknown
	})
	s.waitIdle()
	stop()
	requests := len(s.crm.Requests(0, ""))

	// An operator resets the group to the beginning with Kafka's own tool: nothing is sent twice, and it is told in the log.
	adm, err := admin.New(s.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	p := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: kafka.PartitionFor([]byte(tenant), kafkatest.Partitions)}
	kafkatest.WaitFor(t, "the group to be empty", func(ctx context.Context) bool {
		return adm.Commit(ctx, kafka.GroupGoHighLevel, map[kafka.TopicPartition]kafka.Committed{p: {Offset: 0, Present: true}}) == nil
	})
	stop = s.start()
	kafkatest.WaitFor(t, "engine.replay.completed", func(context.Context) bool {
		for _, rec := range kafkatest.Consume(t, s.kafka, kafka.TopicIngress) {
			if e, err := kafka.ParseRecord(rec); err == nil && e.Type == "engine.replay.completed" {
				id, body, err := event.Unframe(e.Value)
				if err != nil {
					t.Fatal(err)
				}
				schema, err := s.reg.SchemaByID(context.Background(), id)
				if err != nil {
					t.Fatal(err)
				}
				data, err := schema.Decode(body)
				if err != nil || data["examined"] != int64(4) || data["differences"] != int64(0) || !strings.Contains(text(data, "detail"), "1 unknown") {
					t.Fatalf("%v %v", data, err)
				}
				return true
			}
		}
		return false
	})
	s.waitIdle()
	stop()
	if n := len(s.crm.Requests(0, "")); n != requests {
		t.Fatalf("a reset sent %d requests", n-requests)
	}

	// Postgres is set back to nothing: the ledger refills from the log, and what may have been sent is not sent again.
	root := s.db.Pool(t, "")
	if _, err := root.Exec(context.Background(), `TRUNCATE neuronx.effects, neuronx.effect_attempts, neuronx.crm_ids, neuronx.crm_connections, neuronx.effect_modes,
		neuronx.effect_freezes, neuronx.outbox, neuronx.outbox_numbers, neuronx.progress, neuronx.partition_progress, neuronx.resets`); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.waitFor("the lost note again", func() bool { _, ok, _ := book.Get(context.Background(), s.pool, tenant, lost, false); return ok })
	fresh := s.say("crm.note.add.requested", "lead/l1", map[string]any{"lead_id": "l1", "body": "after the restore"})
	s.waitFor("the new note", func() bool {
		e, ok, _ := book.Get(context.Background(), s.pool, tenant, fresh, false)
		return ok && e.Status == crm.Done
	})
	if n := len(s.crm.Requests(0, "")); n != requests+1 {
		t.Fatalf("a restored ledger sent %d requests, want 1", n-requests)
	}
	for id, want := range map[string]crm.Status{up: crm.Done, tag: crm.Done, note: crm.Done, lost: crm.Unknown} {
		if e := s.get(id); e.Status != want {
			t.Fatalf("%s is %s, want %s", e.Kind, e.Status, want)
		}
	}
}

func TestReset_CountsWhatAnAttemptInsertedThatFailedLater(t *testing.T) {
	s := newSystem(t)
	s.h.kafka, s.h.decoder, s.h.outcomes = s.kafka, consumer.NewDecoder(s.reg), &outcomes{schemas: s.reg, now: time.Now}
	var ids []string
	for _, lead := range []string{"l1", "l2", "l3"} {
		ids = append(ids, s.say("crm.note.add.requested", "lead/"+lead, map[string]any{"lead_id": lead, "body": "hello"}))
	}
	s.h.facts.archive = causes{recordedID(gohighlevel.Name, ledger.Effect{TenantID: tenant, ID: ids[0], Status: crm.Off}): {}} // the log was told of the first
	p := kafka.PartitionFor([]byte(tenant), kafkatest.Partitions)
	report := &consumer.ResetReport{}
	attempt := func(ctx context.Context, to int64) error {
		return s.h.Reset(ctx, consumer.Reset{Topic: kafka.TopicEvents, Partition: p, From: to, To: 0, Report: report})
	}
	if err := attempt(t.Context(), 2); err != nil { // as far as it came before it failed
		t.Fatal(err)
	}
	if err := attempt(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if report.Examined != 3 || report.Differences != 3 || report.NotCounted != "" {
		t.Errorf("%+v, want 3 commands, none of which the ledger had", report)
	}
	rows, err := s.h.pool.Query(t.Context(), `SELECT effect_id FROM neuronx.effects WHERE untold ORDER BY command_sequence`)
	untold, err := postgres.Collect(rows, err, "list untold", pgx.RowTo[string])
	if err != nil || !slices.Equal(untold, ids[1:]) {
		t.Errorf("the log is still to be told of %v (%v), want %v", untold, err, ids[1:])
	}
}
