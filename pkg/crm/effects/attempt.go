package effects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/event"
)

// job is an attempt that was committed.
type job struct {
	effect  ledger.Effect
	local   string     // lead by whose link it is carried out
	person  crm.Person // all that this lead is
	work    crm.Work
	step    crm.Step // the first one
	contact string   // that the lead is linked to
	adopted bool     // it was found by its keys, and never written for this lead before
	claimed bool     // keys are kept from other leads
	version int64    // of the link's known fields; 0: there is no link yet
	forgot  []string // known fields that this attempt was begun to write
	paused  string   // why an operator paused it, once it was begun
	asked   string   // the operation of the last request
	owed    int      // requests after the first that are booked
	baseURL string
	token   string
	spare   bool  // another token serves where this one is refused
	grant   int64 // version of the grant whose newest token this is; 0: it is a file's
	account *account
	started time.Time // before the commit: the lease ends after started + lease
}

// begin decides about due effects of a tenant in one transaction: what needs no request ends here, the rest becomes sending. When
// it returns, the attempts are committed; no byte was sent. more reports that some of them needs no request now.
func (w *worker) begin(ctx context.Context, tenant string, limit int, acct *account) (jobs []job, more bool, err error) {
	started := time.Now()
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		jobs = nil
		ten, err := w.ledger.LoadTenant(ctx, tx, tenant)
		if err != nil {
			return err
		}
		pauses, err := w.ledger.Pauses(ctx, tx, tenant)
		if err != nil {
			return err
		}
		if p, all := ledger.PauseOf(pauses, ledger.Every); all {
			acct.pause(pausedFor, started)
			w.log.Debug("nothing is sent", "tenant", tenant, "why", p.Text())
			return nil
		}
		due, next, err := w.ledger.Due(ctx, tx, tenant, limit, acct.looked)
		acct.looked = next
		if err != nil || len(due) == 0 {
			return err
		}
		who, err := persons(ctx, tx, w.ledger, tenant, due)
		if err != nil {
			return err
		}
		links, err := w.ledger.Links(ctx, tx, tenant, ten.Connection.Location, who.leads)
		if err != nil {
			return err
		}
		names, err := w.names(ctx, tx, tenant, ten.Connection.Location, due)
		if err != nil {
			return err
		}
		remote, err := w.objects(ctx, tx, tenant, ten.Connection.Location, due)
		if err != nil {
			return err
		}
		base, token, problem, err := w.endpoint(ctx, tx, ten)
		if err != nil {
			return err
		}
		if acct.connected(grants.Epoch{Connection: ten.Connection.Sequence, Version: token.Version}) {
			if err := w.ledger.Release(ctx, tx, tenant); err != nil {
				return err
			}
		}
		access, spare := acct.choose(token)
		for _, e := range due {
			j := w.job(e, ten, who, links)
			j.baseURL, j.token, j.spare, j.grant, j.account, j.started, j.work.Names = base, access.Reveal(), spare, token.Version, acct, started, names
			j.work.Remote = remote[crm.ObjectOf(e.Kind)][e.Command.LocalID(e.Kind)]
			gate := crm.Gate{Kind: e.Kind, Command: e.Command, Connected: ten.Connected, Mode: ten.Mode(e.Kind), NotAfter: e.NotAfter}
			gate.Withheld, gate.Why = who.withheld(e)
			end := gate.Ends(w.adapter.Kinds(), time.Now())
			if p, paused := ledger.PauseOf(pauses, e.Kind); paused && end == nil {
				if err := w.ledger.Postpone(ctx, tx, e, pausedFor, crm.CodePaused, p.Text()); err != nil {
					return err
				}
				continue
			}
			if end == nil {
				j.step = w.adapter.Next(j.work)
				end = j.step.End
			}
			if end != nil {
				if err := w.ledger.Named(ctx, tx, tenant, j.work.Account, j.local, e.Envelope.Fact, end.Named); err != nil {
					return err
				}
				if err := w.endPending(ctx, tx, e, *end); err != nil {
					return err
				}
				continue
			}
			begun, err := w.beginOne(ctx, tx, &j, problem)
			if err != nil {
				return err
			}
			if begun {
				jobs = append(jobs, j)
			}
		}
		more = len(jobs) < len(due)
		return nil
	})
	if err != nil {
		return nil, false, err // a commit whose answer is lost leaves rows sending: the sweep decides about them
	}
	for _, j := range jobs {
		acct.owe(j.owed)
	}
	return jobs, more, nil
}

