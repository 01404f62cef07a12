package jsonscan

import (
	"strings"
	"testing"
)

func TestCrowded_CountsTheNamesOfAllOpenObjects(t *testing.T) {
	many := func(n int) string { return "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, n), ",") + "}" }
	for text, want := range map[string]bool{
		"":                         false,
		many(10):                   false,
		many(11):                   true,
		"[" + many(10) + "]":       false,
		strings.Repeat(many(6), 9): false,
		`{"a":` + many(9) + "}":    false,
		`{"a":` + many(10) + "}":   true,
		`{"a":1,"b":` + many(5) + `,"c":` + many(5) + "}":          false,
		`{"` + strings.Repeat(":", 20) + `":"\":{{{{{{{{{{{{{{{"}`: false,
		strings.Repeat("{", 11):                                    true,
		strings.Repeat(`{"a":`, 11):                                true,
		strings.Repeat("}", 20) + strings.Repeat("[", 20) + `"\`:   false,
		strings.Repeat(":", 11):                                    true,
	} {
		if got := Crowded([]byte(text), 10); got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
}
