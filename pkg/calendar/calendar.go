package calendar

import (
	"math"
	"slices"
	"time"
)

// Horizon is how far into the future a calendar looks for an opening, a closing or the end of a count of open time.
const Horizon = 400 * 24 * time.Hour

// Calendar is a week of opening hours in a zone, with holidays. It is immutable; New makes one.
type Calendar struct {
	loc      *time.Location
	week     [7][]interval // Monday first
	total    int64         // seconds of open time of a week without holidays and changes of clocks
	holidays map[int64][]interval
	dates    []int64 // of the holidays, rising, in days since 1970
}

// interval is part of a day, in minutes of its local clock, end excluded.
type interval struct{ from, to int }

// Zone is where the hours are local.
func (c *Calendar) Zone() *time.Location { return c.loc }

// In is a calendar of the same hours and holidays in another zone: nine o'clock there.
func (c *Calendar) In(loc *time.Location) *Calendar {
	other := *c
	other.loc = checked(loc)
	return &other
}

// Open tells whether t lies in open time.
func (c *Calendar) Open(t time.Time) bool {
	at := t.Unix()
	w := c.walk(t, at+1)
	s, ok := w.next()
	return ok && s.start <= at
}

// NextOpen is t itself if the calendar is open then, else the next opening; false if there is none within Horizon.
func (c *Calendar) NextOpen(t time.Time) (time.Time, bool) {
	limit := t.Add(Horizon)
	w := c.walk(t, limit.Unix()+1)
	s, ok := w.next()
	if !ok {
		return time.Time{}, false
	}
	open := latest(t, instant(s.start, 0))
	return open, !open.After(limit)
}

// Closes is the end of the open time that t lies in; false if t lies in none or it goes on beyond Horizon.
func (c *Calendar) Closes(t time.Time) (time.Time, bool) {
	limit := t.Add(Horizon)
	w := c.walk(t, limit.Unix()+1)
	s, ok := w.next()
	if !ok || s.start > t.Unix() {
		return time.Time{}, false
	}
	for {
		following, ok := w.next()
		if !ok || following.start > s.end {
			break
		}
		s.end = following.end
	}
	end := instant(s.end, 0)
	return end, !end.After(limit)
}

// After is the first instant at which d of open time has passed since t; false if that takes more than Horizon. It is t if d is not
// positive, and a closing time rather than the opening that follows it.
func (c *Calendar) After(t time.Time, d time.Duration) (time.Time, bool) {
	limit := t.Add(Horizon)
	from := latest(t, t)
	if d <= 0 {
		return from, true
	}
	w := c.walk(t, limit.Unix()+1)
	for {
		s, ok := w.next()
		if !ok {
			return time.Time{}, false
		}
		from = latest(t, instant(s.start, 0))
		if open := instant(s.end, 0).Sub(from); open < d {
			d -= open
			continue
		}
		end := from.Add(d)
		return end, !end.After(limit)
	}
}

// Between is how much open time lies in [a, b): 0 if b is not after a, and at most the longest time.Duration, 292 years. It takes time
// by the days around changes of clocks and holidays, some tens a year; what lies between them is counted by weeks.
func (c *Calendar) Between(a, b time.Time) time.Duration {
	var sum time.Duration
	w := c.walk(a, b.Unix()+1)
	for {
		if w.i == w.n {
			weeks := w.skipWeeks(a, b)
			if c.total > 0 && weeks > int64(math.MaxInt64-sum)/(c.total*int64(time.Second)) {
				return math.MaxInt64
			}
			sum += time.Duration(weeks * c.total * int64(time.Second))
		}
		s, ok := w.next()
		if !ok {
			return sum
		}
		from, to := latest(a, instant(s.start, 0)), instant(s.end, 0)
		if b.Before(to) {
			to = b
		}
		if open := to.Sub(from); open > 0 {
			if sum > math.MaxInt64-open {
				return math.MaxInt64
			}
			sum += open
		}
	}
}

// latest is the later of two instants, in UTC and without a monotonic clock reading.
func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		a = b
	}
	return a.Round(0).UTC()
}

// hours are those of a date.
func (c *Calendar) hours(day int64) []interval {
	if len(c.holidays) > 0 {
		if h, ok := c.holidays[day]; ok {
			return h
		}
	}
	return c.week[floorMod(day+3, 7)] // day 0 was a Thursday
}

// nextHoliday is the first holiday at or after a date.
func (c *Calendar) nextHoliday(day int64) int64 {
	if i, _ := slices.BinarySearch(c.dates, day); i < len(c.dates) {
		return c.dates[i]
	}
	return math.MaxInt64
}
