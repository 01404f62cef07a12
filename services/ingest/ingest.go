package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	httpin "github.com/neuronx/engine/services/ingest/http"
	"github.com/neuronx/engine/services/ingest/landing"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

// Service describes the process neuronx-ingest.
func Service() *app.Service {
	cfg := Default()
	return &app.Service{
		Name: "ingest", DefaultAdmin: "127.0.0.1:9091",
		Flags:    func(fs *pflag.FlagSet) { cfg.bind(fs) },
		Validate: cfg.Validate,
		Run:      func(ctx context.Context, rt *app.Runtime) error { return Run(ctx, rt, cfg) },
	}
}

// Run runs the configured roles until ctx ends.
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	keys, err := event.LoadKeyring(cfg.SigningKeysFile)
	if err != nil {
		return err
	}
	schemas, err := registry.NewClient(cfg.RegistryURL, rt.Log)
	if err != nil {
		return fmt.Errorf("use the schema registry: %w", err)
	}
	defer schemas.Close()
	brokers := kafka.FromSettings(cfg.Settings, "neuronx-ingest-"+rt.Slot)
	rt.Ready.Set(rt.Name, errStarting)
	if cfg.has(RoleHTTP) {
		// What the other roles wait for must not keep clients from a door that can take their events.
		rt.Ready.Serving(app.ComponentKafka, componentHTTP, componentDirectory)
	}
	err = rt.Wait(ctx, app.ComponentKafka, "check the topics", app.QuickAttempt, func(ctx context.Context) error {
		return topology.Check(ctx, brokers, cfg.Laptop)
	})
	if err != nil {
		return err
	}
	var first func(context.Context) error
	if cfg.PostgresURL != "" {
		first = func(ctx context.Context) error { return checkLog(ctx, cfg.PostgresURL.Reveal(), brokers) }
		err := rt.Wait(ctx, app.ComponentPostgres, "compare log and archive", app.QuickAttempt, func(ctx context.Context) error {
			err := first(ctx)
			if errors.Is(err, sequencer.ErrOtherLog) {
				return app.Fatal(err)
			}
			return postgres.Fault(err)
		})
		if err != nil {
			return err
		}
	} else {
		rt.Log.Warn("without a Postgres URL nobody compares the log with the archive: a Kafka that was wiped would be taken for a new one")
	}
	// One producer, without linger: a request waits for its acknowledgement, so waiting for company would only add to it; under
	// load requests that arrive while one is in flight share a batch anyway.
	producer, err := kafka.NewProducer(brokers, 0, rt.Metrics)
	if err != nil {
		return fmt.Errorf("open the producer: %w", err)
	}
	defer producer.Close() // after every actor: it waits for the records that are still on their way

	g := app.NewGroup()
	probe(g, rt, app.ComponentKafka, producer.Check)
	probe(g, rt, app.ComponentRegistry, schemas.Ping)
	var directory *tenant.Directory
	if cfg.has(RoleHTTP) || cfg.has(RoleLanding) && cfg.PostgresURL != "" {
		var pool *pgxpool.Pool
		err := rt.Wait(ctx, app.ComponentPostgres, "connect to Postgres", app.QuickAttempt, func(ctx context.Context) (err error) {
			pool, err = postgres.Open(ctx, cfg.PostgresURL.Reveal(), postgres.Application("neuronx-ingest"))
			return postgres.Fault(err)
		})
		if err != nil {
			return err
		}
		defer pool.Close()
		probe(g, rt, app.ComponentPostgres, func(ctx context.Context) error { return postgres.Ping(ctx, pool) })
		directory = tenant.NewDirectory(tenant.FromPool(pool), rt.Log, rt.Metrics)
		g.Add("tenant directory", directory.Run)
		if cfg.has(RoleHTTP) {
			if err := addHTTP(ctx, g, rt, cfg, httpParts{keys, schemas, producer, brokers, pool, directory}); err != nil {
				return err
			}
		}
	}
	if cfg.has(RoleSequencer) {
		g.Add("sequencer", func(ctx context.Context) error {
			return sequencer.Run(ctx, rt, sequencer.Config{
				Kafka: brokers, Slot: rt.Slot, Keys: keys, Schemas: schemas, Publisher: control.New(producer, keys, schemas),
				KeyWindow: cfg.KeyWindow, KeyMemory: cfg.KeyMemory, Rates: cfg.Rates, Now: cfg.Now, First: first,
			})
		})
	}
	if cfg.has(RoleLanding) {
		g.Add("landing", func(ctx context.Context) error {
			return landing.Run(ctx, rt, landing.Config{
				Kafka: brokers, Slot: rt.Slot, Sign: keys.Sign, Rates: cfg.landingRates(directory),
			})
		})
	}
	rt.Ready.Set(rt.Name, nil)
	return g.Run(ctx)
}

