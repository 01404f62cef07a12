package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/ingest/sequencer"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalogue is the embedded schemas, under ids of their own.
func catalogue(t testing.TB) registryClient {
	t.Helper()
	c, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c.(registryClient)
}

func value(t testing.TB, c registryClient, typ string, data map[string]any) []byte {
	t.Helper()
	id, s, err := c.ByType(context.Background(), typ)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.EncodeMap(data)
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return event.Frame(id, body)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// rig is ingress, the sequencer and the rules service over a test broker and a test database.
type rig struct {
	t        *testing.T
	kafka    kafka.Config
	pool     *pgxpool.Pool
	ops      *pgxpool.Pool
	keys     *event.Keyring
	registry registryClient
	producer *kafka.Producer
	n        int
	rates    admission.Rates
	clock    func() time.Time // of the sequencer, and of timers, which fire if it is set; nil: the machine's, and none fires

	mu     sync.Mutex
	events []event.Recorded
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations(), outbox.Migrations(), Migrations())
	r := &rig{t: t, kafka: kafkatest.Start(t), pool: db.Pool(t, postgres.RoleRules), ops: db.Pool(t, postgres.RoleOps), keys: event.NewKeyring(), registry: catalogue(t)}
	r.follow()
	return r
}

// follow opens the producer and collects the log.
func (r *rig) follow() {
	t := r.t
	t.Helper()
	producer, err := kafka.NewProducer(r.kafka, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.producer = producer
	t.Cleanup(producer.Close)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := read.Follow(ctx, r.kafka, kafka.TopicEvents, true, func(rec *kafka.Record) error {
			e, err := kafka.ParseRecorded(rec)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
			return err
		})
		if err != nil && ctx.Err() == nil {
			t.Errorf("follow the log: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// start runs the sequencer and the rules service until the returned function is called.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	box := outbox.New(Deriver, r.keys, outbox.WithLog(quiet()))
	s := &service{
		handler: newHandler(box, r.registry, quiet(), newMetrics(nil)),
		shadow:  &shadow{pool: r.pool, archive: r, registry: r.registry, log: quiet(), metrics: newMetrics(nil)},
	}
	s.handler.archive, s.handler.partitions = r, kafkatest.Partitions
	cfg := consumer.Config{Name: kafka.GroupRules, Slot: "0", Kafka: r.kafka, Pool: r.pool, Archive: r, Registry: r.registry,
		DeadLetters: true, Log: quiet(), Reg: prometheus.NewRegistry()}
	var fire *firing
	if r.clock != nil {
		s.handler.firings = outbox.New(timers.Deriver, r.keys, outbox.WithLog(quiet()))
		adm, err := admin.New(r.kafka)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(adm.Close)
		clock := timers.NewClock(r.clock)
		fire = newFiring(&timers.Log{Admin: adm, Kafka: r.kafka, Pool: r.pool}, &cfg, kafkatest.Partitions, clock)
		s.handler.timers = timers.New(timers.Config{Pool: r.pool, Box: s.handler.firings, Schemas: r.registry, Open: fire.open, Through: fire.through, Clock: clock, Log: quiet()})
	}
	loop, err := consumer.New(cfg, s)
	if err != nil {
		r.t.Fatal(err)
	}
	sender := box.NewSender(outbox.SenderConfig{Pool: r.pool, Producer: r.producer, Owned: loop.Owned, Partitions: kafkatest.Partitions})
	var wg sync.WaitGroup
	run := func(name string, fn func(context.Context) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := fn(ctx); err != nil && !errors.Is(err, context.Canceled) {
				r.t.Errorf("%s: %v", name, err)
			}
		}()
	}
	run("sequencer", func(ctx context.Context) error {
		return sequencer.Run(ctx, app.NewRuntime("ingest", "0", quiet(), prometheus.NewRegistry()), sequencer.Config{Kafka: r.kafka, Keys: r.keys, Schemas: r.registry, Rates: r.rates, Now: r.clock})
	})
	run("rules", loop.Run)
	run("sender", sender.Run)
	if fire != nil {
		fire.owned = loop.Owned
		run("timers", s.handler.timers.Run)
		run("sender of timers", s.handler.firings.NewSender(outbox.SenderConfig{Pool: r.pool, Producer: r.producer, Owned: loop.Owned, Partitions: kafkatest.Partitions}).Run)
	}
	return func() { cancel(); wg.Wait() }
}

// send produces an event to ingress. Reserved types are signed.
func (r *rig) send(tenant, typ, subject string, data map[string]any) *event.Event {
	r.t.Helper()
	return r.sendAs("", tenant, typ, subject, data)
}

// sendAs is send with an origin.
func (r *rig) sendAs(origin event.Origin, tenant, typ, subject string, data map[string]any) *event.Event {
	r.t.Helper()
	r.n++
	e := &event.Event{Origin: origin, TenantID: tenant, ID: fmt.Sprintf("outside-%d", r.n), Source: "/test", Type: typ, Subject: subject,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Value: value(r.t, r.registry, typ, data)}
	if event.Reserved(typ) {
		r.keys.Sign(e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.Patience)
	defer cancel()
	if err := r.producer.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, e)); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) publish(tenant string, version int64, files ...ruleset.File) {
	r.t.Helper()
	r.send(tenant, typePublished, "rules/"+tenant, ruleset.PublishedData(files, version, "test"))
}

// log lists a tenant's events as far as they were read.
func (r *rig) log(tenant string) []event.Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []event.Recorded
	for _, e := range r.events {
		if e.TenantID == tenant {
			out = append(out, e)
		}
	}
	return out
}

// Events makes the log stand in for the archive.
func (r *rig) Events(_ context.Context, tenant string, from int64, limit int) ([]event.Recorded, error) {
	var out []event.Recorded
	for _, e := range r.log(tenant) {
		if e.Sequence >= from && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// count counts a tenant's events of types; "derived" stands for all of this service.
func (r *rig) count(tenant string, types ...string) int {
	n := 0
	for _, e := range r.log(tenant) {
		if slices.Contains(types, e.Type) || (slices.Contains(types, "derived") && e.Deriver == Deriver) {
			n++
		}
	}
	return n
}

func (r *rig) wait(what string, cond func() bool) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, what, func(context.Context) bool { return cond() })
}

// waitIdle waits until everything that was sent is in the log or refused, and everything in the log was applied and seen.
func (r *rig) waitIdle(tenant string) {
	r.t.Helper()
	r.wait("rules to be idle", func() bool {
		events := r.log(tenant)
		outside := 0
		for _, e := range events {
			if e.Deriver == "" {
				outside++
			}
		}
		if outside < r.n {
			return false
		}
		var sequence, pending int64
		err := r.pool.QueryRow(context.Background(), `SELECT coalesce(max(sequence), 0), (SELECT count(*) FROM neuronx.outbox WHERE tenant_id = $1)
			FROM neuronx.progress WHERE tenant_id = $1`, tenant).Scan(&sequence, &pending)
		return err == nil && sequence == events[len(events)-1].Sequence && pending == 0
	})
}

func ruleFile(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: " + name + "\nspec:\n" +
		"  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"}
}
