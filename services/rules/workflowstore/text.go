package workflowstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const maxText = 512 // bytes of a text by which rows are looked up

// text gives a value the form in which it stands in a key of a table: as it is, or as a backslash and its SHA-256 where it is longer than
// maxText, where Postgres has no text for it, or where it begins with a backslash itself. Values come from expressions, so they can be anything;
// one that Postgres refuses would stall the tenant for good. Different values have different forms.
func text(s string) string {
	if len(s) <= maxText && !strings.HasPrefix(s, `\`) && !strings.ContainsRune(s, 0) && utf8.ValidString(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return `\` + hex.EncodeToString(sum[:])
}
