package avro

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Moments outside years 1 to 9999 have no RFC 3339 form, and other systems refuse them.
var (
	firstMoment = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	lastMoment  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// span returns the values that an int or long may have.
func (n *node) span() (low, high int64) {
	switch n.logical {
	case logicalDate:
		return firstMoment.Unix() / 86400, lastMoment.Unix() / 86400
	case logicalTimeMillis:
		return 0, 86_400_000 - 1
	case logicalTimeMicros:
		return 0, 86_400_000_000 - 1
	case logicalTimestampMillis:
		return firstMoment.UnixMilli(), lastMoment.UnixMilli()
	case logicalTimestampMicros:
		return firstMoment.UnixMicro(), lastMoment.UnixMicro()
	}
	if n.kind == kindInt {
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

func (n *node) outOfSpan() string {
	switch n.logical {
	case logicalTimeMillis, logicalTimeMicros:
		return "is not a time of day"
	case logicalNone:
		return fmt.Sprintf("is out of the range of %s", n.kind)
	}
	return "is out of the years 1 to 9999"
}

// cleanText says whether b is UTF-8 without NUL. Eight bytes a step: most text is short ASCII.
func cleanText(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	rest := b
	for len(rest) >= 8 {
		word := binary.LittleEndian.Uint64(rest)
		// The classic zero-byte test, together with the test for a byte over 127.
		if ((word-ones)&^word|word)&highs != 0 {
			return cleanTextSlow(b)
		}
		rest = rest[8:]
	}
	for _, c := range rest {
		if c == 0 || c >= utf8.RuneSelf {
			return cleanTextSlow(b)
		}
	}
	return true
}

func cleanTextSlow(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return false
		}
	}
	return utf8.Valid(b)
}

// validUUID says whether s is 8-4-4-4-12 hexadecimal digits (RFC 9562), in either case.
func validUUID[T []byte | string](s T) bool {
	if len(s) != 36 {
		return false
	}
	for i := range 36 {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
	}
	return true
}

// Layouts of rendered moments. All are UTC and of fixed length, so they sort as text.
const (
	layoutDate       = "2006-01-02"
	layoutTimeMillis = "15:04:05.000"
	layoutTimeMicros = "15:04:05.000000"
	layoutMillis     = "2006-01-02T15:04:05.000Z"
	layoutMicros     = "2006-01-02T15:04:05.000000Z"
)

// moment returns the time that a logical int or long stands for, and the layout it is rendered in.
func (n *node) moment(v int64) (time.Time, string) {
	switch n.logical {
	case logicalDate:
		return time.Unix(v*86400, 0).UTC(), layoutDate
	case logicalTimeMillis:
		return time.UnixMilli(v).UTC(), layoutTimeMillis
	case logicalTimeMicros:
		return time.UnixMicro(v).UTC(), layoutTimeMicros
	case logicalTimestampMillis:
		return time.UnixMilli(v).UTC(), layoutMillis
	default:
		return time.UnixMicro(v).UTC(), layoutMicros
	}
}

// parseMoment reads what moment renders: RFC 3339 with any zone for timestamps, a plain date or time of day for the
// others. Digits that the type can not hold are a problem, not rounded away.
func (n *node) parseMoment(s string) (v int64, message string) {
	switch n.logical {
	case logicalDate:
		t, err := time.Parse(layoutDate, s)
		if err != nil {
			return 0, "must be a date, such as 2026-01-31"
		}
		return n.fromTime(t)
	case logicalTimeMillis, logicalTimeMicros:
		t, err := time.Parse("15:04:05", s)
		if err != nil || len(s) < len("15:04:05") || len(s) > len("15:04:05.123456789") || s[2] != ':' || len(s) > 8 && s[8] != '.' {
			return 0, "must be a time of day, such as 15:04:05.25"
		}
		return n.fromTime(time.Date(1970, 1, 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC))
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !strictRFC3339(s) {
		return 0, "must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z"
	}
	return n.fromTime(t)
}

// strictRFC3339 refuses what time.Parse takes beyond the RFC: one digit for an hour, a comma for the point, more digits
// than it keeps, zones of a day and more (go.dev/issue/54580).
func strictRFC3339(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return false
	}
	rest := s[19:]
	if rest[0] == '.' {
		digits := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789"))
		if digits < 1 || digits > 9 {
			return false
		}
		rest = rest[1+digits:]
	}
	if rest == "Z" {
		return true
	}
	return len(rest) == len("+01:00") && rest[1:3] <= "23" && rest[4:6] <= "59"
}

func (n *node) fromTime(t time.Time) (v int64, message string) {
	t = t.UTC()
	unit := time.Microsecond
	if n.logical == logicalTimestampMillis || n.logical == logicalTimeMillis {
		unit = time.Millisecond
	}
	if t.Nanosecond()%int(unit) != 0 {
		return 0, fmt.Sprintf("has more digits than the type holds: the unit is %v", unit)
	}
	if t.Before(firstMoment) || t.After(lastMoment) {
		return 0, "is out of the years 1 to 9999"
	}
	switch n.logical {
	case logicalDate:
		if t.Hour() != 0 || t.Minute() != 0 || t.Second() != 0 || t.Nanosecond() != 0 {
			return 0, "must be a date without a time of day"
		}
		v = t.Unix() / 86400
	case logicalTimestampMillis, logicalTimeMillis:
		v = t.UnixMilli()
	default:
		v = t.UnixMicro()
	}
	if low, high := n.span(); v < low || v > high {
		return 0, n.outOfSpan()
	}
	return v, ""
}

// lookOf tells how a value would look in JSON.
func lookOf(v any) look {
	switch v.(type) {
	case nil:
		return looksNull
	case bool:
		return looksBoolean
	case number, int, int32, int64, float32, float64:
		return looksNumber
	case string, []byte, time.Time, Digits:
		return looksString
	case []any:
		return looksArray
	case map[string]any:
		return looksObject
	}
	return 0
}
