package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// stretch makes the events of a tenant with the sequences from to through.
func stretch(tenant string, from, through int64) (events []event.Recorded) {
	for s := from; s <= through; s++ {
		events = append(events, event.Recorded{Event: event.Event{TenantID: tenant, ID: fmt.Sprint(tenant, s)}, Sequence: s})
	}
	return events
}

func sequences(events []event.Recorded) (out []int64) {
	for i := range events {
		out = append(out, events[i].Sequence)
	}
	return out
}

// some is a source with these events, at most page of them at once.
type some struct {
	events []event.Recorded
	page   int
}

func (s some) Events(_ context.Context, _ string, from int64, limit int) ([]event.Recorded, error) {
	start := slices.IndexFunc(s.events, func(e event.Recorded) bool { return e.Sequence >= from })
	if start < 0 {
		return nil, nil
	}
	return s.events[start:min(len(s.events), start+min(limit, s.page))], nil
}

// raw gives the same events whatever is asked for.
type raw []event.Recorded

func (r raw) Events(context.Context, string, int64, int) ([]event.Recorded, error) { return r, nil }

type broken struct{ err error }

func (b broken) Events(context.Context, string, int64, int) ([]event.Recorded, error) {
	return nil, b.err
}

// isAt checks that err says the kind, the tenant and the sequence.
func isAt(t *testing.T, err error, kind error, tenant string, sequence int64) {
	t.Helper()
	var at *Error
	if !errors.As(err, &at) || !errors.Is(err, kind) || at.Tenant != tenant || at.Sequence != sequence {
		t.Errorf("%v, want %v at %s/%d", err, kind, tenant, sequence)
	}
}

// Any cut of a stream into sources that overlap, have holes of their own and stand in any order is the stream itself, as long as each
// sequence is in one of them. The first sequence that is in none is where the fold ends, and is named: as a gap if any source has a later
// one, else as the end.
func TestFold_OverAChainIsTheStreamUpToTheFirstSequenceThatNoSourceHas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[error]int{}
	for round := range 2000 {
		n := 1 + rng.Int64N(60)
		all := stretch("a", 1, n)
		chain := Chain{}
		held := map[int64]bool{}
		for range 1 + rng.IntN(4) {
			s := some{page: 1 + rng.IntN(9)}
			for from := 1 + rng.Int64N(n); from <= n; from += 2 + rng.Int64N(20) { // stretches with holes between them
				for _, e := range all[from-1 : min(n, from+rng.Int64N(30))] {
					if k := len(s.events); k == 0 || s.events[k-1].Sequence < e.Sequence {
						s.events, held[e.Sequence] = append(s.events, e), true
					}
				}
			}
			chain = append(chain, s)
		}
		if rng.IntN(2) == 0 {
			chain = append(chain, some{events: all[:rng.Int64N(n+1)], page: 7})
			for _, e := range chain[len(chain)-1].(some).events { //nolint:errcheck // it is one
				held[e.Sequence] = true
			}
		}
		from := 1 + rng.Int64N(n)
		through := from + rng.Int64N(n-from+3) - 1 // an empty range, and one beyond the end, too
		end := from
		for end <= through && held[end] {
			end++
		}
		var got []int64
		err := Fold(t.Context(), chain, "a", from, through, func(e *event.Recorded) error { got = append(got, e.Sequence); return nil })
		if want := sequences(stretch("a", from, end-1)); !slices.Equal(got, want) {
			t.Fatalf("round %d: folded %v, want %v", round, got, want)
		}
		kind := error(nil)
		if end <= through {
			kind = ErrEnded
			for s := range held {
				if s > end {
					kind = ErrGap
				}
			}
			isAt(t, err, kind, "a", end)
		} else if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		kinds[kind]++
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if kinds[nil] < 100 || kinds[ErrGap] < 100 || kinds[ErrEnded] < 100 {
		t.Errorf("the rounds were too much alike: %v", kinds)
	}
}

func TestFold_IncludesBothBounds(t *testing.T) {
	source := some{stretch("a", 1, 2000), 10_000}
	for _, c := range [][2]int64{{1, 1}, {1, 2000}, {7, 8}, {500, 1001}, {3, 2}} {
		var got []int64
		if err := Fold(t.Context(), source, "a", c[0], c[1], func(e *event.Recorded) error { got = append(got, e.Sequence); return nil }); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		if want := sequences(stretch("a", c[0], c[1])); !slices.Equal(got, want) {
			t.Errorf("%v: %d events, want %d", c, len(got), len(want))
		}
	}
	if err := Fold(t.Context(), source, "a", 0, 5, nil); err == nil {
		t.Error("a fold from sequence 0 was begun")
	}
	n := 0
	isAt(t, Fold(t.Context(), source, "a", 1, Open, func(*event.Recorded) error { n++; return nil }), ErrEnded, "a", 2001)
	if n != 2000 {
		t.Errorf("%d events to the open end, want 2000", n)
	}
}

