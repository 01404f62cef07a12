package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as people mean it (ISO 8601): months and days are added to the local date, what elapses is added to the
// instant. The day after a change of clocks is a day later at the same local time, and 24 hours later is another time.
type Duration struct {
	Months  int
	Days    int
	Elapsed time.Duration
}

// Bounds of what ParseDuration reads. They keep sums far from an overflow; how long something may wait is the caller's rule.
const (
	MaxMonths  = 1200                     // a hundred years
	MaxDays    = 36_525                   // a hundred years
	MaxElapsed = MaxDays * 24 * time.Hour // a hundred years
	maxText    = 64                       // bytes of a duration
	maxDigits  = 9                        // of one number
	hint       = "; write for example PT15M, P7D or P1M"
	secondHint = "; only seconds have a fraction, of at most nine digits and with a point, such as PT0.5S"
)

// units of ISO 8601 durations, in the order in which they are written.
var units = []struct {
	letter  byte
	clock   bool // stands after the T
	months  int
	days    int
	elapsed time.Duration
}{
	{'Y', false, 12, 0, 0}, {'M', false, 1, 0, 0}, {'W', false, 0, 7, 0}, {'D', false, 0, 1, 0},
	{'H', true, 0, 0, time.Hour}, {'M', true, 0, 0, time.Minute}, {'S', true, 0, 0, time.Second},
}

// ParseDuration reads an ISO 8601 duration such as P1Y2M3W4DT5H6M7.5S: capital letters, in this order, each at most once and at least
// one; no signs, and no fraction but of seconds, to a nanosecond. A year is 12 months and a week 7 days; a day is not 24 hours.
func ParseDuration(s string) (Duration, error) {
	d, problem := parseDuration(s)
	if problem != "" {
		return Duration{}, fmt.Errorf("duration %s %s", quote(s), problem)
	}
	return d, nil
}

func parseDuration(s string) (d Duration, problem string) {
	switch {
	case s == "":
		return d, "is empty" + hint
	case len(s) > maxText:
		return d, fmt.Sprintf("has %d bytes, more than %d", len(s), maxText)
	case strings.ContainsAny(s, "+-"):
		return d, "has a sign; a duration is never negative" + hint
	case s[0] != 'P' && strings.ToUpper(s) != s && strings.ToUpper(s)[0] == 'P':
		return d, "has small letters; write " + strings.ToUpper(s)
	case s[0] != 'P':
		return d, "is not an ISO 8601 duration: it does not begin with P" + hint
	}
	rest, clock, last := s[1:], false, -1
	for rest != "" {
		if rest[0] == 'T' {
			if clock {
				return d, "has a second T" + hint
			}
			if clock, rest = true, rest[1:]; rest == "" {
				return d, "has nothing after its T" + hint
			}
			continue
		}
		digits := countDigits(rest)
		if digits == 0 {
			return d, fmt.Sprintf("has no number before %s%s", quote(rest), hint)
		}
		if digits > maxDigits {
			return d, fmt.Sprintf("has a number of more than %d digits", maxDigits)
		}
		number, fraction := rest[:digits], ""
		if rest = rest[digits:]; rest != "" && (rest[0] == '.' || rest[0] == ',') {
			n := countDigits(rest[1:])
			if rest[0] == ',' || n == 0 || n > maxDigits || rest[1+n:] != "S" || !clock {
				return d, "has a fraction that is not allowed" + secondHint
			}
			fraction, rest = rest[1:1+n], rest[1+n:]
		}
		if rest == "" {
			return d, fmt.Sprintf("has no unit after %s%s", number, hint)
		}
		u, why := unit(rest[0], clock, last)
		if why != "" {
			return d, why
		}
		if why := d.count(u, number, fraction); why != "" {
			return d, why
		}
		last, rest = u, rest[1:]
	}
	if last < 0 {
		return d, "names no length" + hint
	}
	return d, ""
}

func countDigits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}

// unit finds a letter among the units; last is the one before it, or -1.
func unit(letter byte, clock bool, last int) (int, string) {
	for i, u := range units {
		switch {
		case u.letter != letter || u.clock != clock:
		case i == last:
			return 0, fmt.Sprintf("names %c twice", letter)
		case i < last:
			return 0, fmt.Sprintf("has %c in the wrong place; the order is P…Y…M…W…DT…H…M…S", letter)
		default:
			return i, ""
		}
	}
	switch {
	case 'a' <= letter && letter <= 'z':
		return 0, "has small letters; all letters of a duration are capitals" + hint
	case !clock && (letter == 'H' || letter == 'S'):
		return 0, fmt.Sprintf("has %c before the T; hours, minutes and seconds follow a T, as in PT15M", letter)
	case clock && (letter == 'Y' || letter == 'W' || letter == 'D'):
		return 0, fmt.Sprintf("has %c after the T; years, months, weeks and days come before it, as in P1DT12H", letter)
	}
	return 0, fmt.Sprintf("has the unit %s, which does not exist; units are Y, M, W, D and, after a T, H, M, S", quote(string(rune(letter))))
}

// count adds a number of units[u]. Its digits are few enough that nothing overflows before the bounds are checked.
func (d *Duration) count(u int, number, fraction string) string {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return "has a number that cannot be read" + hint
	}
	of := units[u]
	if of.elapsed > 0 && n > int64(MaxElapsed/of.elapsed) {
		return "is longer than a hundred years"
	}
	d.Months += int(n) * of.months
	d.Days += int(n) * of.days
	d.Elapsed += time.Duration(n) * of.elapsed
	if fraction != "" {
		nanos, err := strconv.ParseInt((fraction + "000000000")[:maxDigits], 10, 64)
		if err != nil {
			return "has a fraction that cannot be read" + secondHint
		}
		d.Elapsed += time.Duration(nanos)
	}
	if d.Months > MaxMonths || d.Days > MaxDays || d.Elapsed > MaxElapsed {
		return "is longer than a hundred years"
	}
	return ""
}

// IsZero tells whether no time passes in d.
func (d Duration) IsZero() bool { return d == Duration{} }

// String is the canonical text, which ParseDuration reads as the same value: years and months, days (no weeks), hours, minutes, seconds;
// PT0S for none. Values that ParseDuration cannot give, as negative ones, have a sign before each number.
func (d Duration) String() string {
	b := []byte{'P'}
	put := func(n int64, letter byte) {
		if n != 0 {
			b = append(strconv.AppendInt(b, n, 10), letter)
		}
	}
	put(int64(d.Months/12), 'Y')
	put(int64(d.Months%12), 'M')
	put(int64(d.Days), 'D')
	if d.Elapsed != 0 {
		b = append(b, 'T')
		put(int64(d.Elapsed/time.Hour), 'H')
		put(int64(d.Elapsed%time.Hour/time.Minute), 'M')
		seconds := d.Elapsed % time.Minute
		if nanos := seconds % time.Second; nanos != 0 {
			if seconds < 0 {
				b, seconds, nanos = append(b, '-'), -seconds, -nanos
			}
			b = strconv.AppendInt(b, int64(seconds/time.Second), 10)
			b = append(b, strings.TrimRight(fmt.Sprintf(".%09d", int64(nanos)), "0")...)
			b = append(b, 'S')
		} else {
			put(int64(seconds/time.Second), 'S')
		}
	}
	if len(b) == 1 {
		return "PT0S"
	}
	return string(b)
}

// quote shows a text of somebody's file in a message, at most 40 bytes of it.
func quote(s string) string {
	const most = 40
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return strconv.Quote(strings.ToValidUTF8(s[:most], "")) + "…"
}
