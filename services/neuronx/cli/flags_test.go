package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// testdata/flags.txt lists every flag of every verb with its shorthand, type and default, as scripts rely on them. Run with UPDATE_FLAGS=1 to
// write it again after a change that is meant.
func TestConformance_EveryVerbHasTheFlagsThatAreListed(t *testing.T) {
	var got strings.Builder
	for _, v := range verbsOf(t) {
		fmt.Fprintln(&got, v.path)
		v.cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			short := ""
			if f.Shorthand != "" {
				short = "-" + f.Shorthand + " "
			}
			fmt.Fprintf(&got, "  --%s %s%s %q\n", f.Name, short, f.Value.Type(), f.DefValue)
		})
	}
	fmt.Fprintln(&got, "every verb")
	Root().PersistentFlags().VisitAll(func(f *pflag.Flag) { fmt.Fprintf(&got, "  --%s %s %q\n", f.Name, f.Value.Type(), f.DefValue) })
	const path = "testdata/flags.txt"
	if os.Getenv("UPDATE_FLAGS") != "" {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(got.String())) {
		in := func(text string) map[string]bool {
			lines, verb := map[string]bool{}, ""
			for _, line := range strings.Split(text, "\n") {
				if !strings.HasPrefix(line, " ") {
					verb = line
				}
				lines[verb+line] = true
			}
			return lines
		}
		has, listed := in(got.String()), in(string(want))
		for line := range has {
			if !listed[line] {
				t.Errorf("not listed in %s: %s", path, line)
			}
		}
		for line := range listed {
			if !has[line] {
				t.Errorf("listed in %s and gone: %s", path, line)
			}
		}
	}
}
