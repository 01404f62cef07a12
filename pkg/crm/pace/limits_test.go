package pace

import (
	"testing"
	"time"
)

func TestDailyPause_BeginsWhenOnlyTheReserveIsLeft(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		left, reserve int
		want          time.Duration
	}{
		{1001, 1000, 0}, {1000, 1000, 30 * time.Minute}, {999, 1000, 30 * time.Minute}, {0, 1000, 30 * time.Minute},
		{-1, 1000, 0}, // not known
		{1, 0, 0}, {0, 0, 30 * time.Minute},
	} {
		if got := (Limits{Daily: tc.left}).DailyPause(tc.reserve, noon); got != tc.want {
			t.Errorf("%d requests are left of which %d are for people: a pause of %s, want %s", tc.left, tc.reserve, got, tc.want)
		}
	}
	if got := (Limits{Daily: 0}).DailyPause(0, noon.Add(11*time.Hour+59*time.Minute).In(time.FixedZone("", 5*3600))); got != time.Minute {
		t.Errorf("a minute before midnight UTC, wherever the machine is: %s", got)
	}
}
