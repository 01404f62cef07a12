package stream

import (
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func TestRecent_KeepsABoundedNumberOfBytes(t *testing.T) {
	var r Recent
	big := func(from int64, n int) []event.Recorded {
		events := stretch("a", from, from+int64(n)-1)
		for i := range events {
			events[i].Value = make([]byte, 1<<20)
		}
		return events
	}
	for i := range 30 {
		tenant := string(rune('a' + i))
		r.Keep(tenant, big(1, 10))
		r.Keep(tenant, big(11, 3))
		if got := r.events[tenant]; len(got) > 4 || (len(got) > 0 && got[len(got)-1].Sequence != 13) {
			t.Fatalf("%d events of 1 MiB kept", len(got))
		}
	}
	if r.bytes > recentAll || r.bytes < recentAll-recentBytes {
		t.Errorf("%d bytes in all", r.bytes)
	}
	for i := range 30 {
		r.Trim(string(rune('a'+i)), 13)
	}
	if r.bytes != 0 || len(r.events) != 0 {
		t.Errorf("%d bytes and %d tenants after all caught up", r.bytes, len(r.events))
	}
}

func TestRecent_GivesEachKeyItsOwnEventsFromASequenceOn(t *testing.T) {
	var r Recent
	r.Keep("main", stretch("a", 3, 9))
	r.Keep("main", stretch("a", 8, 12)) // a batch that is taken again
	r.Keep("control", stretch("a", 5, 6))
	for _, c := range []struct {
		key   string
		from  int64
		limit int
		want  []int64
	}{
		{"main", 10, 9, []int64{10, 11, 12}}, {"main", 3, 2, []int64{3, 4}}, {"main", 1, 2, []int64{3, 4}}, {"main", 13, 5, nil},
		{"control", 5, 9, []int64{5, 6}}, {"other", 1, 9, nil},
	} {
		events, err := r.Of(c.key).Events(t.Context(), "a", c.from, c.limit)
		if err != nil || !slices.Equal(sequences(events), c.want) {
			t.Errorf("%s from %d, at most %d: %v, %v, want %v", c.key, c.from, c.limit, sequences(events), err, c.want)
		}
	}
	r.Trim("main", 11)
	if events, _ := r.Of("main").Events(t.Context(), "a", 12, 1); len(events) != 1 {
		t.Error("an event beyond the reader was forgotten")
	}
}
