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

// desk gives each waiter its receipt. A waiter is a name that stands in the record's signed header neuronx-receipt; it says nothing to
// anybody but this process. It is safe for concurrent use.
type desk struct {
	prefix string // of this process; another one's waiters are not found here
	live   atomic.Bool

	mu      sync.Mutex
	number  uint64
	waiting map[string]*place
	tenants map[string]int
}

// place is where one waiter stands.
type place struct {
	visit  *visit
	index  int
	tenant string
	id     string
}

// visit is the waiting of one request for the verdicts on its events.
type visit struct {
	desk     *desk
	tenant   string
	names    []string
	receipts chan indexed // holds one of each, so that the reader never blocks on a client
}

type indexed struct {
	index   int
	receipt event.Receipt
}

func newDesk() *desk {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	return &desk{prefix: base64.RawURLEncoding.EncodeToString(id[:]) + "-", waiting: map[string]*place{}, tenants: map[string]int{}}
}

// enter makes room for a request of n events, or returns nil: nobody follows the receipts now, or too many wait.
func (d *desk) enter(tenant string, n int) *visit {
	if !d.live.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting)+n > maxWaiters || d.tenants[tenant]+n > maxTenantWaiters {
		return nil
	}
	v := &visit{desk: d, tenant: tenant, names: make([]string, n), receipts: make(chan indexed, n)}
	for i := range v.names {
		d.number++
		v.names[i] = d.prefix + strconv.FormatUint(d.number, 36)
		d.waiting[v.names[i]] = &place{visit: v, index: i, tenant: tenant}
	}
	d.tenants[tenant] += n
	return v
}

// waiter is the name of the i-th waiter; "" where nobody waits.
func (v *visit) waiter(i int) string {
	if v == nil {
		return ""
	}
	return v.names[i]
}

// expect says which event the i-th waiter is for; a receipt for another one is nobody's.
func (v *visit) expect(i int, id string) {
	if v == nil {
		return
	}
	v.desk.mu.Lock()
	defer v.desk.mu.Unlock()
	if p := v.desk.waiting[v.names[i]]; p != nil {
		p.id = strings.Clone(id) // which may be a part of a whole body
	}
}

// leave ends the visit: receipts that come later are dropped. It must be called, and may be called again.
func (v *visit) leave() {
	if v == nil {
		return
	}
	v.desk.mu.Lock()
	defer v.desk.mu.Unlock()
	for _, name := range v.names {
		v.desk.remove(name)
	}
}

// remove takes one waiter away; the caller holds mu.
func (d *desk) remove(name string) {
	p := d.waiting[name]
	if p == nil {
		return
	}
	delete(d.waiting, name)
	if d.tenants[p.tenant]--; d.tenants[p.tenant] <= 0 {
		delete(d.tenants, p.tenant)
	}
}

// hand gives a receipt to its waiter and reports whether it is here.
func (d *desk) hand(waiter string, r event.Receipt) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.waiting[waiter]
	if p == nil || p.tenant != r.Tenant || p.id != r.ID {
		return false
	}
	d.remove(waiter) // the first verdict counts: the record may be read twice
	p.visit.receipts <- indexed{p.index, r}
	return true
}

func (d *desk) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// collect waits for the receipts of n events, until ctx or stop is done. The answer has a place for every event of the request; those
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
