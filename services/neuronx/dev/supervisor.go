package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/neuronx/engine/pkg/app"
)

// restartAfter is how long a service that failed stays down.
const restartAfter = time.Second

// unit is one service under supervision.
type unit struct {
	name string
	run  func(ctx context.Context, rt *app.Runtime) error

	mu      sync.Mutex
	wanted  bool
	cancel  context.CancelFunc
	done    chan struct{}
	rt      *app.Runtime
	reg     *prometheus.Registry
	failure error     // the last one
	failed  time.Time // when
}

// Supervisor runs services side by side, each of which can be stopped and started alone (Kafka resets the offsets of an empty group
// only), and starts one again that failed.
type Supervisor struct {
	log   *slog.Logger
	hosts []string
	units []*unit

	registered func(service string, reg *prometheus.Registry) // Config.Registered
}

// NewSupervisor makes one without services, which get allowedHosts for their HTTP listeners.
func NewSupervisor(log *slog.Logger, allowedHosts ...string) *Supervisor {
	return &Supervisor{log: log, hosts: allowedHosts}
}

// Add adds a service; Run starts it.
func (s *Supervisor) Add(name string, run func(ctx context.Context, rt *app.Runtime) error) {
	s.units = append(s.units, &unit{name: name, run: run})
}

// Run starts every service and stops them all, in reverse order, when ctx ends.
func (s *Supervisor) Run(ctx context.Context) {
	for _, u := range s.units {
		s.start(u)
	}
	<-ctx.Done()
	for i := len(s.units) - 1; i >= 0; i-- {
		s.stop(s.units[i])
	}
}

func (s *Supervisor) find(name string) *unit {
	for _, u := range s.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

// names lists the services in the order in which they were given.
func (s *Supervisor) names() []string {
	names := make([]string, len(s.units))
	for i, u := range s.units {
		names[i] = u.name
	}
	return names
}

// start starts a service that is not running; it returns at once.
func (s *Supervisor) start(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.wanted {
		return
	}
	u.wanted = true
	ctx, cancel := context.WithCancel(context.Background())
	u.cancel, u.done = cancel, make(chan struct{})
	go s.keep(ctx, u, u.done)
}

// keep runs the service again and again until ctx ends.
func (s *Supervisor) keep(ctx context.Context, u *unit, done chan struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		reg := prometheus.NewRegistry()
		if s.registered != nil {
			s.registered(u.name, reg)
		}
		rt := app.NewRuntime(u.name, "0", s.log, reg)
		rt.AllowedHosts = s.hosts
		u.mu.Lock()
		u.rt, u.reg = rt, reg
		u.mu.Unlock()
		err := u.run(ctx, rt)
		if ctx.Err() != nil {
			if err != nil {
				rt.Log.Warn("stopped with an error", "err", err)
			}
			break
		}
		if err == nil {
			err = fmt.Errorf("%s returned while it should run", u.name)
		}
		rt.Log.Error("service failed; restarting it", "err", err)
		u.mu.Lock()
		u.failure, u.failed = err, time.Now()
		u.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(restartAfter):
		}
	}
	u.mu.Lock()
	u.rt, u.reg = nil, nil
	u.mu.Unlock()
}

// stop stops a service and waits until it has.
func (s *Supervisor) stop(u *unit) {
	u.mu.Lock()
	if !u.wanted {
		u.mu.Unlock()
		return
	}
	u.wanted = false
	cancel, done := u.cancel, u.done
	u.mu.Unlock()
	cancel()
	<-done
}

// Err is nil when every service that should run is ready.
func (s *Supervisor) Err() error {
	for _, u := range s.units {
		u.mu.Lock()
		rt, wanted, failure := u.rt, u.wanted, u.failure
		u.mu.Unlock()
		if !wanted {
			continue
		}
		if rt == nil {
			return fmt.Errorf("%s is starting", u.name)
		}
		if err := rt.Ready.Err(); err != nil {
			if failure != nil {
				return fmt.Errorf("%s: %w (last failure: %w)", u.name, err, failure)
			}
			return fmt.Errorf("%s: %w", u.name, err)
		}
	}
	return nil
}

// Components lists what every service that should run consists of, as "<service>: <component>". A service that failed, and is started
// again, is a component by itself.
func (s *Supervisor) Components() []app.Component {
	out := []app.Component{}
	for _, u := range s.units {
		u.mu.Lock()
		rt, wanted, failure, failed := u.rt, u.wanted, u.failure, u.failed
		u.mu.Unlock()
		if !wanted {
			continue
		}
		if rt == nil || failure != nil && rt.Ready.Err() != nil {
			c := app.Component{Name: u.name, Serving: true, Reason: "starting", Since: failed}
			if failure != nil {
				c.Reason = "it failed and is started again: " + failure.Error()
			}
			out = append(out, c)
		}
		if rt == nil {
			continue
		}
		for _, c := range rt.Ready.Components() {
			c.Name = u.name + ": " + c.Name
			out = append(out, c)
		}
	}
	return out
}

// Trouble is nil when nothing is waited for, else says what is, also what takes no service out of service.
func (s *Supervisor) Trouble() error {
	var errs []error
	for _, c := range s.Components() {
		if !c.Ready {
			errs = append(errs, errors.New(c.String()))
		}
	}
	return errors.Join(errs...)
}

// Stopped names the services that somebody stopped by their switch.
func (s *Supervisor) Stopped() []string {
	var names []string
	for _, u := range s.units {
		u.mu.Lock()
		if !u.wanted {
			names = append(names, u.name)
		}
		u.mu.Unlock()
	}
	return names
}

// Gather implements prometheus.Gatherer over the services that run.
func (s *Supervisor) Gather() ([]*dto.MetricFamily, error) {
	var all prometheus.Gatherers
	for _, u := range s.units {
		u.mu.Lock()
		if u.reg != nil {
			all = append(all, u.reg)
		}
		u.mu.Unlock()
	}
	return all.Gather()
}

// Routes adds POST /services/{name}/stop and /start, which only a loopback listener behind httpguard may serve: app.Serve is one
// when its listener is.
func (s *Supervisor) Routes(mux *http.ServeMux) {
	handle := func(verb string, do func(*unit)) {
		mux.HandleFunc("POST /services/{name}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			u := s.find(r.PathValue("name"))
			if u == nil {
				http.Error(w, fmt.Sprintf("no service is named %q; there are %s", r.PathValue("name"), strings.Join(s.names(), ", ")), http.StatusNotFound)
				return
			}
			do(u)
			fmt.Fprintln(w, "ok")
		})
	}
	handle("stop", s.stop)
	handle("start", s.start)
}
