package archiver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
)

// Run archives until ctx ends (then it returns nil) or something is broken for good. It creates nothing: what is missing is an error
// that names the command that makes it.
//
//	Postgres, Kafka, registry checked ──> ready ──> consumer loop ──> Archiver
func Run(ctx context.Context, rt *app.Runtime, cfg Config) (err error) {
	rt.Ready.Set("archiver", errors.New("starting"))
	pool, err := postgres.Open(ctx, cfg.PostgresURL.Reveal(), postgres.Application("neuronx-archiver"))
	if err != nil {
		return err
	}
	defer pool.Close()
	pending, err := postgres.Pending(ctx, cfg.PostgresURL.Reveal(), consumer.Migrations(), Migrations())
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("the database lacks %s: run `neuronx provision --execute`", strings.Join(pending, ", "))
	}
	kafkaConfig := kafka.Config{Brokers: cfg.KafkaBrokers, ClientID: "neuronx-archiver-" + rt.Slot}
	if err := kafka.CheckTopics(ctx, kafkaConfig, cfg.Laptop); err != nil {
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
		_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource("archiver"))
		return err
	}
	c, err := consumer.New(consumer.Config{
		Name: kafka.GroupArchiver, Slot: rt.Slot, Kafka: kafkaConfig, Pool: pool, Registry: schemas,
		DeadLetters: true, MaxBatch: cfg.MaxBatch, Publish: publish, Meaning: "audit", Log: rt.Log, Reg: rt.Metrics,
	}, newArchiver(pool, kafkaConfig, schemas, rt.Log, newMetrics(rt.Metrics)))
	if err != nil {
		return err
	}
	rt.Ready.Set("archiver", nil)
	defer rt.Ready.Set("archiver", errors.New("stopping"))
	return c.Run(ctx)
}
