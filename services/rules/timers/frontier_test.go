package timers

import (
	"testing"
	"time"
)

func TestFrontier_IsTheTimeOfTheLastEndThatTheRulesPassed(t *testing.T) {
	at := &positions{log: 10, applied: 10}
	now := time.Date(2026, 3, 6, 9, 0, 0, 0, time.UTC)
	f := NewFrontier(at, NewClock(func() time.Time { return now }))
	look := func() {
		t.Helper()
		if err := f.Look(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := f.Through(3); known {
		t.Fatal("known before the first look")
	}
	look()
	first := now
	now = now.Add(time.Minute)
	at.log = 20 // the booking that disarms a timer is among them
	look()
	now = now.Add(time.Minute)
	at.log = 30
	look()
	if through, known := f.Through(3); !known || !through.Equal(first) {
		t.Fatalf("through %s, %v: the rules have applied nothing since %s", through, known, first)
	}
	at.applied = 20
	look()
	if through, _ := f.Through(3); !through.Equal(first.Add(time.Minute)) {
		t.Fatalf("through %s, want the time at which the end was 20", through)
	}
	if _, known := f.Through(4); known {
		t.Fatal("known of a partition that was not looked at")
	}
}

// A machine whose clock is behind would hold back what is due by the broker's.
func TestFrontier_IsATimeOfTheBrokersClockWhereThatIsLater(t *testing.T) {
	at := &positions{log: 10, applied: 10}
	now := time.Date(2026, 3, 6, 9, 0, 0, 0, time.UTC)
	clock := NewClock(func() time.Time { return now })
	f := NewFrontier(at, clock)
	clock.Read(3, now.Add(time.Hour))
	if err := f.Look(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if through, known := f.Through(3); !known || !through.Equal(now.Add(time.Hour)) {
		t.Errorf("through %s, %v, want %s", through, known, now.Add(time.Hour))
	}
}
