package ruleset

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// What a bundle changes about a rule.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "REMOVED" // in capitals: a bundle replaces the whole set, so a file that was forgotten takes its rule away
	Kept    = "unchanged"
)

// Change is what publishing a bundle does to one rule.
type Change struct {
	Rule   string `json:"rule"` // the file's name where the rule's can't be read
	File   string `json:"file"`
	Change string `json:"change"` // added, changed, REMOVED or unchanged
}

// Diff compares two bundles rule by rule, whatever their files are called; sorted by rule.
func Diff(before, after []File) []Change {
	old, renewed := byRule(before), byRule(after)
	var out []Change
	for rule, f := range renewed {
		change := Added
		if was, there := old[rule]; there {
			change = Changed
			if was.Text == f.Text {
				change = Kept
			}
		}
		out = append(out, Change{rule, f.Name, change})
	}
	for rule, f := range old {
		if _, there := renewed[rule]; !there {
			out = append(out, Change{rule, f.Name, Removed})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Rule, b.Rule) })
	return out
}

func byRule(files []File) map[string]File {
	out := map[string]File{}
	for _, f := range files {
		out[RuleName(f)] = f
	}
	return out
}

// RuleName is the name of the rule, lookup or calendar of a file; the file's own where it has none that can be read.
func RuleName(f File) string {
	r := rulefile.Reader{File: f.Name, Text: f.Text}
	if root := r.Document([]byte(f.Text)); root != nil {
		if n := rulefile.Value(rulefile.Value(root, "metadata"), "name"); n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value != "" {
			return n.Value
		}
	}
	return f.Name
}
