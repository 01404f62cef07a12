package rules

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

// Run reads the log and derives events until ctx ends (then it returns nil) or something is broken for good. It creates nothing:
// what is missing is an error that names the command that makes it.
//
//	Postgres, Kafka, registry checked ─▶ ready ─┬─▶ consumer loop ─▶ handler ─▶ outbox rows
//	                                            └─▶ sender of the partitions that the loop owns ─▶ ingress
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	rt.Ready.Set("rules", errors.New("starting"))
	pool, err := postgres.Open(ctx, cfg.PostgresURL.Reveal(), postgres.Application("neuronx-rules"))
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
	kafkaConfig := kafka.Config{Brokers: cfg.KafkaBrokers, ClientID: "neuronx-rules-" + rt.Slot}
	if err := kafka.CheckTopics(ctx, kafkaConfig, cfg.Laptop); err != nil {
		return err
	}
	partitions, err := ingressPartitions(ctx, kafkaConfig)
	if err != nil {
		return err
	}
	schemas, err := registry.NewClient(cfg.RegistryURL, rt.Log)
	if err != nil {
		return err
	}
	keys, err := event.LoadKeyring(cfg.SigningKeysFile)
	if err != nil {
		return err
	}
	producer, err := kafka.NewProducer(kafkaConfig, 0, rt.Metrics)
	if err != nil {
		return err
	}
	defer producer.Close()
	publisher := control.New(producer, keys, schemas)
	publish := func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error {
		_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource("rules"))
		return err
	}
	m := newMetrics(rt.Metrics)
	box := outbox.New(Deriver, keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	reader := archive.NewReader(pool)
	service := &service{
		handler: newHandler(box, schemas, rt.Log, m),
		shadow:  &shadow{pool: pool, archive: reader, registry: schemas, log: rt.Log, metrics: m},
	}
	loop, err := consumer.New(consumer.Config{
		Name: kafka.GroupRules, Slot: rt.Slot, Kafka: kafkaConfig, Pool: pool, Archive: reader, Registry: schemas,
		DeadLetters: true, MaxBatch: cfg.MaxBatch, Publish: publish, Meaning: "compare", Log: rt.Log, Reg: rt.Metrics,
	}, service)
	if err != nil {
		return err
	}
	sender := box.NewSender(outbox.SenderConfig{Pool: pool, Producer: producer, Owned: loop.Owned, Partitions: partitions})
	rt.Ready.Set("rules", nil)
	defer rt.Ready.Set("rules", errors.New("stopping"))
	group := app.NewGroup()
	group.Add("consumer", loop.Run)
	group.Add("outbox sender", sender.Run)
	return group.Run(ctx)
}

// service is what the consumer drives: the handler for the log, the shadow for an operator's reset.
type service struct {
	*handler
	*shadow
}

var (
	_ consumer.BatchHandler      = (*service)(nil)
	_ consumer.DeadLetterHandler = (*service)(nil)
	_ consumer.ResetHandler      = (*service)(nil)
)

// ingressPartitions asks how many partitions the door has; they are fixed for life.
func ingressPartitions(ctx context.Context, cfg kafka.Config) (int32, error) {
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	topics, err := admin.Topics(ctx, kafka.TopicIngress)
	if err != nil {
		return 0, err
	}
	n := topics[kafka.TopicIngress].Partitions
	if n < 1 {
		return 0, fmt.Errorf("there is no topic %s: run `neuronx provision --execute`", kafka.TopicIngress)
	}
	return n, nil
}
