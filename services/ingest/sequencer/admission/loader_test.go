package admission

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

func TestLoader_KeepsTheKeysOfAWindowLongerThanADay(t *testing.T) {
	s, _ := goldenState()
	const day = 24 * 60 * 60 * 1000
	s.Keys = keys.NewWindow(7 * day * time.Millisecond)
	now := event.PositionTime(s.Position)
	for i := range 5 * 1024 {
		s.Keys.Put(keys.HashOf("acme", fmt.Sprint(i)), keys.Verdict{Number: int64(i), MS: now - 6*day + int64(i)*60_000})
	}
	l := &Loader{TopicID: s.topicID, Partition: 3, Window: 7 * day * time.Millisecond}
	for i, c := range Snapshot(s) {
		if err := l.Add(int64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if l.State.Keys.Len() != s.Keys.Len() {
		t.Fatalf("%d keys of %d", l.State.Keys.Len(), s.Keys.Len())
	}
}

func TestLoader_AsksForRoomBeforeItTakesMemory(t *testing.T) {
	s, _ := goldenState()
	for i := range 60_000 {
		s.Keys.Put(keys.HashOf("acme", fmt.Sprint(i)), keys.Verdict{Number: int64(i), MS: event.PositionTime(s.Position)})
	}
	m := keys.NewMemory(1 << 20)
	l := &Loader{TopicID: s.topicID, Partition: 3, Room: func(w *keys.Window, n int) error { return m.Restore(3, w, n) }}
	err := l.Add(0, Snapshot(s)[0])
	var full *keys.FullError
	if !errors.As(err, &full) || l.fresh.Keys.Bytes() > 1<<20 {
		t.Fatalf("%v; took %d bytes", err, l.fresh.Keys.Bytes())
	}
}
