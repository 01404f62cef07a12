package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	aborted = "\x00\x00\x00\x00"
	commits = "\x00\x00\x00\x01"
)

func at(offset int64) *Record { return &Record{Offset: offset, Value: make([]byte, 8)} }

func mark(offset int64, key string) *Record {
	return &Record{Offset: offset, Key: []byte(key), Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true})}
}

// fetch is one fetched piece and what comes of it.
type fetch struct {
	recs   []*Record
	stable int64
	out    []int64
	again  bool
}

func TestStretch_HandsOnWhatIsExplainedAndFetchesTheRestAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fetches []fetch
		missed  int
	}{
		"no gap": {fetches: []fetch{{recs: []*Record{at(0), at(1), mark(2, commits), at(3)}, stable: 4, out: []int64{0, 1, 3}}}},
		"the batch begins before": {fetches: []fetch{
			{recs: []*Record{at(0), at(1)}, stable: 4, out: []int64{0, 1}},
			{recs: []*Record{at(1), at(2)}, stable: 4, out: []int64{2}},
		}},
		"aborted, with its end in the same piece": {fetches: []fetch{
			{recs: []*Record{at(0), at(3), mark(4, aborted), at(5)}, stable: 6, out: []int64{0, 3, 5}},
		}},
		"aborted, with its end in a later piece": {fetches: []fetch{
			{recs: []*Record{at(0), at(3)}, stable: 8, out: []int64{0}},
			{recs: []*Record{at(4)}, stable: 8},
			{recs: []*Record{mark(5, aborted), at(6)}, stable: 8, out: []int64{3, 4, 6}},
		}},
		"two aborted, one end behind both, one between": {fetches: []fetch{
			{recs: []*Record{at(1), mark(2, aborted), at(4)}, stable: 8, out: []int64{1}},
			{recs: []*Record{mark(5, aborted)}, stable: 8, out: []int64{4}},
		}},
		"left out, and there when fetched again": {missed: 2, fetches: []fetch{
			{recs: []*Record{at(0), at(3), mark(4, commits)}, stable: 5, out: []int64{0}, again: true},
			{recs: []*Record{at(1), at(2), at(3), mark(4, commits)}, stable: 5, out: []int64{1, 2, 3}},
		}},
		"aborted, and its end lies behind an open transaction": {fetches: []fetch{
			{recs: []*Record{at(0), at(3)}, stable: 4, out: []int64{0}, again: true},
			{recs: []*Record{at(3)}, stable: 4, out: []int64{3}},
			{recs: []*Record{at(4), mark(5, aborted)}, stable: 6, out: []int64{4}},
		}},
		"another gap behind the first": {missed: 1, fetches: []fetch{
			{recs: []*Record{at(5)}, stable: 6, again: true},
			{recs: []*Record{at(0), at(5)}, stable: 6, out: []int64{0}, again: true},
			{recs: []*Record{at(5)}, stable: 6, out: []int64{5}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := stretchFrom(0)
			missed := 0
			for i, f := range c.fetches {
				recs, again := s.take(nil, f.recs, f.stable)
				missed, s.missed = missed+s.missed, 0
				var out []int64
				for _, r := range recs {
					out = append(out, r.Offset)
				}
				if !slices.Equal(out, f.out) || again != f.again {
					t.Fatalf("fetch %d: %v again %v, want %v %v", i, out, again, f.out, f.again)
				}
			}
			if missed != c.missed {
				t.Errorf("%d records were missed, want %d", missed, c.missed)
			}
		})
	}
}

func TestStretch_HoldsNoMoreThanItMay(t *testing.T) {
	s := stretchFrom(0)
	for offset := int64(1); ; offset++ {
		r := at(offset)
		r.Value = make([]byte, 1<<20)
		if out, again := s.take(nil, []*Record{r}, 1000); again {
			if offset < 8 || offset > maxHeld>>20 || s.held != nil || s.seen != 0 {
				t.Errorf("given up with %d MiB held", offset)
			}
			return
		} else if len(out) > 0 || offset > 100 {
			t.Fatalf("%d records behind a gap were handed on", len(out))
		}
	}
}
