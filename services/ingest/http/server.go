package httpin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/httpguard"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/tenant"
)

// Limits of a request, in bytes.
const (
	MaxBody      = 1 << 20 // one event
	MaxBatchBody = 8 << 20
	maxHeader    = 32 << 10

	readTimeout   = 30 * time.Second // 8 MiB in 30 s is 2.2 Mbit/s
	headerTimeout = 5 * time.Second
	drainTime     = 2 * time.Second // what is left of a body that is refused must come so soon, or the connection ends
)

// Producer stores records with acks=all and never cancels one: a canceled record may have been written, and would not be known.
// *kafka.Producer is one.
type Producer interface {
	ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error))
}

// Authenticator checks API keys. *tenant.Directory is one.
type Authenticator interface {
	Authenticate(ctx context.Context, presented, scope string) (tenant.Principal, error)
}

// Finder tells what became of an event, for GET /v1/events/{id}. An id is unique for its source; "" asks for all sources.
type Finder interface {
	Find(ctx context.Context, tenant, id, source string) ([]Fate, error)
}

// Config sets a Server up. Producer, Auth, Schemas and Keys are required.
type Config struct {
	Producer Producer
	Auth     Authenticator
	Schemas  Catalogue
	Keys     *event.Keyring
	Finder   Finder // nil: the route GET /v1/events/{id} does not exist

	Away       func() error  // why Kafka is known to be away, or nil; may be nil itself
	AckTimeout time.Duration // how long a request waits for Kafka; 0: 10 s
	Quotas     Quotas        // of a tenant for which nothing else is set

	AllowedHosts []string // host names under which clients reach the API; none: every one, unless the listener is on loopback

	BodyMemory       int64 // bytes that requests in flight may take; 0: DefaultBodyMemory
	TenantBodyMemory int64 // bytes that those of one tenant may take; 0: a quarter of BodyMemory

	Log *slog.Logger
	Reg prometheus.Registerer
}

// Server is the HTTP endpoint.
type Server struct {
	Config
	metrics  *metrics
	memory   *budget
	gate     *gate
	rates    *rates
	said     *said
	waitlist *waitlist
	repeats  *repeats
	now      func() time.Time
	acked    atomic.Int64 // Unix nanoseconds of the last acknowledgement

	stopping chan struct{} // closed when requests must stop waiting for verdicts
	stopOnce sync.Once
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.AckTimeout <= 0 {
		cfg.AckTimeout = 10 * time.Second
	}
	s := &Server{
		Config: cfg, memory: newBudget(cfg.BodyMemory, cfg.TenantBodyMemory), gate: newGate(), rates: newRates(cfg.Quotas), said: newSaid(),
		waitlist: newWaitlist(), repeats: newRepeats(), now: time.Now, stopping: make(chan struct{}),
	}
	s.metrics = newMetrics(cfg.Reg, s)
	return s
}

// Handler routes. Paths and methods that are not there answer with problems,
// too, which the mux alone would not do.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/events", s.route("/v1/events", http.MethodPost, s.postEvents))
	if s.Finder != nil {
		mux.Handle("/v1/events/{id}", s.route("/v1/events/{id}", http.MethodGet, s.getEvent))
	}
	mux.Handle("/openapi.json", s.route("/openapi.json", http.MethodGet, s.getOpenAPI))
	mux.Handle("/", s.route("other", "", func(_ *http.Request, _ http.ResponseWriter) error {
		return problem(event.CodeNotFound, "there is nothing at this path").hint("POST /v1/events takes events; GET /openapi.json describes the API")
	}))
	return mux
}

// handler answers a request itself and returns nil, or returns the error to
// answer with.
type handler func(r *http.Request, w http.ResponseWriter) error

// route wraps a handler with its method, metrics and tracing, and turns its error
// into a problem. method "" accepts every method.
func (s *Server) route(pattern, method string, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.now()
		rec := &statusWriter{ResponseWriter: w}
		parent, _, traceID := trace(r.Header)
		r.Header.Set("Traceparent", parent) // one that was started here is the same for the event and the answer
		defer func() {
			if cause := recover(); cause != nil {
				s.Log.Error("panic in an HTTP handler", "route", pattern, "panic", fmt.Sprint(cause), "trace_id", traceID)
				if rec.status == 0 {
					writeProblem(rec, r, problem(codeInternal, "the server failed to handle the request").retry(5), traceID)
				}
			}
			s.metrics.request(pattern, r.Method, rec.status, s.now().Sub(began))
		}()
		if method != "" && r.Method != method {
			p := problem(event.CodeMethodNotAllowed, fmt.Sprintf("%.20s is not possible here", r.Method)).hint("use " + method)
			p.allow = method
			writeProblem(rec, r, p, traceID)
			return
		}
		if err := h(r, rec); err != nil {
			p := fromError(err)
			s.tell(pattern, p, err, traceID)
			if r.ContentLength != 0 {
				_ = rec.SetReadDeadline(time.Now().Add(drainTime))
			}
			writeProblem(rec, r, p, traceID)
		}
	})
}

// Serve serves on ln until ctx ends, then drains: it accepts no new connection,
// requests that wait for a verdict are answered, and those under way finish within
// the ack timeout and a little more. Timeouts cut off slow clients (Slowloris).
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           httpguard.New(ln.Addr(), s.AllowedHosts, guarded{s.Handler()}, httpguard.Keyed()),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout + bodyWindow, // what reads a body extends it
		WriteTimeout:      s.writeTimeout(),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnState:         newConnections(max(minConnections, int(s.memory.limit/connectionCost)), s.metrics.crowded.Inc).watch,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.stopWaiting()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.AckTimeout+5*time.Second)
	defer cancel()
	err := srv.Shutdown(drain)
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err != nil {
		_ = srv.Close()
		s.Log.Warn("HTTP requests were cut off at shutdown", "err", err)
	}
	return nil
}

// guarded answers with problems, too, when the guard refuses.
type guarded struct{ http.Handler }

// Refuse implements httpguard.Refuser.
func (guarded) Refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	p := problem(event.CodeForbidden, why)
	p.Status, p.Title = status, http.StatusText(status)
	_, _, traceID := trace(r.Header)
	writeProblem(w, r, p, traceID)
}

// statusWriter remembers the status for metrics.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// SetReadDeadline implements deadliner.
func (w *statusWriter) SetReadDeadline(t time.Time) error {
	if conn, ok := w.ResponseWriter.(deadliner); ok {
		return conn.SetReadDeadline(t)
	}
	return http.ErrNotSupported
}

// Unwrap lets http.ResponseController and MaxBytesReader reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
