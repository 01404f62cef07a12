package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/neuronx/engine/pkg/httpguard"
	"github.com/neuronx/engine/pkg/safetext"
)

// Readiness collects what keeps a service from being ready. It is ready when every component that ever spoke is without error and
// at least one has spoken.
type Readiness struct {
	mu         sync.Mutex
	components map[string]error
}

// NewReadiness makes one that is not ready.
func NewReadiness() *Readiness { return &Readiness{components: map[string]error{}} }

// Set says how a component is: nil is ready.
func (r *Readiness) Set(component string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.components[component] = err
}

// Err is nil when ready, else says what is not, sorted by component.
func (r *Readiness) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.components) == 0 {
		return errors.New("starting")
	}
	names := make([]string, 0, len(r.components))
	for n := range r.components {
		names = append(names, n)
	}
	sort.Strings(names)
	var errs []error
	for _, n := range names {
		if err := r.components[n]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

// NewRegistry makes the process's metrics registry, with the Go runtime's, the process's and neuronx_build_info in it.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_build_info", Help: "The version that runs; always 1."}, []string{"version", "goversion"})
	bi, _ := debug.ReadBuildInfo()
	goversion := ""
	if bi != nil {
		goversion = bi.GoVersion
	}
	build.WithLabelValues(Version(), goversion).Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// version is set by the linker at release.
var version = "dev"

// Version is the version of the program.
func Version() string { return version }

// AdminHandler serves /metrics, /livez, /readyz and /version, and what extra adds.
func AdminHandler(reg prometheus.Gatherer, ready interface{ Err() error }, extra func(*http.ServeMux)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready.Err(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, Version()) })
	if extra != nil {
		extra(mux)
	}
	return mux
}

// ServeAdmin serves AdminHandler at addr until ctx ends, for the host names that Serve allows.
func ServeAdmin(ctx context.Context, addr string, reg prometheus.Gatherer, ready interface{ Err() error }, allowedHosts []string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for admin: %w (choose another --admin-addr)", err)
	}
	return Serve(ctx, l, AdminHandler(reg, ready, nil), allowedHosts...)
}

// Serve serves h on l until ctx ends, then lets requests under way finish for at most 10 s. httpguard keeps web pages away from it;
// allowedHosts are host names beside those that are right on such a listener anyway.
func Serve(ctx context.Context, l net.Listener, h http.Handler, allowedHosts ...string) error {
	complaints := log.New(safetext.NewWriter(os.Stderr), "", log.LstdFlags|log.LUTC)
	srv := &http.Server{Handler: httpguard.New(l.Addr(), allowedHosts, h), ErrorLog: complaints, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
