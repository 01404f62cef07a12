package event

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// ParseTime reads an RFC 3339 time of the years 1 to 9999 and returns it in UTC, to the microsecond. A leap second is the last microsecond
// before it: no clock here has one.
func ParseTime(s string) (time.Time, *Refusal) {
	if len(s) > 64 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = parseRare(s)
	}
	if err != nil {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time").Hint("such as 2026-01-31T12:00:00Z")
	}
	t = t.UTC().Truncate(time.Microsecond)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "the time is outside the years 1 to 9999")
	}
	return t, nil
}

// parseRare reads what RFC 3339 (5.6) allows and Go's parser does not: t and z in lower case, and the second 60 at the end of a month in UTC.
func parseRare(s string) (time.Time, error) {
	s = strings.ToUpper(s)
	const second = len("2006-01-02T15:04:")
	if len(s) <= second+2 || s[second:second+2] != "60" {
		return time.Parse(time.RFC3339Nano, s)
	}
	t, err := time.Parse(time.RFC3339Nano, s[:second]+"59"+s[second+2:])
	if err != nil {
		return t, err
	}
	last := t.UTC().Truncate(time.Second).Add(time.Second - time.Microsecond)
	if next := last.Add(time.Microsecond); next.Day() != 1 || next.Hour() != 0 || next.Minute() != 0 {
		return t, errors.New("no second 60")
	}
	return last, nil
}

// CheckTime refuses a time that a fact which comes from outside can't have: it is what programs and spreadsheets show for a time that
// is not set, or a slip such as the year 0026. A lead of the year 1 or 1970 would stay one for ever, in every report. The zero time of
// Go and .NET is as if it were absent, as ever.
func (e *Event) CheckTime() *Refusal {
	if s := e.Time.Unix(); s > 0 || e.Time.IsZero() || s < 0 && e.Time.Year() >= firstYear {
		return nil
	}
	return Refuse(CodeInvalidAttribute, "%s is no time of a fact: it is what a time that is not set looks like, or before %d", FormatTime(e.Time), firstYear).
		At("header " + hTime).Hint("leave the time out where it is not known")
}

const firstYear = 1900

func checkText(s string, limit int) *Refusal {
	_, err := scanText(s, limit)
	return err
}

// scanText is checkText, and tells whether s has more than ASCII.
func scanText(s string, limit int) (wide bool, err *Refusal) {
	switch {
	case s == "":
		return false, Refuse(CodeInvalidAttribute, "empty")
	case len(s) > limit:
		return false, Refuse(CodeInvalidAttribute, "longer than %d bytes", limit)
	}
	if plain(s) {
		return false, nil
	}
	control, ascii := false, true
	for i := range len(s) { // C0 and DEL; CheckCharacters has the rest
		control = control || s[i] < 0x20 || s[i] == 0x7f
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return true, Refuse(CodeInvalidAttribute, "not UTF-8")
	}
	if control {
		at := strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
		return !ascii, Refuse(CodeInvalidAttribute, "has %U, a control character, at byte %d", s[at], at)
	}
	return !ascii, nil
}

// plain tells whether s is ASCII without control characters, eight bytes at a time: it is asked of every attribute of every event.
func plain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// A byte below 0x80 keeps its top bit clear when 1 is added unless it is DEL, and sets it when 0x60 is added unless it is below 0x20.
		if (x|(x+ones)|^(x+0x60*ones))&tops != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
