package contactpoint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// MaxPhone is the longest text that E164 reads, in bytes.
const MaxPhone = 64

// E164 is the number that text holds, as +15551234567: a plus and at most 15 digits (ITU-T E.164). region is the ISO 3166 code, in
// capitals, of the country whose national spelling text may have; with "" only international numbers, which begin with a plus, are read.
//
// It answers false for a region that does not exist, and for text that has letters or an extension, could be two numbers, can only be
// dialled locally, or has a length that no number of its country has. Whether a number is in use is not asked. The numbering plans are
// those of github.com/nyaruka/phonenumbers.
func E164(text, region string) (number string, ok bool) {
	defer func() {
		if recover() != nil { // a panic of the parser on hostile text must not stop a tenant
			number, ok = "", false
		}
	}()
	if len(text) > MaxPhone || !utf8.ValidString(text) || region != "" && phonenumbers.GetCountryCodeForRegion(region) == 0 {
		return "", false
	}
	if text, ok = plain(text); !ok {
		return "", false
	}
	if number, ok = parse(text, region); !ok {
		return "", false
	}
	// A national prefix that fits no number of the region stays in it, and would be taken off when the number is read again: then it is
	// not certain which of the two is meant.
	if again, ok := parse(number, ""); !ok || again != number {
		return "", false
	}
	return number, true
}

func parse(text, region string) (string, bool) {
	parsed, err := phonenumbers.Parse(text, region)
	if err != nil || parsed.GetExtension() != "" || phonenumbers.IsPossibleNumberWithReason(parsed) != phonenumbers.IS_POSSIBLE {
		return "", false
	}
	number := phonenumbers.Format(parsed, phonenumbers.E164)
	digits, plus := strings.CutPrefix(number, "+")
	if !plus || len(digits) < 2 || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return "", false
	}
	return number, true
}

// plain leaves out the invisible marks of direction that address books put around numbers, and refuses what is no digit, plus or
// separator of groups. Two parts around a slash that both begin as a number does are two numbers; 030/1234567 is one.
func plain(text string) (string, bool) {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f':
		case unicode.IsDigit(r), r == '+', r == '\uff0b', r == '-', r == '.', r == '/', r == '(', r == ')', r == ' ', r == '\u00a0', r == '\u202f',
			r >= '\u2010' && r <= '\u2015', r == '\u2212', r == '\u3000', r == '\uff08', r == '\uff09', r == '\uff0d':
			if r == '\u202f' { // a narrow space, which the parser does not know
				r = ' '
			}
			b.WriteRune(r)
		default:
			return "", false
		}
	}
	begins := 0
	for part := range strings.SplitSeq(b.String(), "/") {
		if part = strings.TrimLeft(part, " ("); part != "" && strings.ContainsRune("0+\uff0b", firstRune(part)) {
			begins++
		}
	}
	return b.String(), begins < 2
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}
