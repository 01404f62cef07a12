package httpin

import (
	"fmt"
	"sync"

	"github.com/neuronx/engine/pkg/event"
)

// DefaultBodyMemory is the budget for bodies in flight where none is set, in bytes.
const DefaultBodyMemory = 128 << 20

// MinBodyMemory is the smallest budget under which the largest batch can still be read, in bytes.
const MinBodyMemory = 64 << 20

// Parts of a budget.
const (
	shareParts = 4  // a tenant's share where none is set: a quarter
	spareParts = 8  // an eighth is kept for tenants that hold little
	smallParts = 64 // what little is: a 64th
)

// budget divides the memory for requests in flight among tenants. It only counts, in bytes; who uses memory takes it here first. It is
// safe for concurrent use.
//
// A tenant may hold its share, and a single request of it more than that if it has no other: else a body that needs more than the share
// would be refused for ever. The last part of the limit is for tenants that hold little, so that several that send much together
// do not keep out the others.
type budget struct {
	limit, share int64

	mu      sync.Mutex
	used    int64
	high    int64 // the most that was reserved
	tenants map[string]int64
}

// shortage says why a budget gave nothing.
type shortage int

const (
	enough shortage = iota
	overShare
	overLimit
)

// newBudget makes a budget of limit bytes, of which one tenant may hold share; 0 or less is the default of either.
func newBudget(limit, share int64) *budget {
	if limit <= 0 {
		limit = DefaultBodyMemory
	}
	if share <= 0 {
		share = limit / shareParts
	}
	return &budget{limit: limit, share: min(share, limit), tenants: map[string]int64{}}
}

// take reserves n bytes for a request of the tenant that holds some already, or nothing.
func (b *budget) take(tenant string, holds, n int64) shortage {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.tenants[tenant]
	limit := b.limit
	if mine+n > b.limit/smallParts {
		limit -= b.limit / spareParts
	}
	switch {
	case mine+n > b.share && mine > holds:
		return overShare
	case b.used+n > limit:
		return overLimit
	}
	b.used += n
	b.high = max(b.high, b.used)
	b.tenants[tenant] = mine + n
	return enough
}

// give returns n bytes of the tenant.
func (b *budget) give(tenant string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.tenants[tenant] -= n; b.tenants[tenant] <= 0 {
		delete(b.tenants, tenant)
	}
}

// reserved is how many bytes are held in all.
func (b *budget) reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// lease is what one request holds of a budget. It is for one goroutine; nil holds nothing and is never refused.
type lease struct {
	of     *budget
	tenant string
	holds  int64
}

// take reserves n more bytes, or returns the problem to answer with.
func (l *lease) take(n int64) *Problem {
	if l == nil || n <= 0 {
		return nil
	}
	if l.holds+n > l.of.limit-l.of.limit/spareParts { // also when nothing else is in flight
		return problem(event.CodeTooLarge, fmt.Sprintf("to read it would take more than the %d MiB that there are for requests", l.of.limit>>20)).
			hint("send less in one event; `neuronx-ingest --body-memory` is the bound")
	}
	switch l.of.take(l.tenant, l.holds, n) {
	case overShare:
		return problem(event.CodeTenantMemoryFull, fmt.Sprintf("the tenant's requests in flight hold their share of memory, %d MiB; nothing of this one was stored", l.of.share>>20)).
			hint("send fewer or smaller requests at once, and this one again as Retry-After says").retry(1)
	case overLimit:
		return problem(event.CodeMemoryFull, "the requests in flight hold all memory that there is for them; nothing of this one was stored").
			hint("send it again as Retry-After says").retry(2)
	}
	l.holds += n
	return nil
}

// give returns n bytes.
func (l *lease) give(n int64) {
	if l == nil || n <= 0 {
		return
	}
	l.of.give(l.tenant, n)
	l.holds -= n
}

// keep returns all but n bytes.
func (l *lease) keep(n int64) {
	if l != nil {
		l.give(l.holds - n)
	}
}
