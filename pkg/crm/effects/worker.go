package effects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
)

type workerConfig struct {
	Config
	adapter  crm.Adapter
	ledger   ledger.Ledger
	name     string // of this process, in attempts
	pool     *pgxpool.Pool
	client   *transport.Client
	secrets  transport.Secrets
	box      *outbox.Outbox
	outcomes *outcomes
	log      *slog.Logger
	metrics  *metrics
	looked   func(error) // is told what became of each look for due effects; may be nil
}

// worker carries out what is due. One goroutine begins attempts, many send.
type worker struct {
	workerConfig
	partitions func(ctx context.Context) []int32 // whose effects may be sent now
	accounts   accounts
	parts      []int32 // of the pass before
	served     string  // the tenant for which something was begun last: the next one's turn comes after it
	wake       chan struct{}
	slots      chan struct{}
	flying     sync.WaitGroup

	beforeSend   func(ledger.Effect) // for tests: runs between the committed attempt and the first byte
	afterRequest func()              // for tests: runs after each answer
}

func newWorker(cfg workerConfig) *worker {
	return &worker{workerConfig: cfg, accounts: accounts{adapter: cfg.adapter, all: map[string]*account{}}, wake: make(chan struct{}, 1), slots: make(chan struct{}, cfg.Workers)}
}

// Wake makes the worker look for due effects soon. It never blocks.
func (w *worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) lowest() (remaining, daily, open int) { return w.accounts.lowest() }

// Run works until ctx ends, then lets requests under way finish for a while and cancels the rest, which the ledger then tells as
// what they are: unknown or to be tried again.
func (w *worker) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	poll := time.NewTicker(w.PollEvery)
	defer poll.Stop()
	var swept time.Time
	failures := 0
	for ctx.Err() == nil {
		if time.Since(swept) >= w.SweepEvery {
			swept = time.Now()
			w.sweep(ctx)
		}
		err := w.pass(ctx, sending)
		if ctx.Err() != nil {
			break
		}
		if w.looked != nil {
			w.looked(err)
		}
		if err != nil { // a database or registry that is away is not asked five times a second
			w.log.Error("effects cannot be started; trying again", "err", err)
			_ = backoff.Wait(ctx, backoff.Pause(failures))
			failures++
			continue
		}
		failures = 0
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-poll.C:
		}
	}
	late := time.AfterFunc(w.ShutdownTimeout, stop)
	defer late.Stop()
	w.flying.Wait()
	return nil
}

func (w *worker) sweep(ctx context.Context) {
	var s ledger.Swept
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
		s, err = w.ledger.Sweep(ctx, tx)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil:
		w.log.Error("cannot look for lost attempts; trying again", "err", err)
	case s.Unknown > 0:
		w.log.Warn("attempts were lost with their worker. Effects of kind once are unknown until you resolve them with: neuronx effects resolve", "unknown", s.Unknown, "pending", s.Pending)
	}
}

// reconnected ends the pauses of accounts that were connected again, and returns the tenants that stay blocked.
func (w *worker) reconnected(ctx context.Context, blocked []string) ([]string, error) {
	seqs, err := w.ledger.Connections(ctx, w.pool, blocked)
	if err != nil {
		return nil, err
	}
	for _, tenant := range blocked {
		if !w.accounts.get(tenant, time.Now()).connected(seqs[tenant]) {
			continue
		}
		if err := w.ledger.Release(ctx, w.pool, tenant); err != nil {
			return nil, err
		}
	}
	return w.accounts.blocked(time.Now()), nil
}

