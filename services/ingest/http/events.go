package httpin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/tenant"
)

// answer is the answer to one event: what is known of it.
type answer struct {
	ID       string `json:"id"`
	Status   string `json:"status"`             // accepted, or with a verdict admitted or duplicate
	Sequence string `json:"sequence,omitempty"` // admitted; a string, because it passes 2^53
	Position string `json:"position,omitempty"` // admitted
	Of       string `json:"of,omitempty"`       // duplicate: the sequence that the first one got
}

// itemAnswer is the answer to one event of a batch.
type itemAnswer struct {
	Index    int      `json:"index"`
	ID       string   `json:"id,omitempty"`
	Status   string   `json:"status"` // accepted | admitted | duplicate | refused | unknown
	Sequence string   `json:"sequence,omitempty"`
	Position string   `json:"position,omitempty"`
	Of       string   `json:"of,omitempty"`
	Problem  *Problem `json:"problem,omitempty"`
}

const (
	statusAccepted  = "accepted"
	statusAdmitted  = event.OutcomeAdmitted
	statusDuplicate = event.OutcomeDuplicate
	statusRefused   = event.OutcomeRefused
	statusUnknown   = "unknown"
	statusPending   = "pending"
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
	if p := s.away(); p != nil {
		return p
	}
	req := request{
		tenant: who.Tenant, now: s.now().UTC(), wait: preferredWait(r.Header), quota: s.rates.of(who.Tenant, who.Limits),
	}
	if p = req.quota.enter(media == mediaBatch, r.ContentLength, req.now); p != nil {
		s.metrics.reject(event.CodeRateLimited, who.Tenant)
		req.quota.tell(w.Header(), req.now)
		return p
	}
	req.traceparent, req.tracestate, _ = trace(r.Header)
	if req.key, p = idempotencyKey(r.Header); p != nil {
		return p
	}
	if media == mediaBatch || media == mediaStructured {
		req.origins = slices.Concat(r.Header["Ce-Origin"], r.Header["Ce_origin"]) // as net/http writes them
	}
	if media == mediaBatch {
		if req.key != "" {
			return problem(event.CodeInvalidAttribute, "an Idempotency-Key can't stand for a whole batch").
				at("header Idempotency-Key", "not allowed on a batch").hint("give every event an id; source and id are its key")
		}
	}
	in, p := s.memory.open(who.Tenant)
	defer in.close()
	if p == nil {
		if media == mediaBatch {
			err = s.postBatch(r, w, in, req)
		} else {
			err = s.postSingle(r, w, in, req, media)
		}
	} else {
		err = p
	}
	if p := (*Problem)(nil); errors.As(err, &p) && p.overload() {
		p.tenant = who.Tenant
	}
	return err
}

// postSingle takes one event, in binary or structured mode.
func (s *Server) postSingle(r *http.Request, w http.ResponseWriter, in *intake, req request, media string) error {
	body, p := s.readBody(w, r, in, MaxBody, &req)
	if p != nil {
		return p
	}
	var env envelope
	if media == mediaStructured {
		var plain bool
		if env, plain = in.work.scanOne(body); !plain {
			end, p := req.quota.strictly(r.Context())
			if p != nil {
				return p
			}
			if p = in.strictly(body); p == nil {
				env, p = readStructured(body)
			}
			if end(p != nil); p != nil {
				return p
			}
		}
	} else {
		env = readBinary(r.Header, media, body)
	}
	return s.postOne(r.Context(), w, in, env, req, media == mediaAvro)
}

// readBody reads the body, charges the tenant's quota for it, also when it did not come to its end, and tells what is left of that. It
// reserves what it takes to parse it, too.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, in *intake, limit int64, req *request) ([]byte, *Problem) {
	body, p := in.body(w, r, limit)
	req.quota.read(in.spent(), r.ContentLength, s.now())
	req.quota.tell(w.Header(), s.now())
	if p == nil {
		p = in.parse(body)
	}
	req.scratch, req.memory = in.work, &in.lease
	return body, p
}

