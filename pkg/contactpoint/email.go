package contactpoint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of an address, in bytes (RFC 5321, 4.5.3.1; RFC 3696, erratum 1690).
const (
	MaxEmail = 254
	maxLocal = 64
	maxLabel = 63
)

// Email is the address that text is, without the white space around it, in Unicode's NFC, its domain in small letters. What stands before
// the @ stays as it was written: whether Ann and ann are one mailbox is known to its server alone. International domains stay in the
// form in which they were written, Unicode or xn--.
//
// It answers false for what is not one bare address at a domain of at least two labels: for names around it, quotes, comments, lists,
// control and invisible characters.
func Email(text string) (address string, ok bool) {
	if len(text) > 4*MaxEmail || !utf8.ValidString(text) {
		return "", false
	}
	local, domain, ok := strings.Cut(norm.NFC.String(strings.TrimSpace(text)), "@")
	if !ok || local == "" || len(local) > maxLocal || strings.ContainsFunc(local, notInLocal) {
		return "", false
	}
	domain = norm.NFC.String(strings.ToLower(domain))
	labels := strings.Split(domain, ".")
	if len(labels) < 2 || len(local)+1+len(domain) > MaxEmail {
		return "", false
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return "", false
		}
	}
	return local + "@" + domain, true
}

// notInLocal is what the part before the @ cannot have without quotes (RFC 5321 and 6531), and what cannot be seen.
func notInLocal(r rune) bool {
	return strings.ContainsRune(`"(),:;<>@[\]`, r) || unicode.IsSpace(r) || !unicode.IsGraphic(r)
}

// notInLabel is what a label of a domain does not have: all but letters, their marks, digits and hyphens.
func notInLabel(r rune) bool {
	return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}
