package pace

import (
	"testing"
	"time"
)

func TestBackoff_GrowsAndStaysBounded(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 50: 5 * time.Minute} {
		if low, high := Backoff(n, 0), Backoff(n, 0.999999); low != want/2 || high > want || high < low {
			t.Fatalf("%d: %s to %s", n, low, high)
		}
	}
}

func TestBreaker_OpensAfterFiveFailuresAndLetsOneProbeThrough(t *testing.T) {
	now := time.Now()
	var b Breaker
	for range breakAfter {
		if !b.Allow(now) {
			t.Fatal("closed breaker refuses")
		}
		b.Report(true, now)
	}
	if b.Allow(now) || !b.Open() {
		t.Fatal("not open")
	}
	now = now.Add(15 * time.Second)
	if !b.Allow(now) || b.Allow(now) {
		t.Fatal("not exactly one probe")
	}
	b.Cancel()
	if !b.Allow(now) {
		t.Fatal("a probe that was not sent is lost")
	}
	b.Report(true, now)
	if b.Allow(now.Add(29 * time.Second)) {
		t.Fatal("the second pause is not longer")
	}
	if now = now.Add(30 * time.Second); !b.Allow(now) {
		t.Fatal("no second probe")
	}
	b.Report(false, now)
	if b.Open() || !b.Allow(now) || !b.Allow(now) {
		t.Fatal("not closed again")
	}
}

func TestBreaker_PausesDoubleUpToFiveMinutes(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var b Breaker
	for range breakAfter {
		b.Report(true, now)
	}
	for i, want := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if b.Allow(now.Add(want - 1)) {
			t.Fatalf("pause %d is shorter than %s", i+1, want)
		}
		if now = now.Add(want); !b.Allow(now) {
			t.Fatalf("pause %d is longer than %s", i+1, want)
		}
		b.Report(true, now)
	}
	for range 1000 { // a day and more of failing probes
		if b.Allow(now.Add(5*time.Minute - 1)) {
			t.Fatal("a pause fell below 5 minutes")
		}
		if now = now.Add(5 * time.Minute); !b.Allow(now) {
			t.Fatal("a pause grew beyond 5 minutes")
		}
		b.Report(true, now)
	}
}
