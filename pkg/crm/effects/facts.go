package effects

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
)

// byID finds an event in the archive; *archive.Reader is one.
type byID interface {
	ByID(ctx context.Context, tenant, id string) (event.Recorded, error)
}

// factTimes finds when the fact happened that a command answers, however many rules lie between them. It remembers the events that were
// read last and looks older ones up in the archive, but for commands only: a batch of all tenants waits for the answer, and a tenant whose
// rules lag derives thousands of events whose causes are no longer remembered. It is safe for concurrent use, and its zero value is ready.
type factTimes struct {
	archive byID // may be nil

	mu     sync.Mutex
	seed   maphash.Seed
	now    map[uint64]origin // by a hash of tenant and id
	before map[uint64]origin
}

// origin is what an event tells about its fact.
type origin struct {
	at    int64  // microseconds since 1970: when the fact happened, or, with a cause, the latest that it can have
	cause string // id of the event that knows more and was not remembered; empty: none does
}

// remembered is how many events each of the two maps holds: a command comes within seconds of its cause.
const remembered = 1 << 14

func (f *factTimes) hash(tenant, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	_, _ = h.WriteString(tenant)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(id)
	return h.Sum64()
}

// see remembers an event.
func (f *factTimes) see(r *event.Recorded) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(r.TenantID, r.ID, f.known(r))
}

// of returns the time of the fact that an event answers.
func (f *factTimes) of(ctx context.Context, r *event.Recorded) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.known(r)
	for hops := event.MaxHops + 1; o.cause != "" && f.archive != nil && hops > 0; hops-- {
		cause, err := f.archive.ByID(ctx, r.TenantID, o.cause)
		if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrDamaged) {
			break // it was recorded then, and did not happen later
		}
		if err != nil {
			return time.Time{}, err
		}
		o = f.known(&cause)
	}
	o.cause = ""
	f.keep(r.TenantID, r.ID, o)
	if r.CausationID != "" && derived(r) {
		f.keep(r.TenantID, r.CausationID, o) // its other commands answer the same fact
	}
	return time.UnixMicro(o.at).UTC(), nil
}

func (f *factTimes) keep(tenant, id string, o origin) {
	if f.now == nil {
		f.seed, f.now = maphash.MakeSeed(), make(map[uint64]origin, remembered)
	}
	if len(f.now) >= remembered {
		f.now, f.before = make(map[uint64]origin, remembered), f.now
	}
	f.now[f.hash(tenant, id)] = o
}

// known is what is known of an event's fact without the archive.
func (f *factTimes) known(r *event.Recorded) origin {
	if !derived(r) {
		return origin{at: happened(r).UnixMicro()}
	}
	if f.now != nil {
		key := f.hash(r.TenantID, r.CausationID)
		if o, is := f.now[key]; is {
			return o
		}
		if o, is := f.before[key]; is {
			return o
		}
	}
	return origin{at: happened(r).UnixMicro(), cause: strings.Clone(r.CausationID)}
}

// derived reports whether an event answers another one of the log. What is sent again in place of a dead letter has a cause that is not
// in the log, and keeps its own time.
func derived(r *event.Recorded) bool {
	return r.CausationID != "" && r.Deriver != "" && r.Deriver != "deadletter"
}

// happened is when a fact happened, as the read models count it: none after it was recorded.
func happened(r *event.Recorded) time.Time {
	if r.Time.IsZero() || r.Time.After(r.RecordedTime) {
		return r.RecordedTime
	}
	return r.Time
}
