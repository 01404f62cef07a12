package simulate

import (
	"strings"
	"sync"
	"testing"

	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// embedded parses the schemas once: that takes longer than most tests.
var embedded = sync.OnceValues(ruleset.Embedded)

func schemas(t testing.TB) rules.Registry {
	t.Helper()
	c, err := embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c.(rules.Registry)
}

func rule(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: " + name + "\nspec:\n" + indented(spec)}
}

func testFile(name, spec string) ruleset.File {
	return ruleset.File{Name: name + "_test.yaml", Text: "apiVersion: neuronx/v1\nkind: RuleTest\nmetadata:\n  name: " + name + "\nspec:\n" + indented(spec)}
}

func indented(spec string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"
}

// tried runs one test over rules.
func tried(t *testing.T, spec string, bundle ...ruleset.File) Report {
	t.Helper()
	var names []string
	for _, f := range bundle {
		names = append(names, ruleset.RuleName(f))
	}
	reg := schemas(t)
	tests, problems, err := Read(t.Context(), []ruleset.File{testFile("one", spec)}, names, reg)
	if err != nil || problems.Err() != nil {
		t.Fatalf("%v %v", err, problems)
	}
	report, err := Run(t.Context(), tests, bundle, reg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// lines are what a failed test shows; empty: it passed.
func lines(r Report) string {
	var out []string
	for _, t := range r.Tests {
		for i := range t.Mismatches {
			out = append(out, t.Mismatches[i].Lines()...)
		}
		if t.Passed != (len(t.Mismatches) == 0) {
			out = append(out, "passed with mismatches, or failed without")
		}
	}
	return strings.Join(out, "\n")
}

var (
	score = rule("score", `
on: [lead.created]
emit:
  - type: lead.scored
    data:
      lead_id: data.lead_id
      score: 'data.channel == "referral" ? 60 : 10'
      reason: '"channel " + (data.channel == null ? "unknown" : data.channel)'
set:
  touches: '(has(state.touches) ? state.touches : 0) + 1'
  seen_at: event.recorded_time`)
	qualify = rule("qualify", `
on: [lead.scored]
when: data.score >= 50
emit:
  - type: lead.qualified
    data: {lead_id: data.lead_id}
  - type: crm.note.add.requested
    data:
      lead_id: data.lead_id
      body: '"score " + string(data.score)'
      not_after: event.recorded_time + duration("24h")`)
	again = rule("again", `
on: [crm.note.add.failed]
when: data.code != "gone"
emit:
  - type: lead.contacted
    data: {lead_id: data.lead_id}`)
)
