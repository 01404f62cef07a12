package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
)

// Settings are those of a service that is a consumer.
type Settings struct {
	app.Settings
	Laptop   bool // accept topics with one replica
	MaxBatch int  // records a transaction; 0: the loop's default
}

var needs = []app.Setting{app.KafkaBrokers, app.PostgresURL, app.RegistryURL, app.SigningKeysFile}

// Bind declares the flags.
func (s *Settings) Bind(fs *pflag.FlagSet) {
	s.Settings.Bind(fs, needs...)
	fs.BoolVar(&s.Laptop, "laptop", s.Laptop, "accept topics with a single replica")
	fs.IntVar(&s.MaxBatch, "max-batch", s.MaxBatch, "records a transaction (0: default)")
}

// Validate names every problem at once.
func (s *Settings) Validate() error {
	err := s.Require(needs...)
	if s.MaxBatch < 0 || s.MaxBatch > 100_000 {
		err = errors.Join(err, event.Refuse(event.CodeInvalidConfig, "--max-batch must be 0 to 100000"))
	}
	return err
}

// Service is a consumer with no settings but these as a process of its own.
func Service(name, admin string, run func(ctx context.Context, rt *app.Runtime, s Settings) error) *app.Service {
	var s Settings
	return &app.Service{
		Name: name, DefaultAdmin: admin, Flags: s.Bind, Validate: s.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return run(ctx, rt, s) },
	}
}

// Base is what every such service stands on, each part asked once whether it is there.
type Base struct {
	Pool       *pgxpool.Pool
	Kafka      kafka.Config
	Admin      *kafka.Admin
	Schemas    *registry.Client
	Keys       *event.Keyring
	Producer   *kafka.Producer
	Partitions int32 // of the door and of the log

	rt       *app.Runtime
	settings Settings
	closers  []func()
}

// Open checks Postgres, Kafka, registry and keys and connects to them. It creates nothing: what is missing is an error that names the
// command that makes it. Tables are those of sets and of this package.
func Open(ctx context.Context, rt *app.Runtime, s Settings, sets ...postgres.Migrations) (_ *Base, err error) {
	rt.Ready.Set(rt.Name, errors.New("starting"))
	b := &Base{rt: rt, settings: s, Kafka: kafka.FromSettings(s.Settings, "neuronx-"+rt.Name+"-"+rt.Slot)}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.Pool, err = postgres.Open(ctx, s.PostgresURL.Reveal(), postgres.Application("neuronx-"+rt.Name)); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Pool.Close)
	pending, err := postgres.Pending(ctx, s.PostgresURL.Reveal(), append([]postgres.Migrations{Migrations()}, sets...)...)
	if err != nil {
		return nil, err
	}
	if len(pending) > 0 {
		return nil, fmt.Errorf("the database lacks %s: run `neuronx provision --execute`", strings.Join(pending, ", "))
	}
	if err := kafka.CheckTopics(ctx, b.Kafka, s.Laptop); err != nil {
		return nil, err
	}
	if b.Admin, err = kafka.NewAdmin(b.Kafka); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Admin.Close)
	topics, err := b.Admin.Topics(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, err
	}
	b.Partitions = topics[kafka.TopicIngress].Partitions
	if b.Schemas, err = registry.NewClient(s.RegistryURL, rt.Log); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Schemas.Close)
	if b.Keys, err = event.LoadKeyring(s.SigningKeysFile); err != nil {
		return nil, err
	}
	if b.Producer, err = kafka.NewProducer(b.Kafka, 0, rt.Metrics); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Producer.Close)
	return b, nil
}

// Close closes what Open opened, backwards.
func (b *Base) Close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

// Config is the loop's configuration as far as it is the same for every service; meaning is what a reset of the group means.
func (b *Base) Config(meaning string) Config {
	publisher := control.New(b.Producer, b.Keys, b.Schemas)
	return Config{
		Name: "neuronx." + b.rt.Name, Slot: b.rt.Slot, Kafka: b.Kafka, Pool: b.Pool, Registry: b.Schemas, MaxBatch: b.settings.MaxBatch,
		Meaning: meaning, Log: b.rt.Log, Reg: b.rt.Metrics,
		Publish: func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error {
			_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource(b.rt.Name))
			return err
		},
	}
}

// Serve runs the loop and the actors that more adds until ctx ends. The service is ready from now on, but not while a partition is
// stopped: then a person has to decide, and the others go on.
func (b *Base) Serve(ctx context.Context, c *Consumer, more func(*app.Group)) error {
	actors := app.NewGroup()
	actors.Add("consumer", c.Run)
	actors.Add("watch", func(ctx context.Context) error { return b.watch(ctx, c) })
	if more != nil {
		more(actors)
	}
	b.rt.Ready.Set(b.rt.Name, nil)
	defer b.rt.Ready.Set(b.rt.Name, errors.New("stopping"))
	return actors.Run(ctx)
}

func (b *Base) watch(ctx context.Context, c *Consumer) error {
	for sleep(ctx, time.Second) {
		var stopped []error
		c.metrics.stopped.Reset()
		for tp, err := range c.Stopped() {
			stopped = append(stopped, err)
			c.metrics.stopped.WithLabelValues(tp.Topic, fmt.Sprint(tp.Partition)).Set(1)
		}
		b.rt.Ready.Set("partitions", errors.Join(stopped...))
	}
	return nil
}
