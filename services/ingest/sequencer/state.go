package sequencer

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// status of a tenant, as folded from its own control events.
type status byte

const (
	statusActive    status = 1
	statusSuspended status = 2
)

// counts is the ledger of a tenant: every ingress record at its first touch is in exactly one of them.
type counts struct {
	Admitted, Duplicates, Refused, Forwarded, Ignored int64
}

func (c counts) plus(d counts) counts {
	return counts{
		Admitted: c.Admitted + d.Admitted, Duplicates: c.Duplicates + d.Duplicates, Refused: c.Refused + d.Refused,
		Forwarded: c.Forwarded + d.Forwarded, Ignored: c.Ignored + d.Ignored,
	}
}

// tenant is what the sequencer knows of one tenant.
type tenant struct {
	status   status // 0: not created; only the ledger is kept
	sequence int64  // of the last admitted event
	derivers map[string]int64
	counts   counts
}

func (t *tenant) clone() *tenant {
	c := *t
	c.derivers = maps.Clone(t.derivers)
	return &c
}

// nobody is the ledger entry for records whose tenant is unreadable or unknown; one entry for all, so that invented tenant names
// can't grow the state.
const nobody = ""

// ends says where the outputs of a partition stood before a transaction and how many data records it wrote there. Reading a topic
// committed from Next must give exactly Count records: that is how a restore finds a torn log.
type ends struct {
	Next, Count int64
}

// State is all that admission depends on, for one ingress partition: what the records of neuronx.sequencer.state say. It is built
// again at every assignment and owned by one goroutine. Only merge changes it.
type State struct {
	topicID   [16]byte // of neuronx.ingress
	partition int32
	logID     string
	next      int64 // ingress offset of the next record to judge
	position  int64 // of the last admitted event of the log partition
	log, dead ends
	tenants   map[string]*tenant
	keys      *window
	rates     *rates // working state, not restored
	factor    uint64 // of the tables of keys of its transactions
}

// What a part of the state record of a transaction takes at most, in bytes, besides its name (see package statelog).
const (
	maxTenantBytes  = 1 + 1 + 7*binary.MaxVarintLen64
	maxDeriverBytes = 1 + binary.MaxVarintLen64
	maxKeyBytes     = 12 + 4 + 1 + 2*binary.MaxVarintLen64
)

// newState is that of a partition of which nothing is known. keyWindow is how long keys are remembered; 0: KeyWindow.
func newState(topicID [16]byte, partition int32, logID string, keyWindow time.Duration) *State {
	return &State{topicID: topicID, partition: partition, logID: logID, tenants: map[string]*tenant{}, keys: newWindow(keyWindow), rates: newRates(), factor: rand.Uint64()}
}

// overlay is the staging of one transaction over a State, which it never changes: dropping the overlay drops the work. Under it may lie
// that of a transaction that is being committed: what is staged then stands only if that one is committed first.
type overlay struct {
	base     *State
	under    *overlay // nil once it is merged
	from     int64    // ingress offset of the first record to judge
	next     int64
	position int64
	tenants  map[string]*tenant
	keys     keyTable
	size     int   // what its delta takes at most, in bytes
	log      int64 // data records staged for the log
	dead     int64 // and for the dead letters
	rates    rateStage

	lastID string  // of the tenant that was looked at last,
	last   *tenant // and its copy in tenants; nil: none
}

// newOverlay begins a transaction of at most n records over s, and over one that is not merged yet; nil: there is none.
func newOverlay(s *State, under *overlay, n int) *overlay {
	o := &overlay{
		base: s, under: under, from: s.next, position: s.position,
		tenants: map[string]*tenant{}, keys: newKeyTable(n, s.factor),
	}
	if under != nil {
		o.from, o.position = under.next, under.position
	}
	o.next = o.from
	return o
}

// settle is called when what lay under it is merged.
func (o *overlay) settle() { o.under = nil }

// below looks a tenant up as it was before this transaction.
func (o *overlay) below(id string) *tenant {
	if o.under != nil {
		if t := o.under.tenants[id]; t != nil {
			return t
		}
	}
	return o.base.tenants[id]
}

// tenant looks a tenant up; nil is unknown.
func (o *overlay) tenant(id string) *tenant {
	t := o.own(id)
	if t == nil {
		t = o.below(id)
	}
	if t == nil || t.status == 0 {
		return nil
	}
	return t
}

// own looks up the overlay's own copy of a tenant; nil: there is none.
func (o *overlay) own(id string) *tenant {
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
func (o *overlay) edit(id string) *tenant {
	if t := o.own(id); t != nil {
		return t
	}
	t := &tenant{}
	if b := o.below(id); b != nil {
		t = b.clone()
	}
	o.tenants[strings.Clone(id)] = t
	o.size += maxTenantBytes + len(id)
	for d := range t.derivers {
		o.size += maxDeriverBytes + len(d)
	}
	return t
}

// key looks a key up that has not expired at ms.
func (o *overlay) key(h keyHash, ms int64) (verdict, bool) {
	v, ok := o.keys.get(h)
	if !ok && o.under != nil {
		v, ok = o.under.keys.get(h)
	}
	if !ok {
		v, ok = o.base.keys.get(h)
	}
	return v, ok && !o.base.keys.expired(v, ms)
}

func (o *overlay) put(h keyHash, v verdict) {
	o.keys.put(h, v)
	o.size += maxKeyBytes // a key that is put again is counted again
}

// merge makes the staged work the state. logNext and deadNext are the offsets after the last acknowledged data record of this
// transaction; they are ignored where it wrote none.
func (s *State) merge(o *overlay, logNext, deadNext int64) {
	s.next, s.position = o.next, o.position
	maps.Copy(s.tenants, o.tenants)
	for entries := range slices.Chunk(o.keys.entries, keyBatch) {
		s.keys.putAll(entries)
	}
	if o.log > 0 {
		s.log = ends{Next: logNext}
	}
	if o.dead > 0 {
		s.dead = ends{Next: deadNext}
	}
	s.rates.merge(&o.rates)
	s.keys.expire(event.PositionTime(s.position))
}