// pass begins what may be begun now.
func (w *worker) pass(ctx, sending context.Context) (err error) {
	parts := w.partitions(ctx)
	if slices.ContainsFunc(parts, func(p int32) bool { return !slices.Contains(w.parts, p) }) {
		w.accounts.unsure(time.Now()) // a partition came from another process, which may have sent for its tenants just now
	}
	w.parts = parts
	if len(parts) == 0 {
		return nil
	}
	blocked := w.accounts.blocked(time.Now())
	if len(blocked) > 0 {
		if blocked, err = w.reconnected(ctx, blocked); err != nil {
			return err
		}
	}
	tenants, err := w.due(ctx, parts, blocked)
	if err != nil {
		return err
	}
	for i, tenant := range tenants {
		if ctx.Err() != nil {
			return nil
		}
		free := cap(w.slots) - len(w.slots)
		if free == 0 {
			return nil
		}
		acct := w.accounts.get(tenant, time.Now())
		share := min(shareOf(cap(w.slots), free, acct.inFlight()), max(1, free/(len(tenants)-i)))
		if share == 0 { // asked before the account, whose breaker counts on a probe that it lets through
			continue
		}
		room := min(acct.room(time.Now()), share)
		if room == 0 {
			continue
		}
		w.served = tenant
		jobs, more, err := w.begin(ctx, tenant, room, acct)
		acct.take(len(jobs))
		if err != nil {
			// One tenant's trouble must not hold up the others.
			acct.pause(5*time.Second, time.Now())
			if ctx.Err() == nil {
				w.log.Error("effects cannot be started; trying again", "tenant", tenant, "err", err)
			}
			continue
		}
		if more || len(jobs) == share { // there may be more to begin, for which there is room
			w.Wake()
		}
		for _, j := range jobs {
			w.slots <- struct{}{}
			w.flying.Add(1)
			go func() {
				defer func() { <-w.slots; w.flying.Done(); w.Wake() }()
				w.carryOut(sending, ctx.Done(), j)
			}()
		}
	}
	return nil
}

// tenantsAtOnce is how many tenants a pass looks at.
const tenantsAtOnce = 200

// due lists tenants with effects due, round robin: it begins after the tenant that was served last. In the order of waiting, tenants with
// long queues would always be first.
func (w *worker) due(ctx context.Context, parts []int32, blocked []string) ([]string, error) {
	tenants, err := w.ledger.DueTenants(ctx, w.pool, parts, blocked, w.served, "", tenantsAtOnce)
	if err != nil || w.served == "" || len(tenants) == tenantsAtOnce {
		return tenants, err
	}
	rest, err := w.ledger.DueTenants(ctx, w.pool, parts, blocked, "", w.served, tenantsAtOnce-len(tenants))
	return append(tenants, rest...), err
}

// shareOf is how many of the free slots a tenant may take that holds some of all already. A CRM that answers, but takes half a minute for
// it, opens no breaker; if all slots went to the effects that have waited longest, its tenant would
// make everybody wait as long. So a tenant holds a quarter at most, and an eighth is kept for tenants that hold none.
func shareOf(all, free, holds int) int {
	share := min(max(1, all/4)-holds, free-all/8)
	if holds == 0 {
		share = max(share, min(1, free))
	}
	return max(0, share)
}

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
	asked   string   // the operation of the last request
	owed    int      // requests after the first that are booked
	baseURL string
	token   string
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
		if acct.connected(ten.Connection.Sequence) {
			if err := w.ledger.Release(ctx, tx, tenant); err != nil {
				return err
			}
		}
		names, err := w.names(ctx, tx, tenant, ten.Connection.Location, due)
		if err != nil {
			return err
		}
		remote, err := w.objects(ctx, tx, tenant, ten.Connection.Location, due)
		if err != nil {
			return err
		}
		base, token, problem := w.endpoint(ten)
		for _, e := range due {
			j := w.job(e, ten, who, links)
			j.baseURL, j.token, j.account, j.started, j.work.Names = base, token, acct, started, names
			j.work.Remote = remote[e.Command.OpportunityID]
			gate := crm.Gate{Kind: e.Kind, Command: e.Command, Connected: ten.Connected, Mode: ten.Mode(e.Kind), NotAfter: e.NotAfter}
			gate.Withheld, gate.Why = who.withheld(e)
			end := gate.Ends(w.adapter.Kinds(), time.Now())
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
func (w *worker) endpoint(ten ledger.Tenant) (base, token, problem string) {
	base = w.BaseURL
	if own := ten.Connection.BaseURL; own != "" && strings.TrimSuffix(own, "/") != strings.TrimSuffix(base, "/") {
		if !w.AllowTenantURL {
			return "", "", "the connection's base_url is not allowed here"
		}
		if err := transport.CheckTenantURL(own); err != nil { // one that an earlier version recorded
			return "", "", "the connection's base_url is refused: " + err.Error() + "; connect the CRM again without it"
		}
		base = own
	}
	token, err := w.secrets.Read(ten.Connection.Token)
	if err != nil {
		return "", "", err.Error()
	}
	return base, token, ""
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
