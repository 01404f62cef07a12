package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/ingest"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

// profile runs sequencer, archiver and HTTP server in this process and writes their CPU profiles. Nothing is reported: what is measured
// runs alone in its process.
func (b *bench) profile(ctx context.Context) error {
	if err := b.quiesce(ctx, nil); err != nil {
		return err
	}
	if slices.Contains(b.o.jobs, jobScaling) {
		return b.profileScaling(ctx)
	}
	if err := b.warm(ctx); err != nil {
		return err
	}
	from, to, err := b.fill(ctx, b.o.records)
	if err != nil {
		return err
	}
	s, err := b.sequence(ctx, from, to, b.sequencerInside("admission"))
	if err != nil {
		return err
	}
	b.say("admission, in this process: %s", s)
	if err := b.profileArchiver(ctx); err != nil {
		return err
	}
	return b.profileHTTP(ctx)
}

func (b *bench) sequencerInside(name string) runner {
	return b.inside(name+".pprof", func(ctx context.Context, rt *app.Runtime) error {
		return sequencer.Run(ctx, rt, sequencer.Config{Kafka: kafka.Config{Brokers: b.c.Kafka.Brokers, ClientID: "bench"}, Slot: "0", Keys: b.c.Keys, Schemas: b.c.Registry})
	})
}

// profileScaling profiles admission at every point, with what warms it up, and nothing else.
func (b *bench) profileScaling(ctx context.Context) error {
	for _, p := range b.points(100) {
		s, err := b.scale(ctx, p, b.sequencerInside("scaling_"+p.String()))
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		b.say("%s, in this process: %s", p, s.sample)
	}
	return nil
}

func (b *bench) profileArchiver(ctx context.Context) error {
	_, _, stop, err := b.inside("archive.pprof", func(ctx context.Context, rt *app.Runtime) error {
		return archiver.Run(ctx, rt, archiver.Config{Laptop: true, Settings: b.settings("neuronx_archiver")})
	})(ctx)
	if err != nil {
		return err
	}
	return errors.Join(wait(ctx, time.Now().Add(b.o.load)), stop())
}

// profileHTTP has the load in its profile, too: look at what is below the server's handler.
func (b *bench) profileHTTP(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	for _, job := range b.httpJobs() {
		cfg := ingest.Default()
		cfg.Settings, cfg.Roles, cfg.HTTPAddr, cfg.Laptop = b.settings("neuronx_ingest"), []string{ingest.RoleHTTP}, address, true
		pid, _, stop, err := b.inside(job.name+".pprof", func(ctx context.Context, rt *app.Runtime) error { return ingest.Run(ctx, rt, cfg) })(ctx)
		if err != nil {
			return err
		}
		err = cluster.Eventually(ctx, 20*time.Second, func(ctx context.Context) error {
			return post(ctx, http.DefaultClient, "http://"+address, mediaOne, b.tenants[0], appendEvent(nil, b.maker.id()))
		})
		if err == nil {
			_, err = b.closed(ctx, address, job, pid)
		}
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) settings(role string) app.Settings {
	return app.Settings{
		KafkaBrokers: b.c.Kafka.Brokers, PostgresURL: app.Secret(b.c.Postgres.URL(role)), RegistryURL: b.c.RegistryURL,
		SigningKeysFile: filepath.Join(b.c.Dir, "keys.json"),
	}
}

// inside runs a service in this process under a CPU profile.
func (b *bench) inside(name string, run func(context.Context, *app.Runtime) error) runner {
	return func(ctx context.Context) (int, func() (float64, error), func() error, error) {
		if err := os.MkdirAll(b.o.profiles, 0o755); err != nil {
			return 0, nil, nil, err
		}
		f, err := os.Create(filepath.Join(b.o.profiles, name))
		if err != nil {
			return 0, nil, nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return 0, nil, nil, errors.Join(err, f.Close())
		}
		ctx, cancel := context.WithCancel(ctx)
		reg := prometheus.NewRegistry()
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, app.NewRuntime("bench", "0", slog.New(slog.DiscardHandler), reg)) }()
		admitted := func() (float64, error) {
			families, err := reg.Gather()
			if err != nil {
				return 0, err
			}
			var n float64
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if f.GetName() == "neuronx_admission_records_total" && strings.Contains(m.String(), `"admitted"`) {
						n += m.GetCounter().GetValue()
					}
				}
			}
			return n, nil
		}
		stop := func() error {
			pprof.StopCPUProfile()
			cancel()
			b.say("wrote %s", f.Name())
			if err := errors.Join(<-ended, f.Close()); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
		return os.Getpid(), admitted, stop, nil
	}
}