// Components of the HTTP role, as readiness names them.
const (
	componentHTTP      = "http"
	componentDirectory = "tenant directory"
)

// probeEvery is how often a dependency is asked whether it answers.
const probeEvery = 2 * time.Second

func probe(g *app.Group, rt *app.Runtime, component string, ask func(context.Context) error) {
	g.Add("probe of "+component, func(ctx context.Context) error { return rt.Probe(ctx, component, probeEvery, ask) })
}

type httpParts struct {
	keys     *event.Keyring
	schemas  *registry.Client
	producer *kafka.Producer
	brokers  kafka.Config

	pool      *pgxpool.Pool
	directory *tenant.Directory
}

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

// landingRates are what `neuronx tenant limits` set for a tenant, else the process's own. While the directory is not loaded, or where
// there is none (a process of this role alone, without Postgres), the process's own hold.
func (c *Config) landingRates(directory *tenant.Directory) func(string) landing.Limits {
	return func(id string) landing.Limits {
		l := c.Landing
		if directory == nil {
			return l
		}
		set := directory.Limits(id)
		if set.EventsPerSecond > 0 {
			l.Events = float64(set.EventsPerSecond)
		}
		if set.BytesPerSecond > 0 {
			l.Bytes = float64(set.BytesPerSecond)
		}
		return l
	}
}

// addHTTP binds the port and adds the HTTP role's actors: the reader of receipts and the server.
func addHTTP(ctx context.Context, g *app.Group, rt *app.Runtime, cfg Config, parts httpParts) error {
	ln := cfg.Listener
	if ln == nil {
		var err error
		if ln, err = app.Listen(cfg.HTTPAddr, "http"); err != nil {
			return err
		}
	}
	finder, err := httpin.NewTail(httpin.NewFinder(parts.pool), parts.brokers)
	if err != nil {
		return err
	}
	directory := parts.directory
	server := httpin.New(httpin.Config{
		Producer: parts.producer, Auth: directory, Schemas: parts.schemas, Keys: parts.keys, Finder: finder,
		AckTimeout: cfg.AckTimeout, Quotas: cfg.Quotas, BodyMemory: cfg.bodyMemory(), TenantBodyMemory: cfg.BodyShare, Log: rt.Log, Reg: rt.Metrics,
		AllowedHosts: rt.AllowedHosts,
		Away:         func() error { return rt.Ready.Down(app.ComponentKafka) },
	})
	rt.Ready.Set(componentDirectory, tenant.ErrNotLoaded)
	g.Add("receipts", func(ctx context.Context) error { return server.FollowReceipts(ctx, parts.brokers) })
	g.Add("readiness", func(ctx context.Context) error {
		watchDirectory(ctx, rt, directory)
		return nil
	})
	g.Add("http", func(ctx context.Context) error {
		defer finder.Close()
		rt.Ready.Set(componentHTTP, nil)
		stop := context.AfterFunc(ctx, func() { rt.Ready.Set(componentHTTP, errStopping) })
		defer stop()
		return server.Serve(ctx, ln)
	})
	rt.Log.Info("taking events", "role", RoleHTTP, "addr", ln.Addr().String())
	return nil
}

// watchDirectory turns the process ready at the first load: before it every
// request would be answered 503.
func watchDirectory(ctx context.Context, rt *app.Runtime, d *tenant.Directory) {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !d.Loaded() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
	rt.Ready.Set(componentDirectory, nil)
	<-ctx.Done()
}
