package workflowstore

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText_IsOneThatPostgresTakesAndDiffersForDifferentValues(t *testing.T) {
	values := []string{"", "42", "lead/42", "Müller", `\`, `\42`, "a\x00b", "a\x00c", "\xff", "\xfe", strings.Repeat("x", maxText), strings.Repeat("x", maxText+1),
		strings.Repeat("x", maxText+2)}
	// A value that looks like the form of another is not taken for it.
	values = append(values, text("a\x00b"))
	seen := map[string]string{}
	for _, v := range values {
		form := text(v)
		if len(form) > maxText || strings.ContainsRune(form, 0) || !utf8.ValidString(form) {
			t.Errorf("%.20q has the form %.20q", v, form)
		}
		if other, there := seen[form]; there {
			t.Errorf("%.20q and %.20q have the same form %.80q", v, other, form)
		}
		seen[form] = v
	}
	for _, v := range []string{"", "42", "Müller"} {
		if text(v) != v {
			t.Errorf("%q has the form %q: people could not look for it", v, text(v))
		}
	}
}
