package projector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// Run projects until ctx ends (then it returns nil) or something is broken for good. It creates nothing: what is missing is an error
// that names the command that makes it.
//
//	Postgres, Kafka, registry checked ──> ready ──┬─> consumer loop ──> Projector
//	                                              ├─> purge of retired generations
//	                                              └─> readiness: false while a partition is stopped
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	rt.Ready.Set("projector", errors.New("starting"))
	specs, err := fold.Declared()
	if err != nil {
		return fmt.Errorf("read projections: %w", err)
	}
	pool, err := postgres.Open(ctx, cfg.PostgresURL.Reveal(), postgres.Application("neuronx-projector"))
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
	kafkaConfig := kafka.Config{Brokers: cfg.KafkaBrokers, ClientID: "neuronx-projector-" + rt.Slot}
	if err := kafka.CheckTopics(ctx, kafkaConfig, cfg.Laptop); err != nil {
		return err
	}
	schemas, err := registry.NewClient(cfg.RegistryURL, rt.Log)
	if err != nil {
		return err
	}
	defer schemas.Close()
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
	p := New(pool, specs, schemas, rt.Log)
	c, err := consumer.New(consumer.Config{
		Name: kafka.GroupProjector, Slot: rt.Slot, Kafka: kafkaConfig, Pool: pool, Archive: archive.NewReader(pool), Registry: schemas,
		MaxBatch: cfg.MaxBatch, Meaning: "rebuild", Log: rt.Log, Reg: rt.Metrics,
		Publish: func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error {
			_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource("projector"))
			return err
		},
	}, p)
	if err != nil {
		return err
	}
	rt.Ready.Set("projector", nil)
	defer rt.Ready.Set("projector", errors.New("stopping"))
	actors := app.NewGroup()
	actors.Add("consumer", c.Run)
	actors.Add("purge", p.purge)
	actors.Add("watch", func(ctx context.Context) error { return watch(ctx, c, rt.Ready) })
	return actors.Run(ctx)
}

// watch makes the process not ready while one of its partitions is stopped: a person has to decide, and the others go on.
func watch(ctx context.Context, c *consumer.Consumer, ready *app.Readiness) error {
	for wait(ctx, time.Second) == nil {
		var stopped []error
		for _, err := range c.Stopped() {
			stopped = append(stopped, err)
		}
		ready.Set("partitions", errors.Join(stopped...))
	}
	return nil
}