// beginOne makes an effect sending, or postpones it and says why.
func (w *worker) beginOne(ctx context.Context, tx pgx.Tx, j *job, problem string) (bool, error) {
	e := &j.effect
	if problem != "" {
		// Nothing is wrong with the effect: it waits for the account, until it expires.
		j.account.deny(time.Minute, j.started)
		return false, w.ledger.Postpone(ctx, tx, *e, time.Minute, crm.CodeAccount, problem)
	}
	if wait, why := j.account.refused(j.step.Might, j.started); wait > 0 {
		return false, w.ledger.Postpone(ctx, tx, *e, wait, crm.CodeScope, why)
	}
	if len(j.step.Claims) > 0 {
		held, busy, err := w.claims(ctx, tx, j, j.step.Claims)
		if err != nil {
			return false, err
		}
		if busy != "" {
			return false, w.ledger.Postpone(ctx, tx, *e, busyFor, crm.CodeKeyBusy, busy)
		}
		j.claimed, j.work.Held = true, held
	}
	if first := j.step.Call; first != nil {
		if err := w.forget(ctx, tx, j, *first); err != nil {
			return false, err
		}
	}
	if err := w.ledger.Begin(ctx, tx, e, w.name, intent(j.step.Might), w.lease()); err != nil {
		return false, err
	}
	j.owed = max(0, len(j.step.Might)-1)
	return true, nil
}

// job makes the attempt at an effect that is about a person.
func (w *worker) job(e ledger.Effect, ten ledger.Tenant, who people, links map[string]crm.Link) job {
	j := job{effect: e, person: who.of[e.Command.LeadID]}
	j.local = local(j.person, e.Command.LeadID, links)
	link := links[j.local]
	j.contact, j.version, j.adopted = link.Contact, link.Version, link.Fresh
	j.work = crm.Work{Kind: e.Kind, Command: e.Command, Fact: e.Envelope.Fact, Asked: time.UnixMilli(event.PositionTime(e.Position)).UTC(), Account: ten.Connection.Location, Link: link, Attempts: e.Attempts + 1, LastCode: e.Code}
	return j
}

// endpoint finds the base URL and token of a tenant's account; problem tells why there is none.
func (w *worker) endpoint(ctx context.Context, tx pgx.Tx, ten ledger.Tenant) (base string, token grants.Token, problem string, err error) {
	token, problem, err = w.tokens.Token(ctx, tx, ten.ID, ten.Connection.Location, ten.Connection.Token)
	if err != nil {
		return "", token, "", err
	}
	base = w.BaseURL
	if own := ten.Connection.BaseURL; own != "" && strings.TrimSuffix(own, "/") != strings.TrimSuffix(base, "/") {
		if !w.AllowTenantURL {
			return "", token, "the connection's base_url is not allowed here", nil
		}
		if err := transport.CheckTenantURL(own); err != nil { // one that an earlier version recorded
			return "", token, "the connection's base_url is refused: " + err.Error() + "; connect the CRM again without it", nil
		}
		base = own
	}
	return base, token, problem, nil
}

// intent says what an attempt may send; what it finds decides which of it. It holds no address and no number.
func intent(might []crm.Call) string {
	var parts []string
	for _, c := range might {
		path, _, _ := strings.Cut(c.Path, "?")
		part := c.Method + " " + path
		if len(c.Body) > 0 {
			sum := sha256.Sum256(c.Body)
			part += " sha256:" + hex.EncodeToString(sum[:])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n")
}

// endPending ends an effect without a request, with its outcome event.
func (w *worker) endPending(ctx context.Context, tx pgx.Tx, e ledger.Effect, end crm.End) error {
	if err := w.ledger.EndPending(ctx, tx, e, end); err != nil {
		return err
	}
	w.metrics.end(e.Kind, end)
	return w.tell(ctx, tx, e, end)
}

func (w *worker) tell(ctx context.Context, tx pgx.Tx, e ledger.Effect, end crm.End) error {
	ev, err := w.outcomes.build(ctx, e, end)
	if err != nil || ev == nil {
		return err
	}
	return w.box.Add(ctx, tx, ev)
}