// postOne stores one event. own says that it has the memory of the body.
func (s *Server) postOne(ctx context.Context, w http.ResponseWriter, in *intake, env envelope, req request, own bool) error {
	v := s.waitFor(req, 1)
	defer v.leave()
	req.receipt = v.waiter(0)
	events := make([]event.Event, 1)
	e := &events[0]
	if err := s.build(ctx, e, &env, &req); err != nil {
		return err
	}
	id := strings.Clone(e.ID) // which is a part of the whole text
	v.expect(0, id)
	if p := s.admit(req.tenant, events); p != nil {
		return p
	}
	sent := s.send(req.tenant, events)
	in.done(own)
	if err := s.wait(ctx, sent)[0]; err != nil {
		return s.unknown(err)
	}
	s.metrics.stored(1)
	if at := locationOf(id); s.Finder != nil && at != "" {
		w.Header().Set("Location", at)
	}
	out, status := answer{ID: id, Status: statusAccepted}, http.StatusAccepted
	if v != nil {
		receipts, all := s.verdicts(ctx, v, 1, req)
		preferenceApplied(w, req.wait)
		if p := refusedBy(receipts[0]); p != nil {
			return p
		}
		if all {
			out, status = answerOf(receipts[0]), http.StatusOK
		}
	}
	writeJSON(w, status, out)
	return nil
}

// postBatch answers per event. One bad event does not refuse the others. When
// the outcome of one is unknown the whole answer is 503, because the client then
// must send something again, and sending all again is safe.
func (s *Server) postBatch(r *http.Request, w http.ResponseWriter, in *intake, req request) error {
	body, p := s.readBody(w, r, in, MaxBatchBody, &req)
	if p != nil {
		return p
	}
	envs, plain := in.work.scanBatch(body)
	if !plain {
		end, p := req.quota.strictly(r.Context())
		if p != nil {
			return p
		}
		if p = in.strictly(body); p == nil {
			envs, p = readBatch(body)
		}
		if end(p != nil); p != nil {
			return p
		}
	}
	p = req.quota.batch(len(envs), s.now())
	req.quota.tell(w.Header(), s.now())
	if p != nil {
		s.metrics.reject(event.CodeRateLimited, req.tenant)
		return p
	}
	if p = in.answers(len(envs)); p != nil {
		return p
	}
	v := s.waitFor(req, len(envs))
	defer v.leave()
	answers := make([]itemAnswer, len(envs))
	events := in.work.room(len(envs))
	index := make([]int, 0, len(envs))
	var listed listing
	for i := range envs {
		env, e := &envs[i], &events[len(index)]
		answers[i] = itemAnswer{Index: i, ID: clip(env.attrs.get("id")), Status: statusRefused}
		req.receipt = v.waiter(i)
		if err := s.build(r.Context(), e, env, &req); err != nil {
			p := fromError(err)
			if p.Status >= http.StatusInternalServerError || p.overload() || p.Code == event.CodeRateLimited {
				return p // the registry is away, or memory, or time: nothing was produced yet, so refuse the request as a whole
			}
			answers[i].Problem = listed.cut(p)
			continue
		}
		v.expect(i, e.ID)
		index = append(index, i)
		answers[i].ID = e.ID
	}
	events = events[:len(index)]
	if p := s.admit(req.tenant, events); p != nil {
		return p
	}
	sent := s.send(req.tenant, events)
	compact(answers)
	in.done(false)
	var lost error
	stored := 0
	for k, err := range s.wait(r.Context(), sent) {
		a := &answers[index[k]]
		if a.Status = statusAccepted; err != nil {
			a.Status, lost = statusUnknown, err
			continue
		}
		stored++
	}
	s.metrics.stored(stored)
	if lost != nil {
		p := s.unknown(lost)
		p.Items = answers
		return p
	}
	status := http.StatusAccepted
	if v != nil {
		receipts, all := s.verdicts(r.Context(), v, len(index), req)
		preferenceApplied(w, req.wait)
		for i, receipt := range receipts {
			answers[i].verdict(receipt)
		}
		if all {
			status = http.StatusOK
		}
	}
	if len(answers) > 0 && !slices.ContainsFunc(answers, func(a itemAnswer) bool { return a.Status != statusRefused }) {
		status = http.StatusUnprocessableEntity
	}
	writeAnswers(w, status, answers)
	return nil
}

// build builds one event and counts what happens to it.
func (s *Server) build(ctx context.Context, e *event.Event, env *envelope, req *request) error {
	ignored, err := build(ctx, e, env, req, s.Schemas, s.Keys)
	if err != nil {
		s.metrics.reject(fromError(err).Code, req.tenant)
		return err
	}
	for _, name := range ignored {
		s.metrics.ignored.WithLabelValues(name).Inc()
	}
	return nil
}

// admit applies the bound on waiting records.
func (s *Server) admit(tenant string, events []event.Event) *Problem {
	if len(events) > 0 && !s.gate.enter(tenant, events) {
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
