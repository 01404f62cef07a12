package timers

import (
	"context"
	"sync"
	"time"
)

// Frontier finds out up to when the rules have applied the log. A timer that is due after that may still be disarmed by what the log holds already, such
// as the booking that ends its instance, so it waits. In a process that keeps up that is less than two looks behind now.
type Frontier struct {
	at    Positions
	clock *Clock

	mu    sync.Mutex
	parts map[int32]*front
}

// front is the end of a partition's log, noted at a time, that the rules have not passed yet, and the time of the last one that they have.
type front struct {
	end     int64
	noted   time.Time
	through time.Time
	have    bool
}

// NewFrontier makes one that knows nothing yet. clock is the one that timers are due by; nil: the machine's.
func NewFrontier(at Positions, clock *Clock) *Frontier {
	if clock == nil {
		clock = NewClock(nil)
	}
	return &Frontier{at: at, clock: clock, parts: map[int32]*front{}}
}

// Look asks once how far the rules are with some partitions. What was found out stays right while another process owns one: the rules only go on.
func (f *Frontier) Look(ctx context.Context, partitions ...int32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range partitions {
		x := f.parts[p]
		if x == nil {
			x = &front{}
			f.parts[p] = x
		}
		if !x.have {
			noted := f.clock.Latest(p) // before the end is asked for: what is appended meanwhile is later
			end, err := f.at.LogEnd(ctx, p)
			if err != nil {
				return err
			}
			x.end, x.noted, x.have = end, noted, true
		}
		passed, err := f.at.Applied(ctx, p, x.end)
		if err != nil {
			return err
		}
		if passed {
			x.through, x.have = x.noted, false
		}
	}
	return nil
}

// Through is the time up to which the rules have applied the log of a partition; false: not known yet.
func (f *Frontier) Through(p int32) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.parts[p]
	if x == nil || x.through.IsZero() {
		return time.Time{}, false
	}
	return x.through, true
}
