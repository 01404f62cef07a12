package workflowstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/workflows"
)

// Tables are those that a Batch writes, without their schema; each has a tenant_id.
var Tables = []string{"workflow_instances", "workflow_waits", "workflow_keys", "workflow_versions", "timers", "contact_state", "named_state", "pool_claims", "subject_aliases"}

// Querier reads: a transaction, or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Batch is what one batch reads and writes of workflows, of all its tenants.
type Batch struct {
	q          Querier
	partitions int32
	most       int // instances that are found at once; 0: any number
	tenants    map[string]*Tenant
}

// New makes the batch of a transaction. partitions is the number of partitions of the log: who owns a tenant's fires its timers.
func New(q Querier, partitions int32) *Batch {
	return &Batch{q: q, partitions: partitions, tenants: map[string]*Tenant{}}
}

// Bound bounds how many instances are read at once because something may find them. Reading ahead leaves out the rest; an event that finds more is
// workflows.ErrDear.
func (b *Batch) Bound(most int) { b.most = most }

// Tenant is the store of one tenant, the same at each call.
func (b *Batch) Tenant(name string) *Tenant {
	t := b.tenants[name]
	if t == nil {
		t = &Tenant{
			name: name, batch: b, instances: map[string]*entry{}, unread: map[string]bool{}, found: map[look]map[string]bool{}, looked: map[look]bool{}, counted: map[string]*count{}, moved: map[workflows.Version]int64{}, timers: map[string]timer{},
			keys: cache[advance.Keys]{}, contacts: cache[[]byte]{}, named: cache[[]byte]{}, claims: cache[pool.Claim]{}, aliases: cache[alias.Edge]{},
		}
		b.tenants[name] = t
	}
	return t
}

// sorted lists the tenants in an order that is the same for every transaction.
func (b *Batch) sorted() []*Tenant {
	out := make([]*Tenant, 0, len(b.tenants))
	for _, name := range slices.Sorted(maps.Keys(b.tenants)) {
		out = append(out, b.tenants[name])
	}
	return out
}

func (b *Batch) partition(tenant string) int32 {
	return kafka.PartitionFor([]byte(tenant), b.partitions)
}

// Tenant is a workflows.Store of one tenant of a batch.
type Tenant struct {
	name  string
	batch *Batch

	instances map[string]*entry           // by id, as read or put
	unread    map[string]bool             // ids of those that were put and are not known
	found     map[look]map[string]bool    // ids of them, by what they are found by
	looked    map[look]bool               // whether found has all that Postgres has
	versions  map[workflows.Version]int64 // instances that live, as Postgres has them; nil: not read
	moved     map[workflows.Version]int64 // what memory adds to them
	listed    []workflows.Version         // those that live; nil: not since one came or went
	keys      cache[advance.Keys]         // by workflow and key
	contacts  cache[[]byte]               // by "" and lead
	named     cache[[]byte]               // by kind and name
	claims    cache[pool.Claim]           // by pool and key
	counted   map[string]*count           // claims that Postgres has, by pool
	timers    map[string]timer

	aliases cache[alias.Edge] // by "" and subject
	merged  knowledge         // whether the tenant has any

	at   *event.Recorded // that is folded
	undo []func()        // since Begin
}

var _ workflows.Store = (*Tenant)(nil)

// Batch is the batch that the tenant is of.
func (t *Tenant) Batch() *Batch { return t.batch }

// At says which event is folded: timers that are armed name it as their cause, an instance that ends does so at its position time, and
// a timer that fired early is held from there.
func (t *Tenant) At(r *event.Recorded) { t.at = r }

func (t *Tenant) now() time.Time {
	if t.at == nil {
		return time.Time{}
	}
	return time.UnixMilli(event.PositionTime(t.at.Position)).UTC()
}

// sequence is that of the event that is folded.
func (t *Tenant) sequence() int64 {
	if t.at == nil {
		return 0
	}
	return t.at.Sequence
}

// Begin implements workflows.Store.
func (t *Tenant) Begin() { t.undo = nil }

// Rollback implements workflows.Store. What was read since stays: it is what Postgres has.
func (t *Tenant) Rollback() {
	for _, f := range slices.Backward(t.undo) {
		f()
	}
	t.undo = nil
}

// cell is a row of a table in memory.
type cell[V any] struct {
	value   V
	there   bool // as memory sees it
	was     V
	stored  bool // Postgres has it: was
	known   bool // it was read: was and stored are right
	changed bool
	at      int64 // sequence of the event that changed it
}

// cache is the rows of a table that were read or put, by the raw values of their key.
type cache[V any] map[workflows.Pair]cell[V]

// set puts a row at a sequence, or takes it away, and returns what undoes that.
func (c cache[V]) set(key workflows.Pair, v V, there bool, at int64) (undo func()) {
	before, held := c[key]
	now := before
	now.value, now.there, now.changed, now.at = v, there, true, at
	c[key] = now
	return func() {
		now := c[key]
		switch {
		case held:
			now.value, now.there, now.changed, now.at = before.value, before.there, before.changed, before.at
			c[key] = now
		case now.known: // read since
			now.value, now.there, now.changed, now.at = now.was, now.stored, false, 0
			c[key] = now
		default:
			delete(c, key)
		}
	}
}

// fill notes what Postgres has under a key. What was put stays.
func (c cache[V]) fill(key workflows.Pair, v V, there bool) {
	x := c[key]
	if x.known {
		return
	}
	x.was, x.stored, x.known = v, there, true
	if !x.changed {
		x.value, x.there = v, there
	}
	c[key] = x
}

// wants reports whether a row must be read before it is used.
func (c cache[V]) wants(key workflows.Pair) bool {
	_, held := c[key]
	return !held
}
