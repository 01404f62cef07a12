package admission

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// status of a tenant, as folded from its own control events.
type status byte

const (
	StatusActive    status = 1
	statusSuspended status = 2
)

// Counts is the ledger of a tenant: every ingress record at its first touch is in exactly one of them.
type Counts struct {
	Admitted, Duplicates, Refused, Forwarded, Ignored int64
}

func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Admitted: c.Admitted + d.Admitted, Duplicates: c.Duplicates + d.Duplicates, Refused: c.Refused + d.Refused,
		Forwarded: c.Forwarded + d.Forwarded, Ignored: c.Ignored + d.Ignored,
	}
}

// Tenant is what the sequencer knows of one tenant.
type Tenant struct {
	Status   status // 0: not created; only the ledger is kept
	Sequence int64  // of the last admitted event
	Derivers map[string]int64
	Counts   Counts
}

func (t *Tenant) clone() *Tenant {
	c := *t
	c.Derivers = maps.Clone(t.Derivers)
	return &c
}

// NoTenant is the ledger entry for records whose tenant is unreadable or unknown; one entry for all, so that invented tenant names
// can't grow the state.
const NoTenant = ""

// Ends says where the outputs of a partition stood before a transaction and how many data records it wrote there. Reading a topic
// committed from Next must give exactly Count records: that is how a restore finds a torn log.
type Ends struct {
	Next, Count int64
}

// State is all that admission depends on, for one ingress partition: what the records of neuronx.sequencer.state say. It is built
// again at every assignment and owned by one goroutine. Only merge changes it.
type State struct {
	topicID   [16]byte // of neuronx.ingress
	Partition int32
	LogID     string
	Next      int64 // ingress offset of the next record to judge
	Position  int64 // of the last admitted event of the log partition
	Log, Dead Ends
	Tenants   map[string]*Tenant
	Keys      *keys.Window
	rates     *rates // working state, not restored
	factor    uint64 // of the tables of keys of its transactions
}

// What a part of the state record of a transaction takes at most, in bytes, besides its name (see package statelog).
const (
	maxTenantBytes  = 1 + 1 + 7*binary.MaxVarintLen64
	maxDeriverBytes = 1 + binary.MaxVarintLen64
	maxKeyBytes     = 12 + 4 + 1 + 2*binary.MaxVarintLen64
)

// NewState is that of a partition of which nothing is known. keyWindow is how long keys are remembered; 0: keys.DefaultWindow.
func NewState(topicID [16]byte, partition int32, logID string, keyWindow time.Duration) *State {
	return &State{topicID: topicID, Partition: partition, LogID: logID, Tenants: map[string]*Tenant{}, Keys: keys.NewWindow(keyWindow), rates: newRates(), factor: rand.Uint64()}
}

// Overlay is the staging of one transaction over a State, which it never changes: dropping the overlay drops the work. Under it may lie
// that of a transaction that is being committed: what is staged then holds only if that one is committed first.
type Overlay struct {
	base     *State
	under    *Overlay // nil once it is merged
	from     int64    // ingress offset of the first record to judge
	Next     int64
	position int64
	tenants  map[string]*Tenant
	Keys     keys.Table
	Size     int   // what its delta takes at most, in bytes
	log      int64 // data records staged for the log
	dead     int64 // and for the dead letters
	rates    rateStage

	lastID string  // of the tenant that was looked at last,
	last   *Tenant // and its copy in tenants; nil: none
}

// NewOverlay begins a transaction of at most n records over s, and over one that is not merged yet; nil: there is none.
func NewOverlay(s *State, under *Overlay, n int) *Overlay {
	o := &Overlay{
		base: s, under: under, from: s.Next, position: s.Position,
		tenants: map[string]*Tenant{}, Keys: keys.NewTable(n, s.factor),
	}
	if under != nil {
		o.from, o.position = under.Next, under.position
	}
	o.Next = o.from
	return o
}

// Rebase is called when what lay under it is merged.
func (o *Overlay) Rebase() { o.under = nil }

// below looks a tenant up as it was before this transaction.
func (o *Overlay) below(id string) *Tenant {
	if o.under != nil {
		if t := o.under.tenants[id]; t != nil {
			return t
		}
	}
	return o.base.Tenants[id]
}

// tenant looks a tenant up; nil is unknown.
func (o *Overlay) tenant(id string) *Tenant {
	t := o.own(id)
	if t == nil {
		t = o.below(id)
	}
	if t == nil || t.Status == 0 {
		return nil
	}
	return t
}

// own looks up the overlay's own copy of a tenant; nil: there is none.
func (o *Overlay) own(id string) *Tenant {
	if o.last == nil || o.lastID != id {
		if t := o.tenants[id]; t != nil {
			o.lastID, o.last = id, t
		} else {
			return nil
		}
	}
	return o.last
}

// edit returns the overlay's own copy of a tenant, made on first use.
func (o *Overlay) edit(id string) *Tenant {
	if t := o.own(id); t != nil {
		return t
	}
	t := &Tenant{}
	if b := o.below(id); b != nil {
		t = b.clone()
	}
	o.tenants[strings.Clone(id)] = t
	o.Size += maxTenantBytes + len(id)
	for d := range t.Derivers {
		o.Size += maxDeriverBytes + len(d)
	}
	return t
}

// key looks a key up that has not expired at ms.
func (o *Overlay) key(h keys.Hash, ms int64) (keys.Verdict, bool) {
	v, ok := o.Keys.Get(h)
	if !ok && o.under != nil {
		v, ok = o.under.Keys.Get(h)
	}
	if !ok {
		v, ok = o.base.Keys.Get(h)
	}
	return v, ok && !o.base.Keys.Expired(v, ms)
}

func (o *Overlay) put(h keys.Hash, v keys.Verdict) {
	o.Keys.Put(h, v)
	o.Size += maxKeyBytes // a key that is put again is counted again
}

// Merge makes the staged work the state. logNext and deadNext are the offsets after the last acknowledged data record of this
// transaction; they are ignored where it wrote none.
func (s *State) Merge(o *Overlay, logNext, deadNext int64) {
	s.Next, s.Position = o.Next, o.position
	maps.Copy(s.Tenants, o.tenants)
	for entries := range slices.Chunk(o.Keys.Entries, keys.BatchSize) {
		s.Keys.PutAll(entries)
	}
	if o.log > 0 {
		s.Log = Ends{Next: logNext}
	}
	if o.dead > 0 {
		s.Dead = Ends{Next: deadNext}
	}
	s.rates.merge(&o.rates)
	s.Keys.Expire(event.PositionTime(s.Position))
}
