package calendar

import (
	"math"
	"time"
)

// span is a stretch of open time, in Unix seconds, end excluded.
type span struct{ start, end int64 }

// walk goes through open time day by day. Spans come in order and do not overlap, but those of two days may touch.
type walk struct {
	c        *Calendar
	zone     resolver
	from     int64 // spans that end at it or before are left out
	until    int64 // ends the walk: no span that starts at it or later is given
	day      int64 // the next to be read
	midnight int64 // its begin, if known
	known    bool
	spans    [maxIntervals]span // of the day before
	i, n     int                // spans[i:n] are still to be given
}

// walk begins at t. The day before is read, too: where clocks change around midnight t may belong to it.
func (c *Calendar) walk(t time.Time, until int64) walk {
	return walk{c: c, zone: resolver{loc: c.loc}, from: t.Unix(), until: until, day: localDay(t, c.loc) - 1}
}

// next is the next span that has not ended when the walk begins.
func (w *walk) next() (span, bool) {
	for {
		for w.i < w.n {
			s := w.spans[w.i]
			w.i++
			if s.end > w.from {
				return s, s.start < w.until
			}
		}
		if w.day*daySeconds-farthest >= w.until || w.known && w.midnight >= w.until {
			return span{}, false
		}
		w.read()
	}
}

// read resolves the hours of w.day and goes on to the next. Hours are cut to the day's own span, so that days never overlap. Within the
// day a change of clocks can change the order of intervals, or let them overlap: spans are put in order and joined.
func (w *walk) read() {
	day := w.day
	w.i, w.n, w.day = 0, 0, day+1
	hours := w.c.hours(day)
	if len(hours) == 0 {
		w.known = false
		return
	}
	start := w.midnight
	if !w.known {
		start = w.zone.resolve(day * daySeconds)
	}
	end := w.zone.resolve((day + 1) * daySeconds)
	w.midnight, w.known = end, true
	for _, h := range hours {
		w.put(span{max(start, w.zone.resolve(day*daySeconds+int64(h.from)*60)), min(end, w.zone.resolve(day*daySeconds+int64(h.to)*60))})
	}
}

// put adds a span to those of the day: it takes in the ones that it touches or overlaps.
func (w *walk) put(s span) {
	if s.start >= s.end {
		return
	}
	kept := 0
	for _, o := range w.spans[:w.n] {
		if o.end < s.start || s.end < o.start {
			w.spans[kept] = o
			kept++
			continue
		}
		s = span{min(s.start, o.start), max(s.end, o.end)}
	}
	i := kept
	for ; i > 0 && w.spans[i-1].start > s.start; i-- {
		w.spans[i] = w.spans[i-1]
	}
	w.spans[i], w.n = s, kept+1
}

// skipWeeks leaves out as many whole weeks as lie in [a, b) from the next day on in which no clock changes and no holiday is, and gives
// their number.
func (w *walk) skipWeeks(a, b time.Time) int64 {
	const week = 7 * daySeconds
	local := w.day * daySeconds
	w.zone.resolve(local) // finds the offset that may hold for long
	z := w.zone
	if local-farthest < z.start || local-z.offset < a.Unix()+1 {
		return 0
	}
	end := min(z.end-1, b.Unix()) // the last instant that the weeks may end at
	if end > math.MaxInt64/2 {
		end = math.MaxInt64 / 2
	}
	weeks := max(0, floorDiv(end+z.offset-local, week))
	if holiday := w.c.nextHoliday(w.day); holiday < w.day+7*weeks {
		weeks = floorDiv(holiday-w.day, 7)
	}
	if weeks > 0 {
		w.day += 7 * weeks
		w.known = false
	}
	return weeks
}
