package httpin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// waitFor makes room for the verdicts on n events when the client prefers to wait for them; nil is not to wait.
func (s *Server) waitFor(req request, n int) *visit {
	if req.wait <= 0 || n == 0 {
		return nil
	}
	v := s.waitlist.enter(req.tenant, n)
	if v == nil {
		s.metrics.waits.WithLabelValues("no_room").Inc()
	}
	return v
}

// verdicts waits for the verdicts on n stored events until the client's time is over, counted from the arrival of the request.
func (s *Server) verdicts(ctx context.Context, v *visit, n int, req request) (receipts []event.Receipt, all bool) {
	ctx, cancel := context.WithTimeout(ctx, req.wait-s.now().Sub(req.now))
	defer cancel()
	receipts, all = v.collect(ctx, s.stopping, n)
	outcome := "answered"
	if !all {
		outcome = "late"
	}
	s.metrics.waits.WithLabelValues(outcome).Inc()
	return receipts, all
}

// answerOf is the answer to an event of which the verdict is known and no refusal.
func answerOf(r event.Receipt) answer {
	return answer{ID: r.ID, Status: r.Outcome, Sequence: number(r.Sequence), Position: number(r.Position), Of: number(r.Of)}
}

// refusedBy is the problem of a refusal by the sequencer; nil if there is none. A repeat of a refused event is refused for the same
// reason, although it leaves no second dead letter.
func refusedBy(r event.Receipt) *Problem {
	if r.Outcome == statusAdmitted || r.Code == "" {
		return nil
	}
	p := problem(r.Code, r.Detail).hint("it was stored and then refused; its dead letter is found with GET /v1/events/{id}")
	if p.Detail == "" {
		p.Detail = "it was refused before, for this reason"
	}
	p.Status = http.StatusUnprocessableEntity
	return p
}

// verdict adds what the sequencer decided, if it is known.
func (a *itemAnswer) verdict(r event.Receipt) {
	if r.Outcome == "" {
		return
	}
	if a.Problem = refusedBy(r); a.Problem != nil {
		a.Status = statusRefused
		return
	}
	a.Status, a.Sequence, a.Position, a.Of = r.Outcome, number(r.Sequence), number(r.Position), number(r.Of)
}

// number writes a number of the log for JSON: as a string, because it passes 2^53. Zero is none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// stopWaiting answers all who wait for a verdict at once, with what is known; the process is about to stop.
func (s *Server) stopWaiting() { s.stopOnce.Do(func() { close(s.stopping) }) }

// writeTimeout bounds an answer: reading the request, the acknowledgement, the wait for a verdict, and some seconds to write.
func (s *Server) writeTimeout() time.Duration {
	return readTimeout + s.AckTimeout + maxWait + 5*time.Second
}
