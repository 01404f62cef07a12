package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// What a settings file leaves open must not become a value, and what it says must not become another one.
func TestLoad_ReadsASettingAsItIsWrittenAndRefusesOneWithoutAValue(t *testing.T) {
	for name, x := range map[string]struct{ text, want, says string }{
		"text":             {"mode: fast", "fast", ""},
		"quotes":           {`mode: "0600"`, "0600", ""},
		"octal":            {"mode: 0600", "0600", ""},
		"a large number":   {"mode: 10000000.0", "10000000.0", ""},
		"a date":           {"mode: 2026-01-02", "2026-01-02", ""},
		"a list":           {"mode: [a, b]", "a,b", ""},
		"empty text":       {`mode: ""`, "", ""},
		"an alias":         {"other: &x fast\nmode: *x", "fast", ""},
		"CRLF and a BOM":   {"\ufeffmode: fast\r\n", "fast", ""},
		"an empty file":    {"", "default", ""},
		"a comment":        {"# mode: fast\n", "default", ""},
		"no value":         {"mode:", "", "has no value"},
		"null":             {"mode: null", "", "has no value"},
		"null in a list":   {"mode: [a, ~]", "", "has no value"},
		"a map":            {"mode: {a: b}", "", "settings are flat"},
		"a map in a list":  {"mode: [{a: b}]", "", "settings are flat"},
		"twice":            {"mode: a\nmode: b", "", "already defined"},
		"two documents":    {"mode: a\n---\nmode: b", "", "more than one document"},
		"misspelt":         {"mod: a", "", `unknown key "mod"`},
		"no map at all":    {"- mode", "", "is not YAML"},
		"broken behind it": {"mode: a\n---\n{", "", "more than one document"},
	} {
		path := filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(path, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		mode := fs.String("mode", "default", "")
		fs.String("other", "", "")
		err := Load(fs, []string{"--config", path})
		if x.says == "" && (err != nil || *mode != x.want) || x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%s: %q, %v; want %q %s", name, *mode, err, x.want, x.says)
		}
	}
}
