package cli

import (
	"maps"
	"testing"
)

func TestParseEnv_UnquotesAndRefusesWhatIsNoAssignment(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                            {},
		"\n # a comment\n\n":          {},
		"A=1\nB=2":                    {"A": "1", "B": "2"},
		"export A=1":                  {"A": "1"},
		" A = 1 ":                     {"A": "1"},
		"A=":                          {"A": ""},
		"A=''":                        {"A": ""},
		`A=""`:                        {"A": ""},
		"A='x y'\nB=\"z\"":            {"A": "x y", "B": "z"},
		"A='":                         {"A": "'"},
		`A="`:                         {"A": `"`},
		"A='x\"":                      {"A": "'x\""},
		"A=it's":                      {"A": "it's"},
		"A=x=y":                       {"A": "x=y"},
		"A=postgres://u:p@h/d?a=b#c ": {"A": "postgres://u:p@h/d?a=b#c"},
		"A=1\nA=2":                    {"A": "2"},
	} {
		if got, err := parseEnv(text); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, line := range map[string]string{"A": "line 1", "=1": "line 1", "A=1\n\nB C=2": "line 3", "A=1\nexport =2": "line 2", "A\tB=1": "line 1"} {
		if got, err := parseEnv(text); err == nil || got != nil || err.Error() != "invalid_config: "+line+" is not NAME=value" {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
