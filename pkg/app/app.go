package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/httpguard"
	"github.com/neuronx/engine/pkg/safetext"
)

// Service is what a process runs.
type Service struct {
	Name         string                                       // such as "ingest"
	DefaultAdmin string                                       // default admin address, such as "127.0.0.1:9091"
	Flags        func(fs *pflag.FlagSet)                      // declares the flags; may be nil
	Validate     func() error                                 // all problems at once; may be nil
	Run          func(ctx context.Context, rt *Runtime) error // blocks until ctx ends
}

// Runtime is what a service gets from the process around it.
type Runtime struct {
	Name    string
	Slot    string // --slot: which of several instances this is; a StatefulSet's ordinal
	Log     *slog.Logger
	Metrics prometheus.Registerer // every metric carries the label service
	Ready   *Readiness

	AllowedHosts []string // --allowed-hosts: for httpguard, at every HTTP listener of the process
}

// NewRuntime makes the runtime of one service over the process's registry.
func NewRuntime(name, slot string, log *slog.Logger, reg prometheus.Registerer) *Runtime {
	rt := &Runtime{
		Name: name, Slot: slot, Log: log.With("service", name),
		Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, reg),
		Ready:   NewReadiness(),
	}
	rt.Metrics.MustRegister(newReadyCollector(rt.Ready))
	return rt
}

// Main runs a service as a process and exits: 0 when it was stopped, 1 when it failed, 2 when it was called wrongly.
func Main(s *Service) { os.Exit(run(s, os.Args[1:], os.Stdout, os.Stderr)) }

func run(s *Service, args []string, stdout, stderr io.Writer) int {
	stdout, stderr = safetext.NewWriter(stdout), safetext.NewWriter(stderr)
	fs := pflag.NewFlagSet("neuronx-"+s.Name, pflag.ContinueOnError)
	fs.SetOutput(stdout)
	admin := fs.String("admin-addr", s.DefaultAdmin, "address of /metrics, /livez and /readyz; for a Prometheus or a probe on another machine or in another container, such as 0.0.0.0:9091")
	hosts := fs.StringSlice("allowed-hosts", nil, "host names, in addition to the usual ones, under which clients reach this process over HTTP; .example.com for all under it, * for every name")
	slot := fs.String("slot", "0", "which instance of the service this is; unique among those that run")
	level := fs.String("log-level", "info", "debug, info, warn or error")
	format := fs.String("log-format", "json", "json or text")
	delay := fs.Duration("drain-delay", 0, "how long the process goes on after SIGTERM, as not ready, before it stops: behind a load balancer, longer than that takes to hear of it")
	version := fs.Bool("version", false, "print the version and the commit, and exit")
	if s.Flags != nil {
		s.Flags(fs)
	}
	switch err := Load(fs, args); {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "neuronx-%s: %v\n", s.Name, err)
		return 2
	}
	if *version {
		fmt.Fprintln(stdout, Version())
		return 0
	}
	log, err := NewLogger(stderr, *level, *format)
	if err == nil {
		err = httpguard.CheckHosts(*hosts)
	}
	if err == nil && (*delay < 0 || *delay > maxDrainDelay) {
		err = fmt.Errorf("--drain-delay %v is not between 0s and %v", *delay, maxDrainDelay)
	}
	if err == nil && s.Validate != nil {
		err = s.Validate()
	}
	if err != nil {
		fmt.Fprintf(stderr, "neuronx-%s: %v\n", s.Name, err)
		return 2
	}
	defer FlushLog(log)
	heedContainer(log, leastOf(readLimit(groupV2), readLimit(groupV1)))
	reg := NewRegistry()
	rt := NewRuntime(s.Name, *slot, log, reg)
	rt.AllowedHosts = *hosts
	ctx, stop := signals(rt.Log, rt.Ready, *delay)
	defer stop()
	g := NewGroup()
	g.Add("admin", func(ctx context.Context) error { return ServeAdmin(ctx, *admin, reg, rt.Ready, *hosts) })
	g.Add(s.Name, func(ctx context.Context) error { return s.Run(ctx, rt) })
	rt.Log.Info("starting", "version", Version(), "admin", *admin, "slot", *slot)
	if err := g.Run(ctx); err != nil {
		rt.Log.Error("stopped", "err", err)
		return 1
	}
	rt.Log.Info("stopped")
	return 0
}

// maxDrainDelay bounds how long a process goes on that was told to stop.
const maxDrainDelay = 5 * time.Minute

// signals returns a context that ends at the first SIGINT or SIGTERM, or a delay after it in which the process is not ready; the second one ends
// the process.
func signals(log *slog.Logger, ready *Readiness, delay time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		sig, ok := <-ch
		if !ok {
			return
		}
		log.Info("stopping; a second signal exits at once", "signal", sig.String(), "after", delay.String())
		if delay > 0 {
			ready.Serving("process")
			ready.Set("process", errors.New("stopping"))
			time.AfterFunc(delay, cancel)
		} else {
			cancel()
		}
		if _, ok := <-ch; ok {
			os.Exit(1)
		}
	}()
	return ctx, func() { signal.Stop(ch); close(ch); cancel() }
}

// NewLogger makes the process's logger. Payloads and secrets are never logged. What tenants chose may stand in attributes: slog quotes
// line feeds and C0 controls, safetext escapes the rest, so a line of the log is one line and a terminal only shows it.
// A line that repeats within a minute is said once and then counted: FlushLog says what is left to say before the process ends.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	w = safetext.NewWriter(w)
	switch format {
	case "json":
		return slog.New(onceAndCounted(slog.NewJSONHandler(w, opts))), nil
	case "text":
		return slog.New(onceAndCounted(slog.NewTextHandler(w, opts))), nil
	}
	return nil, fmt.Errorf("--log-format %q is not json or text", format)
}
