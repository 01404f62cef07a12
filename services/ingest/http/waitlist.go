package httpin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/neuronx/engine/pkg/event"
)

// Bounds on who may wait at once; beyond them a request is answered as if it had not asked to wait.
const (
	maxWaiters       = 20_000 // events, over all tenants
	maxTenantWaiters = 5 * maxBatchItems
)

// waitlist gives each waiter its receipt. A waiter is a name in the record's signed header neuronx-receipt; it means nothing to
// other processes. It is safe for concurrent use.
type waitlist struct {
	prefix string // of this process; another one's waiters are not found here
	live   atomic.Bool

	mu      sync.Mutex
	number  uint64
	waiting map[string]*slot
	tenants map[string]int
}

// slot is the entry of one waiter.
type slot struct {
	visit  *visit
	index  int
	tenant string
	id     string
}

// visit is the waiting of one request for the verdicts on its events.
type visit struct {
	waitlist *waitlist
	tenant   string
	names    []string
	receipts chan indexed // holds one of each, so that the reader never blocks on a client
}

type indexed struct {
	index   int
	receipt event.Receipt
}

func newWaitlist() *waitlist {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	return &waitlist{prefix: base64.RawURLEncoding.EncodeToString(id[:]) + "-", waiting: map[string]*slot{}, tenants: map[string]int{}}
}

// enter makes room for a request of n events, or returns nil: receipts are not followed now, or too many wait.
func (l *waitlist) enter(tenant string, n int) *visit {
	if !l.live.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+n > maxWaiters || l.tenants[tenant]+n > maxTenantWaiters {
		return nil
	}
	v := &visit{waitlist: l, tenant: tenant, names: make([]string, n), receipts: make(chan indexed, n)}
	for i := range v.names {
		l.number++
		v.names[i] = l.prefix + strconv.FormatUint(l.number, 36)
		l.waiting[v.names[i]] = &slot{visit: v, index: i, tenant: tenant}
	}
	l.tenants[tenant] += n
	return v
}

// waiter is the name of the i-th waiter; "" where there is none.
func (v *visit) waiter(i int) string {
	if v == nil {
		return ""
	}
	return v.names[i]
}

// expect says which event the i-th waiter is for; a receipt for another event is dropped.
func (v *visit) expect(i int, id string) {
	if v == nil {
		return
	}
	v.waitlist.mu.Lock()
	defer v.waitlist.mu.Unlock()
	if p := v.waitlist.waiting[v.names[i]]; p != nil {
		p.id = strings.Clone(id) // which may be a part of a whole body
	}
}

// leave ends the visit: receipts that come later are dropped. It must be called, and may be called again.
func (v *visit) leave() {
	if v == nil {
		return
	}
	v.waitlist.mu.Lock()
	defer v.waitlist.mu.Unlock()
	for _, name := range v.names {
		v.waitlist.remove(name)
	}
}

// remove takes one waiter away; the caller holds mu.
func (l *waitlist) remove(name string) {
	p := l.waiting[name]
	if p == nil {
		return
	}
	delete(l.waiting, name)
	if l.tenants[p.tenant]--; l.tenants[p.tenant] <= 0 {
		delete(l.tenants, p.tenant)
	}
}

// hand gives a receipt to its waiter and reports whether it is here.
func (l *waitlist) hand(waiter string, r event.Receipt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.waiting[waiter]
	if p == nil || p.tenant != r.Tenant || p.id != r.ID {
		return false
	}
	l.remove(waiter) // the first verdict counts: the record may be read twice
	p.visit.receipts <- indexed{p.index, r}
	return true
}

func (l *waitlist) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// collect waits for the receipts of n events, until ctx or stop is done. The answer has an entry for every event of the request; those
// whose verdict did not come in time are empty.
func (v *visit) collect(ctx context.Context, stop <-chan struct{}, n int) (out []event.Receipt, all bool) {
	out = make([]event.Receipt, len(v.names))
	for range n {
		select {
		case got := <-v.receipts:
			out[got.index] = got.receipt
		case <-ctx.Done():
			return out, false
		case <-stop:
			return out, false
		}
	}
	return out, true
}
