package app

import (
	"fmt"
	"slices"
	"time"
)

const (
	// LossMemory is how long a process remembers that it had lost a dependency, and FlapWindow the time within which it is called
	// flapping when it lost the same one at least twice, as the alert NeuronXReadinessFlaps does.
	LossMemory = 10 * time.Minute
	FlapWindow = time.Minute

	maxLosses = 200 // kept of one component; every one takes Grace, so it holds LossMemory
)

// Losses counts how often, within LossMemory, a process lost a dependency for at least Grace and got it back. Readiness may have been
// ok in between, and may be ok now.
type Losses struct {
	Times    int       `json:"times"`
	Recent   int       `json:"recent"`  // of these, those that were over within FlapWindow
	Seconds  float64   `json:"seconds"` // all of them together
	Since    time.Time `json:"since"`   // of the last one: of its first failure
	Until    time.Time `json:"until"`   // of the last one
	Reason   string    `json:"reason"`  // of the last one
	Flapping bool      `json:"flapping"`
}

// String says how often and how long, and why last.
func (l *Losses) String() string {
	lost := "once"
	if l.Times != 1 {
		lost = fmt.Sprintf("%d times", l.Times)
	}
	last := ", from "
	if l.Times > 1 {
		last = " in all, last from "
	}
	return fmt.Sprintf("lost %s in the last %d minutes for %.0f s%s%s to %s: %s", lost, int(LossMemory.Minutes()), l.Seconds, last,
		l.Since.UTC().Format("15:04:05"), l.Until.UTC().Format("15:04:05 MST"), l.Reason)
}

// dependency reports whether a component is something that the process needs from others. What it says of itself, such as that it
// starts, is no loss.
func dependency(component string) bool {
	return component == ComponentPostgres || component == ComponentKafka || component == ComponentRegistry
}

// history is how often a component stopped being ready, and when it was not.
type history struct {
	total int
	open  *spell  // that lasts
	over  []spell // the last ones, oldest first; of dependencies only
}

type spell struct {
	since, until time.Time
	reason       string
}

// note takes how the component is now: worst is what has kept it from being ready for longest, nil if it is ready.
func (h *history) note(component string, worst *activity, now time.Time) {
	switch {
	case worst != nil && h.open == nil:
		h.total++
		h.open = &spell{since: worst.since, reason: worst.reason}
	case worst != nil:
		h.open.reason = worst.reason
	case h.open != nil:
		if dependency(component) {
			h.open.until = now
			h.forget(now)
			h.over = append(h.over, *h.open)
		}
		h.open = nil
	}
}

// forget drops what is older than LossMemory, and the oldest beyond maxLosses.
func (h *history) forget(now time.Time) {
	h.over = slices.DeleteFunc(h.over, func(s spell) bool { return now.Sub(s.until) >= LossMemory })
	if n := len(h.over); n >= maxLosses {
		h.over = slices.Delete(h.over, 0, n-maxLosses+1)
	}
}

// losses is nil where nothing was lost within LossMemory.
func (h *history) losses(now time.Time) *Losses {
	var out Losses
	for _, s := range h.over {
		if now.Sub(s.until) >= LossMemory {
			continue
		}
		out.Times++
		if now.Sub(s.until) < FlapWindow {
			out.Recent++
		}
		out.Seconds += s.until.Sub(s.since).Seconds()
		out.Since, out.Until, out.Reason = s.since, s.until, s.reason
	}
	if out.Times == 0 {
		return nil
	}
	out.Flapping = out.Recent > 1
	return &out
}
