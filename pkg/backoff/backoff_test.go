package backoff

import (
	"math"
	"testing"
	"time"
)

func TestDoubling_DoublesUpToTheMost(t *testing.T) {
	for attempt, want := range map[int]time.Duration{-1: 100, 0: 100, 1: 200, 2: 400, 5: 3200, 6: 5000, 7: 5000, 1000: 5000, math.MaxInt: 5000} {
		if got := Doubling(100*time.Millisecond, 5*time.Second, attempt); got != want*time.Millisecond {
			t.Errorf("after attempt %d: %s, want %s", attempt, got, want*time.Millisecond)
		}
	}
}

func TestDoubling_IsNeverLongerThanTheMost(t *testing.T) {
	if got := Doubling(time.Minute, time.Second, 0); got != time.Second {
		t.Errorf("%s, want 1s", got)
	}
}
