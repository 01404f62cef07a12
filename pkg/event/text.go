package event

import (
	"strings"
	"time"
	"unicode/utf8"
)

// ParseTime reads an RFC 3339 time of the years 1 to 9999 and returns it in UTC, to the microsecond.
func ParseTime(s string) (time.Time, *Refusal) {
	if len(s) > 64 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, Refuse(CodeInvalidAttribute, "not an RFC 3339 time").Hint("such as 2026-01-31T12:00:00Z")
	}
	t = t.UTC().Truncate(time.Microsecond)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, Refuse(CodeInvalidAttribute, "the time is outside the years 1 to 9999")
	}
	return t, nil
}

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

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
