package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	kafkaembedded "github.com/neuronx/engine/pkg/kafka/embedded"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/postgres"
	pgembedded "github.com/neuronx/engine/pkg/postgres/embedded"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/demo"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// partitions of every topic on a laptop; fixed for the life of a data folder.
const partitions = 6

// engine is what a running dev holds.
type engine struct {
	cfg    Config
	out    *safetext.Writer
	log    *slog.Logger
	folder *folder
	keys   *event.Keyring

	kafka    *kafkaembedded.Cluster
	postgres *pgembedded.Server
	registry *registry.Server
	http     string // URLs, once bound
	registryURL,
	crmURL,
	publicURL, // of the pages of consent
	adminURL string
	demoKey string

	postgresAway atomic.Pointer[string] // why the embedded server is not there; nil: it is
}

// Run starts the engine and keeps it until ctx ends. What a person should see goes to out, logs to <data-dir>/dev.log.
//
//	folder, keys ─> Kafka and Postgres ─> provision ─> registry, schemas ─> stand-in CRM, services ─> tenant demo ─> dev.env, leads
func Run(ctx context.Context, cfg Config, out io.Writer) (err error) {
	began := time.Now()
	e := &engine{cfg: cfg, out: safetext.NewWriter(out)}
	if e.folder, err = openFolder(cfg.DataDir); err != nil {
		return err
	}
	defer e.folder.close()
	if err := e.folder.removeEnv(); err != nil {
		return err
	}
	if cfg.Reset {
		if err := pgembedded.Remove(ctx, e.folder.path("postgres")); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
		if err := e.folder.reset(); err != nil {
			return err
		}
	}
	defer func() { // wherever a full disk was met
		if err != nil && diskFull(err) {
			err = e.storeError(err, "", "")
		}
	}()
	logFile, err := os.OpenFile(e.folder.path("dev.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log file: %w", err)
	}
	defer logFile.Close()
	if e.log, err = app.NewLogger(logFile, cfg.LogLevel, "json"); err != nil {
		return err
	}
	defer app.FlushLog(e.log)
	if e.keys, err = e.folder.keyring(); err != nil {
		return err
	}
	if err := e.startStores(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.stopStores()) }()
	return e.serve(ctx, began)
}

