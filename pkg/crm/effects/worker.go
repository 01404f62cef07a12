package effects

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/outbox"
)

type workerConfig struct {
	Config
	adapter  crm.Adapter
	ledger   ledger.Ledger
	name     string // of this process, in attempts
	pool     *pgxpool.Pool
	client   *transport.Client
	tokens   grants.Source
	box      *outbox.Outbox
	outcomes *outcomes
	log      *slog.Logger
	metrics  *metrics
	renewed  func()      // asks for a look at the tokens to refresh; may be nil
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

// reconnected ends the pauses of accounts that were connected again or have another token, and returns the tenants that stay blocked.
func (w *worker) reconnected(ctx context.Context, blocked []string) ([]string, error) {
	epochs, err := grants.Epochs(ctx, w.pool, w.adapter.Name(), blocked)
	if err != nil {
		return nil, err
	}
	for _, tenant := range blocked {
		if !w.accounts.get(tenant, time.Now()).connected(epochs[tenant]) {
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
