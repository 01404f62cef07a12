package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
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
func Service(name, adm string, run func(ctx context.Context, rt *app.Runtime, s Settings) error) *app.Service {
	var s Settings
	return &app.Service{
		Name: name, DefaultAdmin: adm, Flags: s.Bind, Validate: s.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return run(ctx, rt, s) },
	}
}

// Base is what every such service stands on, each part asked once whether it is there.
type Base struct {
	Pool       *pgxpool.Pool
	Kafka      kafka.Config
	Admin      *admin.Client
	Schemas    *registry.Client
	Keys       *event.Keyring
	Producer   *kafka.Producer
	Partitions int32 // of ingress and of the log

	rt       *app.Runtime
	settings Settings
	closers  []func()
}

// Open connects to Postgres, Kafka and the registry and checks keys, tables and topics. What is away, starting, full or slow is waited
// for: the process is not ready meanwhile and says why. What waiting can't mend is an error: keys that can't be read, a user or a
// password that is not accepted, a right that is missing, and tables or topics that nobody has provisioned, with the command that
// makes them; Open creates nothing. Tables are those of sets and of this package. The registry is not asked: a process needs it only
// for schemas that it has not met yet.
func Open(ctx context.Context, rt *app.Runtime, s Settings, sets ...postgres.Migrations) (_ *Base, err error) {
	rt.Ready.Set(rt.Name, errors.New("starting"))
	b := &Base{rt: rt, settings: s, Kafka: kafka.FromSettings(s.Settings, "neuronx-"+rt.Name+"-"+rt.Slot)}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if b.Keys, err = event.LoadKeyring(s.SigningKeysFile); err != nil {
		return nil, err
	}
	if b.Schemas, err = registry.NewClient(s.RegistryURL, rt.Log); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Schemas.Close)
	if b.Admin, err = admin.New(b.Kafka); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Admin.Close)
	err = rt.Wait(ctx, app.ComponentPostgres, "connect to Postgres", app.QuickAttempt, func(ctx context.Context) error {
		return b.openPool(ctx, append([]postgres.Migrations{Migrations()}, sets...))
	})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Pool.Close)
	err = rt.Wait(ctx, app.ComponentKafka, "check the topics", app.QuickAttempt, func(ctx context.Context) error {
		if err := topology.Check(ctx, b.Kafka, s.Laptop); err != nil {
			return err
		}
		topics, err := b.Admin.Topics(ctx, kafka.TopicIngress)
		b.Partitions = topics[kafka.TopicIngress].Partitions
		return err
	})
	if err != nil {
		return nil, err
	}
	if b.Producer, err = kafka.NewProducer(b.Kafka, 0, rt.Metrics); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, b.Producer.Close)
	return b, nil
}

// openPool opens the pool when the server answers and has every table.
func (b *Base) openPool(ctx context.Context, sets []postgres.Migrations) error {
	url := b.settings.PostgresURL.Reveal()
	pending, err := postgres.Pending(ctx, url, sets...)
	if err != nil {
		return postgres.Fault(err)
	}
	if len(pending) > 0 {
		return app.Fatal(fmt.Errorf("the database lacks %s: run `neuronx provision --execute`", strings.Join(pending, ", ")))
	}
	pool, err := postgres.Open(ctx, url, postgres.Application("neuronx-"+b.rt.Name))
	if err != nil {
		return postgres.Fault(err)
	}
	if err := checkRole(ctx, pool, "neuronx_"+b.rt.Name); err != nil {
		pool.Close()
		return err
	}
	b.Pool = pool
	return nil
}

// checkRole refuses a login that is not the service's, or a member of it: with the rights of another service it would start, and fail at
// the first row that it writes.
func checkRole(ctx context.Context, pool *pgxpool.Pool, want string) error {
	var role string
	var is bool
	err := pool.QueryRow(ctx, `SELECT current_user, coalesce(pg_has_role(current_user, to_regrole($1), 'MEMBER'), true)`, want).Scan(&role, &is)
	if err != nil {
		return postgres.Fault(fmt.Errorf("look at the role at Postgres: %w", err))
	}
	if !is {
		return app.Fatal(fmt.Errorf("the role %s at Postgres is another service's: this one needs %s, or a member of it; set NEURONX_POSTGRES_URL", role, want))
	}
	return nil
}

// Wait tries something at start until it succeeds, as Open does. It may take a minute, as what reads the log does.
func (b *Base) Wait(ctx context.Context, what string, try func(context.Context) error) error {
	return b.rt.Wait(ctx, app.ComponentPostgres, what, time.Minute, try)
}

// Reporter takes what became of each attempt of an activity outside the loop.
func (b *Base) Reporter(activity string) func(error) {
	return func(err error) { report(b.rt.Ready, activity, err) }
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
		Meaning: meaning, Log: b.rt.Log, Reg: b.rt.Metrics, Ready: b.rt.Ready,
		Publish: func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error {
			_, err := publisher.Publish(ctx, tenant, typ, subject, id, data, control.WithSource(b.rt.Name))
			return err
		},
	}
}

// probeEvery is how often a dependency is asked whether it answers, also while there is nothing to do, and roomEvery how often Postgres is
// asked whether its disk has room: a consumer whose rows fit into pages that exist would be the last to notice that it has none.
const (
	probeEvery = 2 * time.Second
	roomEvery  = 5 * time.Second
)

// Serve runs the loop and the actors that more adds until ctx ends. The service is ready from now on, but not while a dependency is
// waited for, nor while a partition is stopped: then a person has to decide, and the others go on.
func (b *Base) Serve(ctx context.Context, c *Consumer, more func(*app.Group)) error {
	actors := app.NewGroup()
	actors.Add("consumer", c.Run)
	actors.Add("watch", func(ctx context.Context) error { return b.watch(ctx, c) })
	for component, ask := range map[string]func(context.Context) error{
		app.ComponentPostgres: func(ctx context.Context) error { return postgres.Ping(ctx, b.Pool) },
		app.ComponentKafka:    b.Producer.Check,
		app.ComponentRegistry: b.Schemas.Ping,
	} {
		actors.Add("probe of "+component, func(ctx context.Context) error { return b.rt.Probe(ctx, component, probeEvery, ask) })
	}
	actors.Add("probe of the disk of Postgres", func(ctx context.Context) error {
		return b.rt.ProbeFor(ctx, "room on its disk", app.ComponentPostgres, roomEvery, func(ctx context.Context) error { return postgres.Room(ctx, b.Pool) })
	})
	if more != nil {
		more(actors)
	}
	b.rt.Ready.Set(b.rt.Name, nil)
	defer b.rt.Ready.Set(b.rt.Name, errors.New("stopping"))
	return actors.Run(ctx)
}

func (b *Base) watch(ctx context.Context, c *Consumer) error {
	for backoff.Wait(ctx, time.Second) == nil {
		b.rt.Ready.Set("partitions", errors.Join(slices.Collect(maps.Values(c.Stopped()))...))
	}
	return nil
}
