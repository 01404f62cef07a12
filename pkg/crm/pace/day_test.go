package pace

import (
	"testing"
	"time"
)

// spend notes answers once a minute, each with so many requests less.
func spend(d *Day, left, perMinute int, from time.Time, minutes int) (int, time.Time) {
	for range minutes {
		from = from.Add(time.Minute)
		left -= perMinute
		d.Learn(left, from)
	}
	return left, from
}

func TestDay_ForecastsFromTheLastHourAndWhatIsPending(t *testing.T) {
	const perSecond = 10.0
	var d Day
	if _, known := d.Exhausted(1000, 0, perSecond, epoch); known {
		t.Error("no answer told what is left, and the end is forecast")
	}
	d.Learn(61_000, epoch)
	if _, known := d.Exhausted(1000, 0, perSecond, epoch.Add(time.Minute)); known {
		t.Error("one answer gives a rate")
	}
	left, now := spend(&d, 61_000, 500, epoch, 60) // 31,000 are left
	check := func(what string, reserve, pending int, want time.Duration) {
		t.Helper()
		got, known := d.Exhausted(reserve, pending, perSecond, now)
		if known != (want >= 0) || known && (got-want).Abs() > want/20 {
			t.Errorf("%s: %s, known %v; want %s", what, got, known, want)
		}
	}
	check("at 500 a minute", 1000, 0, time.Hour)
	check("half of it is pending", 1000, 15_000, 25*time.Minute+30*time.Minute)
	check("more than all is pending", 1000, 1_000_000, 50*time.Minute)
	check("only the reserve is left", 31_000, 0, 0)
	_, now = spend(&d, left, 10, now, 60)
	check("at the rate of the last hour, not the one before", 30_300, 0, 10*time.Minute)
	check("not today", 1000, 0, -1)

	d.Learn(200_000, now) // the next day
	_, now = spend(&d, 200_000, 100, now, 23*60)
	check("the day is over before", 1000, 0, -1)
	check("sooner than the day is over", 60_000, 0, 20*time.Minute)
	if len(d.marks) > 15 {
		t.Errorf("%d marks are kept", len(d.marks))
	}
	before := d.reset
	d.Learn(62_050, now) // overtaken
	if d.reset != before {
		t.Error("an answer that was overtaken begins a day")
	}
}
