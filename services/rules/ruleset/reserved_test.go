package ruleset

import (
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// TestCompile_ABundleFromBeforeATypeWasReservedGoesOn: what was published stays readable with all its rules; only a new bundle is refused.
func TestCompile_ABundleFromBeforeATypeWasReservedGoesOn(t *testing.T) {
	for name, c := range map[string]struct{ on, emit, code string }{
		"a fact about the CRM":   {"lead.created", "crm.deal.synced", rulefile.CodeReservedEmit},
		"a word of workflows":    {"lead.created", "workflow.finished", rulefile.CodeReservedEmit},
		"a merge":                {"lead.created", "subject.merged", rulefile.CodeReservedEmit},
		"hears a timer":          {"timer.fired", "lead.scored", rulefile.CodeReservedTrigger},
		"hears how one goes on":  {"workflow.advanced", "lead.scored", rulefile.CodeReservedTrigger},
		"hears the end of one":   {"workflow.completed", "lead.scored", ""},
		"hears a fact of before": {"crm.deal.synced", "lead.scored", ""},
		"a command":              {"lead.created", "crm.note.add.requested", ""},
	} {
		f := file("r", "  on: ["+c.on+"]\n  emit: [{type: "+c.emit+", data: {lead_id: event.subject}}]\n")
		if set, problems := Compile([]File{f}); set == nil || len(set.Rules) != 1 || set.Semantics != plainSemantics {
			t.Errorf("%s: does not compile any more: %v", name, problems)
		}
		told := slices.ContainsFunc(validated(t, embeddedSchemas(t), f), func(p rulefile.Problem) bool {
			return !p.Warning && (p.Code == rulefile.CodeReservedEmit || p.Code == rulefile.CodeReservedTrigger) && p.Code == c.code && strings.Contains(p.Message, "no rule may") == (c.code == rulefile.CodeReservedTrigger)
		})
		if told != (c.code != "") {
			t.Errorf("%s: %v, want the code %q", name, validated(t, embeddedSchemas(t), f), c.code)
		}
	}
}
