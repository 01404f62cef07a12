package read

import (
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
)

func TestGaps_AreWhatRecordsLeaveOut(t *testing.T) {
	for name, c := range map[string]struct {
		next    int64
		offsets []int64
		want    []span
	}{
		"nothing":          {next: 3},
		"none":             {next: 3, offsets: []int64{3, 4, 5}},
		"at the beginning": {next: 3, offsets: []int64{5, 6}, want: []span{{3, 5}}},
		"in between":       {next: 3, offsets: []int64{3, 5, 6, 9}, want: []span{{4, 5}, {7, 9}}},
	} {
		var recs []*kafka.Record
		for _, o := range c.offsets {
			recs = append(recs, &kafka.Record{Offset: o})
		}
		if got := gaps(c.next, recs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
