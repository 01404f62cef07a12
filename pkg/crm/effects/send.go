package effects

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/pace"
)

// carryOut sends a committed attempt and writes how it ended. stopping ends the waiting for a turn, never a request under way.
func (w *worker) carryOut(ctx context.Context, stopping <-chan struct{}, j job) {
	if w.beforeSend != nil {
		w.beforeSend(j.effect)
	}
	end := w.send(ctx, stopping, &j)
	if end.Code == crm.CodeUnauthorized {
		switch {
		case j.spare, j.account.superseded(j.grant): // another token serves
			end.After, end.Pause = 0, 0
		case j.grant > 0:
			w.renew(ctx, &j)
		}
	}
	if j.account.done(end, &j, time.Now()) {
		w.log.Warn("the CRM refuses the account's newest token; the one before is used while it may be: neuronx crm rotate", "tenant", j.effect.TenantID, "version", j.grant)
	}
	j.account.owe(-j.owed)
	w.finish(ctx, &j, w.end(&j, end))
}

// renew asks for another token, where the CRM takes the account's no more and it is one that is refreshed.
func (w *worker) renew(ctx context.Context, j *job) {
	due, err := grants.Refused(ctx, w.pool, w.adapter.Name(), j.work.Account, j.grant)
	switch {
	case err != nil:
		w.log.Error("a refresh can't be asked for", "tenant", j.effect.TenantID, "err", err)
	case due:
		if w.renewed != nil {
			w.renewed()
		}
		w.log.Warn("the CRM takes the account's token no more; it is refreshed", "tenant", j.effect.TenantID, "version", j.grant)
	}
}

// send takes the steps of an attempt until it ends. All bytes leave within two thirds of the lease or not at all: a worker that was paused for
// longer finds its deadline past before it writes, and the attempt counts as not sent.
func (w *worker) send(ctx context.Context, stopping <-chan struct{}, j *job) crm.End {
	ctx, cancel := context.WithDeadline(ctx, j.started.Add(2*w.lease()/3))
	defer cancel()
	var sent changes
	for range crm.MaxSteps {
		step := w.adapter.Next(j.work)
		sent.refused(step.Refused)
		if step.End != nil {
			end := sent.dispose(j.effect.Class, *step.End)
			end.Detail = j.effect.Command.Redact(end.Detail)
			return end
		}
		x, ok := w.take(ctx, stopping, j, step, &sent)
		if !ok {
			end := crm.End{Status: crm.Pending, Code: crm.CodeNotSent, Detail: "stopped before the request was sent"}
			if j.paused != "" {
				end = crm.End{Status: crm.Pending, Code: crm.CodePaused, Detail: j.paused, After: pausedFor}
			}
			return sent.dispose(j.effect.Class, end)
		}
		j.work.Trail = append(j.work.Trail, x)
	}
	return sent.dispose(j.effect.Class, crm.End{Status: crm.Failed, Code: crm.CodeEndless, Detail: fmt.Sprintf("the adapter asked for more than %d steps", crm.MaxSteps)})
}

// take takes a step; false: no request could be sent.
func (w *worker) take(ctx context.Context, stopping <-chan struct{}, j *job, step crm.Step, sent *changes) (crm.Exchange, bool) {
	switch {
	case step.Adopt != "":
		return w.adopt(ctx, j, step.Adopt), true
	case step.Whose != "":
		return w.whose(ctx, j, step.Whose), true
	}
	if err := w.forget(ctx, w.pool, j, *step.Call); err != nil {
		return crm.Exchange{}, false
	}
	answer, ok := w.call(ctx, stopping, j, *step.Call, sent.begun > 0)
	if ok {
		sent.began(*step.Call, answer)
	}
	return crm.Exchange{Answer: answer}, ok
}

