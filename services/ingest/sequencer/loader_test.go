package sequencer

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

func TestLoader_KeepsTheKeysOfAWindowLongerThanADay(t *testing.T) {
	s, _ := goldenState()
	const day = 24 * 60 * 60 * 1000
	s.keys = newWindow(7 * day * time.Millisecond)
	now := event.PositionTime(s.position)
	for i := range 5 * 1024 {
		s.keys.put(hashKey("acme", fmt.Sprint(i)), verdict{number: int64(i), ms: now - 6*day + int64(i)*60_000})
	}
	l := &loader{TopicID: s.topicID, Partition: 3, Window: 7 * day * time.Millisecond}
	for i, c := range snapshot(s) {
		if err := l.add(int64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if l.State.keys.len() != s.keys.len() {
		t.Fatalf("%d keys of %d", l.State.keys.len(), s.keys.len())
	}
}

func TestLoader_AsksForRoomBeforeItTakesMemory(t *testing.T) {
	s, _ := goldenState()
	for i := range 60_000 {
		s.keys.put(hashKey("acme", fmt.Sprint(i)), verdict{number: int64(i), ms: event.PositionTime(s.position)})
	}
	m := newKeyMemory(1 << 20)
	l := &loader{TopicID: s.topicID, Partition: 3, Room: func(w *window, n int) error { return m.restore(3, w, n) }}
	err := l.add(0, snapshot(s)[0])
	var full *fullError
	if !errors.As(err, &full) || l.fresh.keys.bytes() > 1<<20 {
		t.Fatalf("%v; took %d bytes", err, l.fresh.keys.bytes())
	}
}