func TestFold_PassesNothingOnFromAPageWithARepeatedOrForeignEvent(t *testing.T) {
	foreign := append(stretch("a", 1, 2), stretch("b", 3, 3)...)
	for name, c := range map[string]struct {
		source raw
		kind   error
		at     int64
	}{
		"repeated":          {append(stretch("a", 1, 3), stretch("a", 3, 4)...), ErrRepeated, 4},
		"going back":        {append(stretch("a", 1, 5), stretch("a", 1, 5)...), ErrRepeated, 6},
		"before the bound":  {stretch("a", 0, 4), ErrRepeated, 1},
		"of another tenant": {foreign, ErrForeign, 3},
	} {
		called := false
		err := Fold(t.Context(), c.source, "a", 1, 9, func(*event.Recorded) error { called = true; return nil })
		if t.Run(name, func(t *testing.T) { isAt(t, err, c.kind, "a", c.at) }); called {
			t.Errorf("%s: events of the page were passed on", name)
		}
	}
}

func TestFold_EndsWithItsContextAndWithErrorsAsTheyAre(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := Fold(ctx, some{stretch("a", 1, 100), 100}, "a", 1, 100, func(*event.Recorded) error {
		if n++; n == 42 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n != 42 {
		t.Errorf("%d events after the cancel at 42: %v", n, err)
	}
	own := errors.New("own")
	if err := Fold(t.Context(), some{stretch("a", 1, 9), 9}, "a", 1, 9, func(*event.Recorded) error { return own }); err != own { //nolint:errorlint // the error itself
		t.Errorf("fn's error came out as %v", err)
	}
	// A source that fails is no source that lacks events: the next one must not hide it.
	if err := Fold(t.Context(), Chain{some{}, broken{own}, some{stretch("a", 1, 9), 9}}, "a", 1, 9, nil); err != own { //nolint:errorlint // the error itself
		t.Errorf("a source's error came out as %v", err)
	}
}

func TestNext_CutsAtTheFirstHole(t *testing.T) {
	with := func(sequences ...int64) (events []event.Recorded) {
		for _, s := range sequences {
			events = append(events, stretch("a", s, s)...)
		}
		return events
	}
	for _, c := range []struct {
		events []event.Recorded
		from   int64
		want   int
		gap    bool
	}{
		{with(1, 2, 3), 1, 3, false}, {with(1, 2, 3), 3, 1, false}, {with(1, 2, 4), 1, 2, false}, {with(2, 3), 1, 0, true}, {with(1, 2), 3, 0, false}, {nil, 1, 0, false},
	} {
		got, err := Next(t.Context(), some{c.events, 9}, "a", c.from, 9)
		if len(got) != c.want || errors.Is(err, ErrGap) != c.gap || (err != nil) != c.gap {
			t.Errorf("of %d events from %d on: %d, %v, want %d", len(c.events), c.from, len(got), err, c.want)
		}
	}
}

// log is a partition with the events of two tenants in which sequence 4 of a was lost and 6 stands twice.
func log(read *int) Log {
	return func(_ context.Context, fn func(*event.Recorded) error) error {
		for _, e := range slices.Concat(stretch("b", 1, 2), stretch("a", 1, 3), stretch("b", 3, 3), stretch("a", 5, 6), stretch("a", 6, 8)) {
			*read++
			if err := fn(&e); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestLog_GivesOneTenantsEventsUpToTheFirstThatDoesNotFollow(t *testing.T) {
	for _, c := range []struct {
		from  int64
		limit int
		want  []int64
		reads int
	}{
		{1, 9, []int64{1, 2, 3}, 7}, {2, 1, []int64{2}, 4}, {5, 9, []int64{5, 6}, 9}, {7, 9, []int64{7, 8}, 11}, {9, 9, nil, 11},
	} {
		read := 0
		got, err := Next(t.Context(), log(&read), "a", c.from, c.limit)
		if err != nil || !slices.Equal(sequences(got), c.want) || read != c.reads {
			t.Errorf("from %d, at most %d: %v after %d records, %v, want %v after %d", c.from, c.limit, sequences(got), read, err, c.want, c.reads)
		}
	}
	read := 0
	_, err := Next(t.Context(), log(&read), "a", 4, 9)
	isAt(t, err, ErrGap, "a", 4)
	failed := errors.New("away")
	if _, err := Next(t.Context(), Log(func(context.Context, func(*event.Recorded) error) error { return failed }), "a", 1, 1); !errors.Is(err, failed) {
		t.Errorf("a log that could not be read: %v", err)
	}
}