// call makes one request when it is its turn; false: it was not sent. After a request that may have changed something, one that reads back what was
// done is sent in a pause, too: without it the effect's outcome would be unknown.
func (w *worker) call(ctx context.Context, stopping <-chan struct{}, j *job, c crm.Call, begun bool) (crm.Answer, bool) {
	if !w.turn(ctx, stopping, j.account) || ((c.Changes || !begun) && w.paused(ctx, j)) {
		return crm.Answer{}, false
	}
	began := time.Now()
	answer := w.client.Do(ctx, j.baseURL, j.token, c)
	w.metrics.request(c.Op, answer.Status, time.Since(began))
	j.account.learn(answer, w.DailyReserve, time.Now())
	j.asked = c.Op
	if w.afterRequest != nil {
		w.afterRequest()
	}
	return answer, true
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

// end adds to how an attempt ended what only the engine knows: on whose contact, and when it is tried again.
func (w *worker) end(j *job, end crm.End) crm.End {
	switch {
	case end.Status == crm.Done:
		end.Detail = cmp.Or(end.Detail, j.of())
	case end.Status == crm.Pending && end.Code != crm.CodeNotSent:
		// The wave that failed together must not come back together, so what the far side asks for gets a jitter too.
		jitter := rand.Float64()
		end.After = max(pace.Backoff(j.effect.Attempts, jitter), end.After+time.Duration(jitter*float64(end.After)/4))
	}
	return end
}

// finish writes the end of an attempt and its outcome event in one transaction. While the lease lasts it is tried again; after that
// the sweep has decided, and the ledger takes only an end that is known for sure. When ctx is over, the process is going down: one try.
func (w *worker) finish(ctx context.Context, j *job, end crm.End) {
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
func (w *worker) write(ctx context.Context, j *job, end *crm.End) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	e := j.effect
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		links := end.Status == crm.Done && e.Kind == crm.KindUpsert && end.RemoteID != ""
		if links {
			owner, err := w.ledger.Owner(ctx, tx, e.TenantID, j.work.Account, end.RemoteID, j.local)
			if err != nil {
				return err
			}
			if owner != "" && slices.Contains(j.person, owner) {
				j.local, owner = owner, ""
				if j.version, err = w.ledger.Forget(ctx, tx, e.TenantID, j.work.Account, j.local); err != nil {
					return err
				}
			}
			if owner != "" { // the search did not show it yet
				*end = crm.End{Status: crm.Failed, Code: crm.CodeContactTaken, Detail: fmt.Sprintf("the CRM wrote this to contact %s, "+
					"which is that of %s: look at it in the CRM", end.RemoteID, crm.Holder(owner))}
				links = false
			}
		}
		if err := w.learn(ctx, tx, j, *end); err != nil {
			return err
		}
		applied, err = w.ledger.Finish(ctx, tx, e, *end)
		if err != nil || !applied {
			return err
		}
		switch {
		case links:
			err = w.save(ctx, tx, j, *end)
		case end.Status == crm.Done && e.Command.LocalID(e.Kind) != "" && end.RemoteID != "":
			err = w.ledger.SaveObject(ctx, tx, e.TenantID, j.work.Account, crm.ObjectOf(e.Kind), e.Command.LocalID(e.Kind), end.RemoteID)
		case end.Status == crm.Failed && e.Kind == crm.KindUpsert && (j.claimed || j.adopted):
			if j.adopted {
				err = w.ledger.Unlink(ctx, tx, e.TenantID, j.work.Account, j.local, j.contact)
			}
			if err == nil {
				err = w.ledger.Unclaim(ctx, tx, e.TenantID, j.work.Account, j.local)
			}
		}
		if err != nil {
			return err
		}
		return w.tell(ctx, tx, e, *end)
	})
	return applied, err
}

func (w *worker) report(j *job, end crm.End, applied bool) {
	e := j.effect
	attrs := []any{"tenant", e.TenantID, "effect", e.ID, "kind", e.Kind, "attempt", e.Attempts, "status", string(end.Status), "code", end.Code, "detail", end.Detail}
	if !applied {
		w.log.Warn("an attempt ended after it was taken over", attrs...)
		return
	}
	w.metrics.end(e.Kind, end)
	switch end.Status {
	case crm.Unknown:
		w.log.Warn("the outcome of an effect is unknown; look in the CRM, then run: neuronx effects resolve", attrs...)
	case crm.Failed:
		w.log.Warn("an effect failed", attrs...)
	default:
		w.log.Debug("an attempt ended", attrs...)
	}
}
