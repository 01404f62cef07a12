package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/neuronx/engine/pkg/httpguard"
	"github.com/neuronx/engine/pkg/safetext"
)

// NewRegistry makes the process's metrics registry, with the Go runtime's, the process's and neuronx_build_info in it.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	b := BuildInfo()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "neuronx_build_info", Help: "The release and the commit that run; always 1."},
		[]string{"version", "commit", "goversion"})
	build.WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// State is what the admin handler asks of a process.
type State interface {
	Err() error              // nil: ready
	Components() []Component // what the process consists of, and what it waits for
}

// status is the JSON form of /readyz.
type status struct {
	Ready      bool        `json:"ready"`
	Error      string      `json:"error,omitempty"`
	Components []Component `json:"components"`
}

// AdminHandler serves /metrics, /livez, /readyz and /version, and what extra adds.
//
// /readyz answers 200 or 503, as text or, with Accept: application/json, as {"ready", "error", "components"}. The text of 200 begins
// with "ok" and then names what is waited for without taking the process out of service, and what is lost again and again; with ?verbose it
// names every component.
func AdminHandler(reg prometheus.Gatherer, ready State, extra func(*http.ServeMux)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { writeReady(w, r, ready) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, Version()) })
	if extra != nil {
		extra(mux)
	}
	return mux
}

func writeReady(w http.ResponseWriter, r *http.Request, ready State) {
	err, components := ready.Err(), ready.Components()
	code := http.StatusOK
	if err != nil {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		out := status{Ready: err == nil, Components: components}
		if err != nil {
			out.Error = err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(out) // the client has gone away
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	if err != nil {
		fmt.Fprintln(w, err)
	} else {
		fmt.Fprintln(w, "ok")
	}
	for _, c := range components {
		if r.URL.Query().Has("verbose") || !c.Ready && (err == nil || !c.Serving) {
			fmt.Fprintln(w, c.String())
		}
		if c.Lost != nil && (r.URL.Query().Has("verbose") || c.Lost.Flapping) {
			fmt.Fprintf(w, "%s: %s\n", c.Name, c.Lost)
		}
	}
}

// ServeAdmin serves AdminHandler at addr until ctx ends, for the host names that Serve allows.
func ServeAdmin(ctx context.Context, addr string, reg prometheus.Gatherer, ready State, allowedHosts []string) error {
	l, err := Listen(addr, "admin-addr")
	if err != nil {
		return err
	}
	return Serve(ctx, l, AdminHandler(reg, ready, nil), allowedHosts...)
}

// Serve serves h on l until ctx ends, then lets requests under way finish for at most 10 s. httpguard keeps web pages away from it;
// allowedHosts are accepted in addition to the names that the listener accepts anyway.
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
