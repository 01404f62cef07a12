package calendar

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// TimeOfDay is a local time without a date: Hour from 0 to 23, Minute from 0 to 59.
type TimeOfDay struct{ Hour, Minute int }

// parseClock reads 00:00 to 24:00 as minutes.
func parseClock(s string) (int, error) {
	if len(s) == 4 && s[1] == ':' {
		s = "0" + s
		if _, err := parseClock(s); err == nil {
			return 0, errors.New("needs two digits for the hour; write " + s)
		}
	}
	if len(s) != 5 || s[2] != ':' || countDigits(s) != 2 || countDigits(s[3:]) != 2 {
		return 0, errors.New("is not a time; write hours and minutes of 24 hours, such as 09:00 or 17:30")
	}
	hour, minute := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	if hour > 24 || minute > 59 || hour == 24 && minute > 0 {
		return 0, errors.New("does not exist; times go from 00:00 to 24:00")
	}
	return hour*60 + minute, nil
}

// String is HH:MM.
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", t.Hour, t.Minute) }

// Next is the first instant at or after t that is the time at on some local date, as Resolve reads it: on a day on which clocks skip
// that time it is later by the length of the gap, and where it comes twice only the first counts.
func Next(t time.Time, at TimeOfDay, loc *time.Location) time.Time {
	r := resolver{loc: checked(loc)}
	of := int64(at.Hour*60+at.Minute) * 60
	for day := localDay(t, loc) - 1; ; day++ { // a gap over midnight moves a time of yesterday's date into today
		if next := instant(r.resolve(day*daySeconds+of), 0); !next.Before(t) {
			return next
		}
	}
}

// Spread is a delay in [0, most) that depends on key alone: the first 64 bits of its SHA-256 as a share of most. It is 0 if most is not
// positive.
func Spread(key string, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(key))
	share, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:]), uint64(most))
	return time.Duration(share)
}
