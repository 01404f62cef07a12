package engine

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTablesAreNamedByTheirOwners: SQL on progress, offsets, resets, definitions and outboxes is in the packages that keep their rules, and SQL
// on archived events in the archive's; others ask these packages. e2e looks at the tables from outside, as a test does.
func TestTablesAreNamedByTheirOwners(t *testing.T) {
	owners := []struct {
		table *regexp.Regexp
		dirs  []string
	}{
		{regexp.MustCompile(`(?i)\b(neuronx\."?(progress|resets|definitions)|partition_progress)\b`), []string{"pkg/consumer"}},
		{regexp.MustCompile(`(?i)\b(neuronx\."?outbox|outbox_(numbers|forbidden|seals|unsealed))\b`), []string{"pkg/outbox"}},
		{regexp.MustCompile(`(?i)\bneuronx\.(workflow_(instances|waits|keys|versions)|contact_state|named_state|pool_claims|subject_aliases|timers)\b`),
			[]string{"services/rules/workflowstore", "services/rules/timers"}},
		{regexp.MustCompile(`(?i)\btenant_events\b`), []string{"pkg/archive", "services/archiver"}},
	}
	met := map[string]int{} // literals that name a table, by the owner's directory
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") || strings.HasPrefix(s.path, "e2e/") || strings.HasPrefix(s.path, "examples/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			for _, o := range owners {
				name := o.table.FindString(lit.Value)
				if name == "" {
					continue
				}
				owner := slices.IndexFunc(o.dirs, func(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") })
				switch {
				case owner >= 0:
					met[o.dirs[owner]]++
				default:
					t.Errorf("%s names %s in a string; ask %s for what is in it", s.path, name, strings.Join(o.dirs, " or "))
				}
			}
			return true
		})
	}
	for _, o := range owners {
		if met[o.dirs[0]] == 0 {
			t.Errorf("%s does not name its tables: this test looks at the wrong thing", o.dirs[0])
		}
	}
}
