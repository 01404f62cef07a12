package standin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/httpguard"
)

// Service is the process neuronx-standin.
func Service() *app.Service {
	cfg := &Config{}
	return &app.Service{
		Name: "standin", DefaultAdmin: "127.0.0.1:9096", Flags: cfg.Bind, Validate: cfg.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return Run(ctx, rt, *cfg) },
	}
}

// Bind declares the flags.
func (c *Config) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&c.Addr, "crm-addr", "127.0.0.1:18090", "address to listen on; port 0 = any")
	fs.StringVar(&c.DataDir, "data-dir", "", "folder in which contacts are kept; empty: in memory only")
	fs.BoolVar(&c.AnyToken, "any-token", true, "a token standin-<location> makes its location at first sight")
	fs.DurationVar(&c.SearchLag, "search-lag", 2*time.Second, "how long search lags behind writes; negative: not at all")
	fs.IntVar(&c.Burst, "burst", 100, "requests an interval and location")
	fs.DurationVar(&c.BurstInterval, "burst-interval", 10*time.Second, "the interval of --burst")
	fs.IntVar(&c.Daily, "daily", 200_000, "requests a day and location")
}

// Run serves until ctx ends. cfg.Ready gets the base URL when the listener is bound.
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	rt.Ready.Set("standin", errors.New("starting"))
	s, err := New(cfg, rt.Log)
	if err != nil {
		return err
	}
	addr := cfg.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s (change it with --crm-addr): %w", addr, err), s.Close())
	}
	srv := &http.Server{Handler: httpguard.New(l.Addr(), rt.AllowedHosts, s.Handler()), ErrorLog: slog.NewLogLogger(rt.Log.Handler(), slog.LevelDebug), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	url := "http://" + l.Addr().String()
	rt.Log.Info("the stand-in CRM listens", "url", url)
	rt.Ready.Set("standin", nil)
	if cfg.Ready != nil {
		cfg.Ready(url)
	}
	select {
	case err = <-failed:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	rt.Ready.Set("standin", errors.New("stopping"))
	err = s.Close() // ends what a fault holds up
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		err = errors.Join(err, srv.Close())
	}
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
