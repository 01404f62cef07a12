package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What changes from run to run, in the order in which it is replaced.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.0-9]*(Z|\+00:00)?`), "<time>"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "<address>"},
	{regexp.MustCompile(`\b[0-9a-f]{16,64}\b`), "<hash>"},
	{regexp.MustCompile(`semantics \d+ in place|older than \d+`), "semantics <n>"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(` (\n|$)`), "$1"},
}

// golden compares a text with a file of testdata, with what changes from run to run taken out. Run with UPDATE_GOLDEN=1 to write the file
// again after a change that is meant.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, []byte(text)) {
		return
	}
	got, kept := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	command := ""
	for i := range max(len(got), len(kept)) {
		var g, k string
		if i < len(got) {
			g = got[i]
		}
		if i < len(kept) {
			k = kept[i]
		}
		if strings.HasPrefix(k, "$ ") {
			command = k
		}
		if g != k {
			t.Fatalf("%s, line %d, after %s:\n got %q\nwant %q", file, i+1, command, g, k)
		}
	}
}

// Every verb that asks shows in a table and in JSON what testdata/verbs.txt has.
func TestVerbs_ShowWhatIsOnRecord(t *testing.T) {
	file, err := filepath.Abs("testdata/verbs.txt")
	if err != nil {
		t.Fatal(err)
	}
	env, _, _ := asked(t)
	env["COLUMNS"] = "200"
	var text strings.Builder
	for _, line := range asking {
		if strings.HasSuffix(line, "--execute") {
			continue
		}
		for _, format := range []string{"table", "json"} {
			code, out, errs := try(t, env, append(strings.Fields(line), "-o", format, "--timeout", "20s")...)
			fmt.Fprintf(&text, "$ neuronx %s -o %s\nexit %d\n%s", line, format, code, out)
			if errs != "" {
				fmt.Fprintf(&text, "stderr:\n%s", errs)
			}
		}
	}
	shown := text.String()
	for _, c := range changing {
		shown = c.what.ReplaceAllString(shown, c.with)
	}
	golden(t, file, shown)
}
