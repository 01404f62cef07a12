package calendar

import (
	"math"
	"time"
)

const (
	dayMinutes = 24 * 60
	daySeconds = dayMinutes * 60

	// farthest is more than any offset from UTC that a zone may have (RFC 9636, 3.2: below 26 hours), in seconds.
	farthest = 26 * 60 * 60
)

// Resolve is the instant of a local date and time, in UTC (RFC 5545, 3.3.5): a time in a gap has the offset in force before the gap, one
// that comes twice is the first of the two. Values outside their usual ranges are normalised as time.Date does: 32 January is 1 February.
func Resolve(year int, month time.Month, day, hour, minute, second, nanosecond int, loc *time.Location) time.Time {
	second, nanosecond = second+floorDiv(nanosecond, 1e9), floorMod(nanosecond, 1e9)
	r := resolver{loc: checked(loc)}
	return instant(r.resolve(localSeconds(year, month, day, hour, minute, second)), nanosecond)
}

// Add adds months and days to the local date of t, keeps its local time as Resolve reads it on that date, and then lets d.Elapsed pass.
// Where the month that is reached has no such day, it is that month's last: 31 January and one month is 28 or 29 February. With neither
// months nor days the local time does not matter: t is only moved by what elapses, also within an hour that comes twice.
func Add(t time.Time, d Duration, loc *time.Location) time.Time {
	if checked(loc); d.Months != 0 || d.Days != 0 {
		local := t.In(loc)
		year, month, day := local.Date()
		if d.Months != 0 {
			months := int(month) - 1 + d.Months
			year, month = year+floorDiv(months, 12), time.Month(floorMod(months, 12)+1)
			day = min(day, lastDay(year, month))
		}
		t = Resolve(year, month, day+d.Days, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), loc)
	}
	return t.Add(d.Elapsed).Round(0).UTC()
}

// lastDay is the number of days of a month.
func lastDay(year int, month time.Month) int {
	return int((localSeconds(year, month+1, 1, 0, 0, 0) - localSeconds(year, month, 1, 0, 0, 0)) / daySeconds)
}

// localSeconds counts seconds of a local clock since its 1 January 1970, 00:00, as if it had never been changed. It is the only place
// where time.Date may stand, and only with UTC.
func localSeconds(year int, month time.Month, day, hour, minute, second int) int64 {
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC).Unix()
}

// localDay is the local date of t, in days since 1 January 1970.
func localDay(t time.Time, loc *time.Location) int64 {
	_, offset := t.In(loc).Zone()
	return floorDiv(t.Unix()+int64(offset), daySeconds)
}

// instant is a Unix time in UTC.
func instant(seconds int64, nanoseconds int) time.Time {
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

// checked panics for what is no zone of pkg/zone.
func checked(loc *time.Location) *time.Location {
	if loc == nil || loc == time.Local {
		panic("calendar: the location is nil or time.Local; load zones by zone.Load")
	}
	return loc
}

// resolver resolves local times of one zone. It remembers the stretch of constant offset that it saw last, because most questions are
// about days that follow one another.
type resolver struct {
	loc        *time.Location
	start, end int64 // Unix seconds, end excluded; offset holds in between
	offset     int64 // seconds east of UTC
}

// resolve is the Unix time of a local time, given as localSeconds. Nothing earlier than farthest before it can have that local time, so
// the stretches of constant offset are tried from there on: the first that contains the time is the earlier of two; one that begins
// after it follows the gap that the time is in.
func (r *resolver) resolve(local int64) int64 {
	if at := local - farthest; at < r.start || at >= r.end {
		r.look(at)
	}
	for {
		if at := local - r.offset; at < r.end {
			return at
		}
		before := r.offset
		if r.look(r.end); local-r.offset < r.start {
			return local - before
		}
	}
}

// look finds the offset at an instant and until when it holds, at least. After the last transition of a zone's table, ZoneBounds takes
// every year for 365 days: on the last day of a leap year it gives an end that has passed. That day ends at midnight UTC.
func (r *resolver) look(at int64) {
	t := time.Unix(at, 0).In(r.loc)
	_, offset := t.Zone()
	r.start, r.end, r.offset = at, math.MaxInt64, int64(offset)
	if _, end := t.ZoneBounds(); !end.IsZero() {
		if r.end = end.Unix(); r.end <= at {
			r.end = (floorDiv(at, daySeconds) + 1) * daySeconds
		}
	}
}

func floorDiv[N int | int64](a, b N) N {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod[N int | int64](a, b N) N { return a - floorDiv(a, b)*b }
