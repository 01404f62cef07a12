package gohighlevel

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm/pace"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

// codeNotSent ends an attempt of which no byte left: it can be begun again whatever its class.
const codeNotSent = "not_sent"

// carryOut sends a committed attempt and writes how it ended. stopping ends the waiting for a turn, never a request under way.
func (w *worker) carryOut(ctx context.Context, stopping <-chan struct{}, j job) {
	if w.beforeSend != nil {
		w.beforeSend(j.effect)
	}
	outcome := w.send(ctx, stopping, &j)
	j.account.done(outcome, j.asked, time.Now())
	j.account.owe(-j.owed)
	w.finish(ctx, &j, w.end(&j, outcome))
}

// send makes the calls of an attempt. All bytes leave within two thirds of the lease or not at all: a worker that was paused for
// longer finds its deadline past before it writes, and the attempt counts as not sent. That a contact is gone is said before anything
// is written, so its successor may get the same, whatever the class.
func (w *worker) send(ctx context.Context, stopping <-chan struct{}, j *job) effect.Outcome {
	ctx, cancel := context.WithDeadline(ctx, j.started.Add(2*w.lease()/3))
	defer cancel()
	if j.step.Look {
		if o, ok := w.find(ctx, stopping, j, ""); !ok {
			return o
		}
	}
	o := w.calls(ctx, stopping, j)
	if o.Code != effect.CodeContactUnknown || j.state.ContactID == "" {
		return o
	}
	if end, ok := w.find(ctx, stopping, j, j.state.ContactID); !ok {
		return end
	}
	if o = w.calls(ctx, stopping, j); o.Code == effect.CodeContactUnknown {
		return wait(j, effect.CodeContactGone, o.Detail)
	}
	return o
}

func (w *worker) calls(ctx context.Context, stopping <-chan struct{}, j *job) effect.Outcome {
	outcome := effect.Outcome{Verdict: effect.VerdictDone}
	j.wrote = map[string]string{}
	for _, call := range j.step.Calls {
		answer, o := w.call(ctx, stopping, j, call)
		if o.Other != "" {
			o = w.refusedFor(ctx, j, call, o)
		}
		if o.Verdict != effect.VerdictDone {
			return o
		}
		if o.RemoteID != "" {
			outcome.RemoteID = o.RemoteID
		}
		if o.Detail != "" || call.Lacks != "" {
			outcome.Detail = cmp.Or(o.Detail, call.Lacks)
		}
		maps.Copy(j.wrote, call.Writes)
		if call.Endpoint == effect.EndpointUpdate && len(j.state.Omit) > 0 {
			j.wrote["email"] = j.state.Command.Email // it holds it already, as a second one
		}
		if dropped := effect.Dropped(call, answer.Body); len(call.Writes) > 0 && len(dropped) > 0 {
			outcome.Detail = "the CRM did not take over " + strings.Join(dropped, " and ") + ": it may belong to another contact"
			for _, name := range dropped {
				delete(j.wrote, name)
			}
		}
	}
	return outcome
}

// call makes one request when it is its turn.
func (w *worker) call(ctx context.Context, stopping <-chan struct{}, j *job, call effect.Call) (effect.Answer, effect.Outcome) {
	if !w.turn(ctx, stopping, j.account) {
		return effect.Answer{}, effect.Outcome{Verdict: effect.VerdictRetry, Code: codeNotSent, Detail: "stopped before the request was sent"}
	}
	began := time.Now()
	answer := w.client.Do(ctx, j.baseURL, j.token, call)
	w.metrics.request(call.Endpoint, answer.Status, time.Since(began))
	j.account.learn(answer, w.DailyReserve, time.Now())
	j.asked = call.Endpoint
	if w.afterRequest != nil {
		w.afterRequest()
	}
	return answer, effect.ClassifyCall(j.effect.Kind, call, answer)
}

// turn waits until the account may be sent one more request; false: no byte may be sent any more.
func (w *worker) turn(ctx context.Context, stopping <-chan struct{}, a *account) bool {
	select {
	case a.line <- struct{}{}:
		defer func() { <-a.line }()
	case <-ctx.Done():
		return false
	case <-stopping:
		return false
	}
	for ctx.Err() == nil {
		wait := a.turn()
		if wait == 0 {
			return true
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-stopping:
			t.Stop()
			return false
		}
		t.Stop()
	}
	return false
}

