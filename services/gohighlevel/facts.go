package gohighlevel

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
)

// byID finds an event in the archive; *archive.Reader is one.
type byID interface {
	ByID(ctx context.Context, tenant, id string) (event.Recorded, error)
}

// factTimes tells when the fact happened that a command answers, however many rules lie between them. It remembers the events that were
// read last; the archive has those before. It is safe for concurrent use, and its zero value is ready.
type factTimes struct {
	archive byID // may be nil

	mu     sync.Mutex
	seed   maphash.Seed
	now    map[uint64]int64 // microseconds since 1970, by a hash of tenant and id
	before map[uint64]int64
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

// see remembers an event and returns the time of its fact.
func (f *factTimes) see(ctx context.Context, r *event.Recorded) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		f.seed, f.now = maphash.MakeSeed(), make(map[uint64]int64, remembered)
	}
	at, err := f.of(ctx, r, event.MaxHops+1)
	if err != nil {
		return at, err
	}
	if len(f.now) >= remembered {
		f.now, f.before = make(map[uint64]int64, remembered), f.now
	}
	f.now[f.hash(r.TenantID, r.ID)] = at.UnixMicro()
	return at, nil
}

func (f *factTimes) of(ctx context.Context, r *event.Recorded, hops int) (time.Time, error) {
	if !derived(r) {
		return happened(r), nil
	}
	key := f.hash(r.TenantID, r.CausationID)
	if us, is := f.now[key]; is {
		return time.UnixMicro(us).UTC(), nil
	}
	if us, is := f.before[key]; is {
		return time.UnixMicro(us).UTC(), nil
	}
	if f.archive == nil || hops == 0 {
		return happened(r), nil
	}
	cause, err := f.archive.ByID(ctx, r.TenantID, r.CausationID)
	switch {
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrDamaged):
		return happened(r), nil // its cause was recorded then, and did not happen later
	case err != nil:
		return time.Time{}, err
	}
	return f.of(ctx, &cause, hops-1)
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
