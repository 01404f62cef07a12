package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
)

// Server is the embedded registry: an http.Handler, whose Run must run, too. It is safe for concurrent use.
type Server struct {
	cfg    kafka.Config
	topic  string
	log    *slog.Logger
	routes http.Handler

	writing sync.Mutex   // held during a registration, so that ids are given one by one; taken before mu
	mu      sync.RWMutex // state and session; never held while Kafka is asked, so reading goes on meanwhile
	state   *state
	session *session // nil until the topic was read to its end, and after a write failed
	broken  chan error
}

// NewServer returns a registry over the topic _schemas of cfg, which must exist. It answers 500 with code 50001
// until Run has read the topic to its end.
func NewServer(cfg kafka.Config, log *slog.Logger) *Server {
	s := &Server{cfg: cfg, topic: kafka.TopicSchemas, log: log, broken: make(chan error, 1)}
	s.routes = s.mux()
	return s
}

// ServeHTTP answers the REST API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// Refuse implements httpguard.Refuser: clients of a registry read errors as its JSON.
func (s *Server) Refuse(w http.ResponseWriter, _ *http.Request, status int, why string) {
	answerError(w, &problem{Code: status, Message: why})
}

// Ready returns nil when requests are answered.
func (s *Server) Ready() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return errors.New("registry: the topic " + s.topic + " is not read yet")
	}
	return nil
}

const reopenWait = time.Second

// Run reads the topic and keeps the right to write it until ctx is done, then it returns nil. It returns ErrFenced
// when another registry took that right, and an error when the topic does not exist or was written by something else.
// Kafka being away is no end: it is tried again.
//
//	fence older writers ──> read to the end ──> serve ──(a write fails)──> forget everything ──┐
//	        ^──────────────────────────────────────────────────────────────────────────────────┘
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrFenced), errors.Is(err, errTopic):
			return fmt.Errorf("registry on %s: %w", s.topic, err)
		}
		s.log.Warn("registry reads its topic again", "err", err)
		_ = backoff.Wait(ctx, reopenWait)
	}
	return nil
}

// serve opens a session and returns when it broke or ctx is done.
func (s *Server) serve(ctx context.Context) error {
	session, state, err := open(ctx, s.cfg, s.topic)
	if err != nil {
		return err
	}
	defer session.close()
	select { // of the session before
	case err := <-s.broken:
		s.log.Debug("a report of the session before", "err", err)
	default:
	}
	s.log.Info("registry has read its topic", "subjects", len(state.subjects), "last_id", state.lastID)
	s.set(session, state) // from here on state belongs to the lock
	defer s.set(nil, nil)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.broken:
		return err
	}
}

// set waits for a registration on its way, so that its session is not closed under it.
func (s *Server) set(session *session, state *state) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.put(session, state)
}

func (s *Server) put(session *session, state *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session, s.state = session, state
}

// read calls fn with the state, which fn must not keep.
func (s *Server) read(fn func(*state) (any, error)) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return nil, refuse(codeStore, "the registry has not read its topic yet, or lost it; try again")
	}
	return fn(s.state)
}

// register is tryRegister, tried again in a new session when the broker took the record for one out of its turn or did not commit it:
// then nothing was written.
func (s *Server) register(subject string, schema *avro.Schema) (version, error) {
	for attempt := 1; ; attempt++ {
		s.awaitSession() // what is registered meanwhile by others may be what broke it
		v, err := s.tryRegister(subject, schema)
		var p *problem
		again := errors.Is(err, kerr.OutOfOrderSequenceNumber) || errors.Is(err, errNotCommitted) || errors.As(err, &p) && p.Code == codeStore
		if !again || attempt == 3 {
			return v, err
		}
	}
}

// awaitSession waits until the topic was read, for a few seconds at most.
func (s *Server) awaitSession() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * reopenWait); time.Now().Before(end); <-tick.C {
		if s.Ready() == nil {
			return
		}
	}
}

// tryRegister gives schema a version under subject, and returns when it is durable. Readers see a version only once it is
// committed.
func (s *Server) tryRegister(subject string, schema *avro.Schema) (version, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.session == nil { // mu is needed to change it only: a writer holds writing, too
		return version{}, refuse(codeStore, "the registry has not read its topic yet, or lost it; try again")
	}
	v, isNew, err := s.state.register(subject, schema)
	if err != nil || !isNew {
		return v, err
	}
	// Not the request's context: a client that goes away must not leave the outcome of a write unknown.
	if err := s.session.write(v); err != nil {
		s.put(nil, nil)
		s.broken <- err // has room: serve emptied it before the session was set
		return version{}, fmt.Errorf("write schema: %w", err)
	}
	s.mu.Lock()
	err = s.state.add(v)
	s.mu.Unlock()
	if err != nil {
		return version{}, err
	}
	s.log.Info("schema registered", "subject", subject, "version", v.Version, "id", v.ID)
	return v, nil
}