func (w *worker) end(j *job, o effect.Outcome) ledger.End {
	end := ledger.End{Code: o.Code, Detail: o.Detail, RemoteID: o.RemoteID}
	switch o.Verdict {
	case effect.VerdictDone:
		end.Status, end.Detail = effect.Done, cmp.Or(o.Detail, j.of())
	case effect.VerdictFailed:
		end.Status = effect.Failed
	case effect.VerdictUnknown:
		end.Status = effect.Unknown
	default:
		end.Status = effect.Pending
		end.After = o.After
		if o.Code != codeNotSent {
			// The wave that failed together must not come back together, so what the far side asks for gets a jitter too.
			jitter := rand.Float64()
			end.After = max(pace.Backoff(j.effect.Attempts, jitter), o.After+time.Duration(jitter*float64(o.After)/4))
		}
	}
	return end
}

// finish writes the end of an attempt and its outcome event in one transaction. While the lease lasts it is tried again; after that
// the sweep has decided, and the ledger takes only an end that is known for sure. When ctx is over, the process is going down: one try.
func (w *worker) finish(ctx context.Context, j *job, end ledger.End) {
	giveUp := j.started.Add(2 * w.lease())
	for failures := 0; ; failures++ {
		wait := backoff.Doubling(50*time.Millisecond, 2*time.Second, failures)
		applied, err := w.write(context.WithoutCancel(ctx), j, &end)
		if err == nil {
			w.report(j, end, applied)
			return
		}
		if ctx.Err() != nil || time.Now().Add(wait).After(giveUp) {
			w.log.Error("the end of an attempt could not be written", "tenant", j.effect.TenantID, "effect", j.effect.ID, "status", string(end.Status), "err", err)
			return
		}
		_ = backoff.Wait(ctx, wait) // once ctx has ended, the one try that is left is made at once
	}
}

// write ends an attempt. An upsert that came out at a contact of another lead ends as failed, and so changes end.
func (w *worker) write(ctx context.Context, j *job, end *ledger.End) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	e := j.effect
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		links := end.Status == effect.Done && e.Kind == effect.KindUpsert && end.RemoteID != ""
		if links {
			owner, err := ledger.Owner(ctx, tx, e.TenantID, j.state.Location, end.RemoteID, j.local)
			if err != nil {
				return err
			}
			if owner != "" && slices.Contains(j.person, owner) {
				j.local, owner = owner, ""
				if j.version, err = ledger.Forget(ctx, tx, e.TenantID, j.state.Location, j.local); err != nil {
					return err
				}
			}
			if owner != "" { // the search did not show it yet
				*end = ledger.End{Status: effect.Failed, Code: effect.CodeContactTaken, Detail: fmt.Sprintf("the CRM wrote this to contact %s, "+
					"which is that of %s: look at it in the CRM", end.RemoteID, effect.Holder(owner))}
				links = false
			}
		}
		applied, err = ledger.Finish(ctx, tx, e, *end)
		if err != nil || !applied {
			return err
		}
		switch {
		case links:
			err = w.save(ctx, tx, j, end.RemoteID)
		case end.Status == effect.Failed && e.Kind == effect.KindUpsert && (j.step.Look || j.adopted):
			if j.adopted {
				err = ledger.Unlink(ctx, tx, e.TenantID, j.state.Location, j.local, j.state.ContactID)
			}
			if err == nil {
				err = ledger.Unclaim(ctx, tx, e.TenantID, j.state.Location, j.local)
			}
		}
		if err != nil {
			return err
		}
		return w.tell(ctx, tx, e, *end)
	})
	return applied, err
}

func (w *worker) report(j *job, end ledger.End, applied bool) {
	e := j.effect
	attrs := []any{"tenant", e.TenantID, "effect", e.ID, "kind", e.Kind, "attempt", e.Attempts, "status", string(end.Status), "code", end.Code, "detail", end.Detail}
	if !applied {
		w.log.Warn("an attempt ended after it was taken over", attrs...)
		return
	}
	w.metrics.end(e.Kind, end)
	switch end.Status {
	case effect.Unknown:
		w.log.Warn("the outcome of an effect is unknown; look in the CRM, then run: neuronx effects resolve", attrs...)
	case effect.Failed:
		w.log.Warn("an effect failed", attrs...)
	default:
		w.log.Debug("an attempt ended", attrs...)
	}
}
