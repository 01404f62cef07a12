package gohighlevel

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
	"github.com/neuronx/engine/services/gohighlevel/vendorapi"
)

// Service is the process neuronx-gohighlevel.
func Service() *app.Service {
	cfg := &Config{}
	return &app.Service{
		Name: "gohighlevel", DefaultAdmin: ":9095",
		Flags: cfg.Bind, Validate: cfg.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return Run(ctx, rt, *cfg) },
	}
}

// Migrations is the set of the ledger's tables.
func Migrations() postgres.Migrations { return ledger.Migrations() }

// Run reads commands and carries them out until ctx ends.
//
//	keys, registry, Postgres, Kafka ── checked
//	restored? ── freeze before anything is read or sent
//	   ├── consumer   log and dead letters ─> ledger
//	   ├── worker     ledger ─> CRM ─> ledger and outbox; only partitions owned here and read to the end of the start
//	   ├── sender     outbox ─> neuronx.ingress
//	   └── sampler    gauges
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	rt.Ready.Set("gohighlevel", fmt.Errorf("starting"))
	keys, err := event.LoadKeyring(cfg.SigningKeysFile)
	if err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, cfg.PostgresURL.Reveal(), postgres.Application("neuronx-gohighlevel"))
	if err != nil {
		return err
	}
	defer pool.Close()
	pending, err := postgres.Pending(ctx, cfg.PostgresURL.Reveal(), consumer.Migrations(), outbox.Migrations(), Migrations())
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("the database lacks %s: run `neuronx provision --execute`", strings.Join(pending, ", "))
	}
	schemas, err := registry.NewClient(cfg.RegistryURL, rt.Log)
	if err != nil {
		return err
	}
	defer schemas.Close()
	kcfg := kafka.Config{Brokers: cfg.KafkaBrokers, ClientID: "neuronx-gohighlevel-" + rt.Slot}
	admin, err := kafka.NewAdmin(kcfg)
	if err != nil {
		return err
	}
	defer admin.Close()
	topics, err := admin.Topics(ctx, kafka.TopicEvents, kafka.TopicIngress)
	if err != nil {
		return err
	}
	partitions := topics[kafka.TopicEvents].Partitions
	if partitions == 0 || topics[kafka.TopicIngress].Partitions == 0 {
		return fmt.Errorf("topic %s or %s is not there: run `neuronx provision --execute`", kafka.TopicEvents, kafka.TopicIngress)
	}
	producer, err := kafka.NewProducer(kcfg, 0, rt.Metrics)
	if err != nil {
		return err
	}
	defer producer.Close()

	start := time.Now()
	heads, err := freezeIfRestored(ctx, kcfg, admin, pool, event.PositionAt(start.UnixMilli()), rt.Log)
	if err != nil {
		return err
	}

	m := newMetrics(rt.Metrics)
	box := outbox.New(effect.Adapter, keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	out := &outcomes{schemas: schemas, now: time.Now}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	client := vendorapi.New(cfg.Timeout, cfg.BaseURL)
	defer client.Close()
	gate := newGate(pool, kcfg, heads)
	w := newWorker(workerConfig{
		Config: cfg, name: fmt.Sprintf("%s/%s/%d", host, rt.Slot, os.Getpid()), pool: pool, client: client,
		secrets: vendorapi.NewSecrets(cfg.SecretsDir), box: box, outcomes: out, log: rt.Log, metrics: m,
	})
	h := &handler{
		decoder: consumer.NewDecoder(schemas), box: box, outcomes: out, partitions: partitions, started: event.PositionAt(start.UnixMilli()),
		pool: pool, kafka: kcfg, wake: w.Wake, log: rt.Log,
	}
	publisher := control.New(producer, keys, schemas)
	c, err := consumer.New(consumer.Config{
		Name: kafka.GroupGoHighLevel, Slot: rt.Slot, Kafka: kcfg, Pool: pool, Archive: archive.NewReader(pool), Registry: schemas,
		DeadLetters: true, Meaning: "redeliver", Log: rt.Log, Reg: rt.Metrics,
		Publish: func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error {
			_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource(effect.Adapter))
			return err
		},
	}, h)
	if err != nil {
		return err
	}
	w.partitions = func(ctx context.Context) []int32 { return gate.open(ctx, c.Owned(), rt.Log) }
	sender := box.NewSender(outbox.SenderConfig{Pool: pool, Producer: producer, Owned: c.Owned, Partitions: topics[kafka.TopicIngress].Partitions})

	g := app.NewGroup()
	g.Add("consumer", c.Run)
	g.Add("worker", w.Run)
	g.Add("outbox", sender.Run)
	g.Add("sampler", func(ctx context.Context) error { return m.sample(ctx, pool, w, rt.Log) })
	rt.Ready.Set("gohighlevel", nil)
	err = g.Run(ctx)
	rt.Ready.Set("gohighlevel", fmt.Errorf("stopped"))
	return err
}
