package httpin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// accepted is the answer to one event.
type accepted struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// itemAnswer is the answer to one event of a batch.
type itemAnswer struct {
	Index   int      `json:"index"`
	ID      string   `json:"id,omitempty"`
	Status  string   `json:"status"` // accepted | refused | unknown
	Problem *Problem `json:"problem,omitempty"`
}

const (
	statusAccepted = "accepted"
	statusRefused  = "refused"
	statusUnknown  = "unknown"
)

// postEvents takes one event or a batch.
func (s *Server) postEvents(r *http.Request, w http.ResponseWriter) error {
	token, ok := bearer(r.Header)
	if !ok {
		return authProblem(tenant.ErrUnauthorized)
	}
	who, err := s.Auth.Authenticate(r.Context(), token, tenant.ScopeWrite)
	if err != nil {
		return authProblem(err)
	}
	media, p := mediaType(r.Header)
	if p != nil {
		return p
	}
	req := request{tenant: who.Tenant, now: s.now().UTC()}
	req.traceparent, req.tracestate, _ = trace(r.Header)
	if req.key, p = idempotencyKey(r.Header); p != nil {
		return p
	}
	if media == mediaBatch {
		if req.key != "" {
			return problem(event.CodeInvalidAttribute, "an Idempotency-Key can't stand for a whole batch").
				at("header Idempotency-Key", "not allowed on a batch").hint("give every event an id; source and id are its key")
		}
		return s.postBatch(r, w, req)
	}
	body, p := readBody(w, r, MaxBody)
	if p != nil {
		return p
	}
	var env envelope
	if media == mediaStructured {
		if env, p = readStructured(body); p != nil {
			return p
		}
	} else {
		env = readBinary(r.Header, media, body)
	}
	return s.postOne(r.Context(), w, env, req)
}

func (s *Server) postOne(ctx context.Context, w http.ResponseWriter, env envelope, req request) error {
	e, err := s.build(ctx, env, req)
	if err != nil {
		return err
	}
	if p := s.admit(req.tenant, []event.Event{e}); p != nil {
		return p
	}
	if err := s.store(ctx, []event.Event{e})[0]; err != nil {
		return s.unknown(err)
	}
	s.metrics.event(statusAccepted, "")
	if s.Finder != nil {
		w.Header().Set("Location", "/v1/events/"+url.PathEscape(e.ID))
	}
	writeJSON(w, http.StatusAccepted, accepted{ID: e.ID, Status: statusAccepted})
	return nil
}

// postBatch answers per event. One bad event does not refuse the others. When
// the outcome of one is unknown the whole answer is 503, because the client then
// must send something again, and sending all again is safe.
func (s *Server) postBatch(r *http.Request, w http.ResponseWriter, req request) error {
	body, p := readBody(w, r, MaxBatchBody)
	if p != nil {
		return p
	}
	envs, p := readBatch(body)
	if p != nil {
		return p
	}
	answers := make([]itemAnswer, len(envs))
	events := make([]event.Event, 0, len(envs))
	index := make([]int, 0, len(envs))
	for i, env := range envs {
		answers[i] = itemAnswer{Index: i, ID: clip(env.attrs["id"]), Status: statusRefused}
		e, err := s.build(r.Context(), env, req)
		if err != nil {
			p := fromError(err)
			if p.Status >= http.StatusInternalServerError {
				return p // the registry is away: nothing was produced yet, so refuse the request as a whole
			}
			answers[i].Problem = p
			continue
		}
		events, index = append(events, e), append(index, i)
		answers[i].ID = e.ID
	}
	if p := s.admit(req.tenant, events); p != nil {
		return p
	}
	var lost error
	for k, err := range s.store(r.Context(), events) {
		a := &answers[index[k]]
		if a.Status = statusAccepted; err != nil {
			a.Status, lost = statusUnknown, err
			continue
		}
		s.metrics.event(statusAccepted, "")
	}
	if lost != nil {
		p := s.unknown(lost)
		p.Items = answers
		return p
	}
	status := http.StatusAccepted
	if len(events) == 0 && len(envs) > 0 {
		status = http.StatusUnprocessableEntity
	}
	writeJSON(w, status, answers)
	return nil
}

// build builds one event and counts what happens to it.
func (s *Server) build(ctx context.Context, env envelope, req request) (event.Event, error) {
	e, ignored, err := build(ctx, env, req, s.Schemas, s.Keys)
	if err != nil {
		s.metrics.event(statusRefused, fromError(err).Code)
		return e, err
	}
	for _, name := range ignored {
		s.metrics.ignored.WithLabelValues(name).Inc()
	}
	return e, nil
}

// admit applies the tenant's rate and the bound on waiting records.
func (s *Server) admit(tenant string, events []event.Event) *Problem {
	if len(events) == 0 {
		return nil
	}
	if wait := s.rates.take(tenant, len(events), s.now()); wait > 0 {
		s.metrics.event(statusRefused, event.CodeRateLimited)
		return problem(event.CodeRateLimited, fmt.Sprintf("the tenant is over %g events a second", s.TenantRate)).retry(wait)
	}
	if !s.gate.enter(events) {
		s.metrics.event(statusRefused, event.CodeUnavailable)
		return problem(event.CodeUnavailable, "too many events wait to be stored; nothing of this request was").retry(2)
	}
	return nil
}

func (s *Server) unknown(cause error) *Problem {
	s.metrics.event(statusUnknown, event.CodeUnavailable)
	p := problem(event.CodeUnavailable, "it is not known whether this was stored: the acknowledgement did not come in time").
		hint("send it again with the same id or Idempotency-Key; a repeat is dropped").retry(2)
	p.cause = cause
	return p
}
