package workflows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/neuronx/engine/services/rules/advance"
)

// Workflows that lead back to their own start are not cut by hops, which end at a timer. What holds them is how many more instances of a circle
// were started by derived events within an hour than a timer has resumed: a loop through waits that emits more than one event a round outgrows it.
const (
	maxCyclic  = 1_000 // starts of a circle in a sliding hour, less its instances that a timer resumed in it
	maxRefused = 50    // starts that were refused for it in a sliding hour: then the workflow is off until a person resets it
)

// starts counts, by minute of position time, of the last hour.
type starts struct {
	Minutes []minute `json:"minutes,omitzero"`
}

type minute struct {
	At      int64 `json:"at"`
	Started int64 `json:"started,omitzero"` // by derived events
	Resumed int64 `json:"resumed,omitzero"` // instances that a timer resumed for the first time
	Refused int64 `json:"refused,omitzero"`
}

// in gives the counts of a minute, and forgets those older than an hour.
func (s *starts) in(now time.Time) *minute {
	at := now.Unix() / 60
	s.Minutes = slices.DeleteFunc(s.Minutes, func(m minute) bool { return m.At <= at-hour })
	for i := range s.Minutes {
		if s.Minutes[i].At == at {
			return &s.Minutes[i]
		}
	}
	s.Minutes = append(s.Minutes, minute{At: at})
	return &s.Minutes[len(s.Minutes)-1]
}

// sums adds up the hour before now.
func (s *starts) sums(now time.Time) (ahead, refused int64) {
	for _, m := range s.Minutes {
		if m.At > now.Unix()/60-hour {
			ahead += m.Started - m.Resumed
			refused += m.Refused
		}
	}
	return ahead, refused
}

// circle is the workflows of the circle that a workflow is in; none: it is in none.
func (f *Fold) circle(ctx context.Context, workflow string) ([]string, error) {
	all, err := named[map[string][]string](ctx, f, KindStarts, "")
	return all[workflow], err
}

// count changes the counts of a workflow that is in a circle.
func (f *Fold) count(ctx context.Context, workflow string, now time.Time, change func(m *minute)) error {
	circle, err := f.circle(ctx, workflow)
	if err != nil || circle == nil {
		return err
	}
	s, err := named[starts](ctx, f, KindStarts, workflow)
	if err != nil {
		return err
	}
	change(s.in(now))
	return putNamed(f, KindStarts, workflow, s)
}

// noteStart counts a start that a derived event caused. Facts from outside, however many, are no circle.
func (f *Fold) noteStart(ctx context.Context, workflow string, in Input, now time.Time) error {
	if in.Event.Hops == 0 {
		return nil
	}
	return f.count(ctx, workflow, now, func(m *minute) { m.Started++ })
}

func (f *Fold) noteResumed(ctx context.Context, workflow string, now time.Time) error {
	return f.count(ctx, workflow, now, func(m *minute) { m.Resumed++ })
}

// tooOften reports whether a start by a derived event is one too many of its circle.
func (f *Fold) tooOften(ctx context.Context, workflow string, in Input, now time.Time) (bool, error) {
	if in.Event.Hops == 0 {
		return false, nil
	}
	circle, err := f.circle(ctx, workflow)
	if err != nil {
		return false, err
	}
	sum := int64(0)
	for _, name := range circle {
		s, err := named[starts](ctx, f, KindStarts, name)
		if err != nil {
			return false, err
		}
		ahead, _ := s.sums(now)
		sum += ahead
	}
	return sum >= maxCyclic, nil
}

// noteRefused counts a start that was one too many, and trips the workflow when there are many.
func (f *Fold) noteRefused(ctx context.Context, workflow string, in Input) error {
	now := positionTime(&in.Event)
	if err := f.count(ctx, workflow, now, func(m *minute) { m.Refused++ }); err != nil {
		return err
	}
	s, err := named[starts](ctx, f, KindStarts, workflow)
	if err != nil {
		return err
	}
	if _, refused := s.sums(now); refused < maxRefused {
		return nil
	}
	return f.trip(ctx, workflow, in, advance.RejectRate,
		fmt.Sprintf("workflows that start each other started %d times more within an hour than timers resumed them, and %d starts were refused; does the workflow start itself?", maxCyclic, maxRefused))
}