// startStores starts Kafka and Postgres side by side.
func (e *engine) startStores(ctx context.Context) error {
	fmt.Fprintln(e.out, "starting Kafka and Postgres ...")
	var g errgroup.Group
	g.Go(func() (err error) {
		e.kafka, err = kafkaembedded.Start(kafkaembedded.Options{DataDir: e.folder.path("kafka"), Addr: loopback(e.cfg.KafkaPort), Log: e.log})
		if err != nil {
			err = e.storeError(err, loopback(e.cfg.KafkaPort), "kafka-port")
		}
		return err
	})
	g.Go(func() (err error) {
		e.postgres, err = pgembedded.Start(ctx, pgembedded.Options{DataDir: e.folder.path("postgres"), Port: e.cfg.PostgresPort, Log: e.log, Out: e.out})
		if err != nil {
			err = e.storeError(err, loopback(e.cfg.PostgresPort), "postgres-port")
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return errors.Join(err, e.stopStores())
	}
	return nil
}

func (e *engine) stopStores() error {
	var errs []error
	if e.postgres != nil {
		errs = append(errs, e.postgres.Stop())
	}
	if e.kafka != nil {
		errs = append(errs, e.kafka.Close())
	}
	return errors.Join(errs...)
}

func (e *engine) kafkaConfig(client string) kafka.Config {
	return kafka.Config{Brokers: e.kafka.Brokers(), ClientID: client}
}

// serve provisions and runs everything above the stores.
func (e *engine) serve(ctx context.Context, began time.Time) error {
	if _, err := provision.Run(ctx, provision.Options{
		Kafka: e.kafkaConfig("provision"), Topics: topology.Options{Partitions: partitions, ReplicationFactor: 1, Laptop: true},
		AdminURL: app.Secret(e.postgres.AdminURL()), Passwords: e.postgres.Passwords(), Execute: true,
	}); err != nil {
		return err
	}
	e.registry = registry.NewServer(e.kafkaConfig("registry"), e.log)
	lis, err := e.listenAll()
	if err != nil {
		return err
	}
	sup := NewSupervisor(e.log, e.cfg.AllowedHosts...)
	sup.registered = e.cfg.Registered
	if err := e.addServices(sup); err != nil {
		return err
	}
	base := app.NewRegistry()
	g := app.NewGroup()
	g.Add("postgres", func(ctx context.Context) error { return e.postgres.Keep(ctx, e.postgresIs) })
	g.Add("registry", e.registry.Run)
	g.Add("registry http", func(ctx context.Context) error {
		return app.Serve(ctx, lis.registry, e.registry, e.cfg.AllowedHosts...)
	})
	g.Add("admin", func(ctx context.Context) error {
		return app.Serve(ctx, lis.admin, app.AdminHandler(prometheus.Gatherers{base, sup}, sup, sup.Routes), e.cfg.AllowedHosts...)
	})
	g.Add("engine", func(ctx context.Context) error { return e.operate(ctx, sup, began) })
	return g.Run(ctx)
}

// postgresIs notes why the embedded Postgres is away; nil: it answers.
func (e *engine) postgresIs(err error) {
	if err == nil {
		e.postgresAway.Store(nil)
		return
	}
	text := err.Error()
	if diskFull(err) {
		text = e.storeError(err, "", "").Error()
	}
	e.postgresAway.Store(&text)
}

type listeners struct{ registry, admin net.Listener }

// listenAll binds what dev itself serves and fills in the URLs.
func (e *engine) listenAll() (l listeners, err error) {
	if l.registry, err = app.Listen(loopback(e.cfg.RegistryPort), "registry-port"); err != nil {
		return l, err
	}
	if l.admin, err = app.Listen(e.cfg.Admin, "admin-addr"); err != nil {
		l.registry.Close()
		return l, err
	}
	e.registryURL, e.adminURL = "http://"+l.registry.Addr().String(), "http://"+l.admin.Addr().String()
	return l, nil
}

// operate pushes the schemas, runs the services, prepares the demo tenant, and shows what happens until ctx ends.
func (e *engine) operate(ctx context.Context, sup *Supervisor, began time.Time) error {
	if err := wait(ctx, "the registry", 60*time.Second, e.registry.Ready); err != nil {
		return err
	}
	client, err := registry.NewClient(e.registryURL, e.log)
	if err != nil {
		return err
	}
	if _, err := provision.Schemas(ctx, client, true); err != nil {
		return err
	}
	supCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	running := make(chan struct{})
	go func() { sup.Run(supCtx); close(running) }()
	defer func() { stop(); <-running }()

	fmt.Fprintln(e.out, "starting the services ...")
	if err := wait(ctx, "the services", 2*time.Minute, sup.Err); err != nil {
		return err
	}
	ops, err := postgres.Open(ctx, e.postgres.URL("neuronx_ops"), postgres.Application("neuronx-dev"), postgres.MaxConns(4))
	if err != nil {
		return err
	}
	defer ops.Close()
	if err := e.prepareDemo(ctx, ops, client); err != nil {
		return fmt.Errorf("prepare tenant demo: %w", err)
	}
	if err := e.writeEnv(); err != nil {
		return err
	}
	defer func() { _ = e.folder.removeEnv() }()
	fmt.Fprintf(e.out, "up after %s; settings for other programs: %s\n\n", time.Since(began).Truncate(100*time.Millisecond), e.folder.path(envFile))
	return e.show(ctx, sup, ops, client, began)
}

// show runs the demo's traffic and the view until ctx ends.
func (e *engine) show(ctx context.Context, sup *Supervisor, ops *pgxpool.Pool, client *registry.Client, began time.Time) error {
	g, ctx := errgroup.WithContext(ctx)
	w := newWatcher(e, sup, ops, client, began)
	g.Go(func() error { return w.follow(ctx) })
	g.Go(func() error { return w.display(ctx) })
	if e.cfg.Demo {
		g.Go(func() error { return demo.Traffic(ctx, e.http, e.demoKey, 1500*time.Millisecond, e.log) })
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	fmt.Fprintln(e.out, "\nstopping; data stays in", e.folder.dir)
	return nil
}

// writeEnv writes dev.env, which says that everything is ready.
func (e *engine) writeEnv() error {
	return e.folder.writeEnv([][2]string{
		{"NEURONX_KAFKA_BROKERS", e.kafka.Brokers()[0]},
		{"NEURONX_POSTGRES_URL", e.postgres.URL("neuronx_ops")},
		{"NEURONX_POSTGRES_ADMIN_URL", e.postgres.AdminURL()},
		{"NEURONX_SCHEMA_REGISTRY_URL", e.registryURL},
		{"NEURONX_SIGNING_KEYS_FILE", e.folder.path("signing-keys.json")},
		{"NEURONX_SECRETS_DIR", e.folder.path("secrets")},
		{"NEURONX_MASTER_KEYSET_FILE", e.folder.path("master-keyset.json")},
		{"NEURONX_HTTP_URL", e.http},
		{"NEURONX_ADMIN_URL", e.adminURL},
		{"NEURONX_CRM_URL", e.crmURL},
		{"NEURONX_PUBLIC_URL", e.publicURL},
		{"NEURONX_DEMO_API_KEY", e.demoKey},
	})
}

// wait asks until the answer is nil, ctx ends or the time is up.
func wait(ctx context.Context, what string, limit time.Duration, ready func() error) error {
	end := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s did not get ready within %s: %w", what, limit, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// answers reports whether url answers with 200.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
