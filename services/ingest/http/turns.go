package httpin

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/neuronx/engine/pkg/event"
)

// maxTenantTurns is how many lookups of one tenant ask Postgres at once.
const maxTenantTurns = 2

// turns bounds how many lookups ask Postgres at once, and how many of them are one tenant's: those of a tenant whose rows answer slowly must
// not hold the connections that other tenants, and the directory of tenants and keys, wait for. Who finds no room waits for its turn, in the
// order of coming. It is safe for concurrent use.
type turns struct {
	all *semaphore.Weighted

	mu      sync.Mutex
	tenants map[string]*turn
}

// turn is one tenant's; it is kept while lookups of the tenant wait or run.
type turn struct {
	*semaphore.Weighted
	users int
}

// newTurns makes room for so many lookups, one at least.
func newTurns(most int64) *turns {
	return &turns{all: semaphore.NewWeighted(max(1, most)), tenants: map[string]*turn{}}
}

// take waits for a turn of the tenant, or for the end of ctx. Its error is a *Problem where it is the tenant's own lookups that last, else that of
// ctx. A tenant without a name is what is asked for all.
func (t *turns) take(ctx context.Context, tenant string) (leave func(), err error) {
	t.mu.Lock()
	of := t.tenants[tenant]
	if of == nil {
		of = &turn{Weighted: semaphore.NewWeighted(maxTenantTurns)}
		t.tenants[tenant] = of
	}
	of.users++
	t.mu.Unlock()
	forget := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if of.users--; of.users == 0 {
			delete(t.tenants, tenant)
		}
	}
	if err := of.Acquire(ctx, 1); err != nil {
		forget()
		p := problem(event.CodeRateLimited, fmt.Sprintf("the tenant has %d lookups of events under way, which take long", maxTenantTurns)).retry(1)
		p.cause = err
		return nil, p
	}
	if err := t.all.Acquire(ctx, 1); err != nil {
		of.Release(1)
		forget()
		return nil, err
	}
	return func() {
		t.all.Release(1)
		of.Release(1)
		forget()
	}, nil
}
