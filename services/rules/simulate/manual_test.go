package simulate

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// TestManual_ItsTestsPass runs the tests in docs/rules.md over the rules in it that they name, and over all its workflows.
func TestManual_ItsTestsPass(t *testing.T) {
	b, err := os.ReadFile("../../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var all, texts, bundle []ruleset.File
	var block []string
	for line := range strings.Lines(string(b) + "\nend") {
		if code, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    "); indented {
			block = append(block, code)
			continue
		}
		f := ruleset.File{Name: fmt.Sprintf("%d_test.yaml", len(all)+len(texts)+len(bundle)), Text: strings.Join(block, "\n") + "\n"}
		switch {
		case ruleset.IsTest(f):
			texts = append(texts, f)
		case slices.Contains(block, "kind: Rule"):
			all = append(all, f)
		case slices.Contains(block, "kind: Workflow"), slices.Contains(block, "kind: ContactPolicy"), slices.Contains(block, "kind: Calendar"),
			slices.Contains(block, "kind: Lookup") && !strings.Contains(f.Text, "csv:"):
			bundle = append(bundle, f)
		}
		block = nil
	}
	var names []string
	for _, f := range all {
		name := ruleset.RuleName(f)
		if slices.ContainsFunc(texts, func(test ruleset.File) bool { return strings.Contains(test.Text, "rules: ["+name+"]") }) {
			bundle, names = append(bundle, f), append(names, name)
		}
	}
	tests, problems, err := Read(t.Context(), texts, names, schemas(t))
	if err != nil || problems != nil || len(tests) < 5 {
		t.Fatal(len(tests), err, problems)
	}
	report, err := Run(t.Context(), tests, bundle, schemas(t))
	if err != nil || lines(report) != "" {
		t.Error(err, lines(report))
	}
	for i := range report.Workflows {
		if c := &report.Workflows[i]; c.Started == 0 {
			t.Errorf("no test of the manual starts the workflow %s", c.Workflow)
		}
	}
	for _, limit := range []string{fmt.Sprintf("before the first step, at most %d;", MaxGiven), "what happens, at most 1,000;", "after 10,000 events",
		fmt.Sprintf("lists in lists | %d, %d and %d |", ruleset.MaxWorkflows, flow.MaxTasks, flow.MaxDepth), fmt.Sprintf("without waiting | 10,000 and %d |", advance.MaxActivation),
		fmt.Sprintf("one activation | %d |", advance.MaxOutputs), fmt.Sprintf("values of a `for` | %d |", advance.MaxLoop),
		fmt.Sprintf("their size | %d and %d KiB |", advance.MaxVars, advance.MaxVarsBytes>>10), fmt.Sprintf("of a key | 250,000 and %d |", advance.MaxLivePerKey),
		fmt.Sprintf("life of an instance | %d days |", advance.MaxLifeDays)} {
		if !strings.Contains(string(b), limit) {
			t.Errorf("the manual does not say %q", limit)
		}
	}
	if MaxSteps != 1_000 || MaxEvents != 10_000 || advance.MaxSteps != 10_000 || advance.MaxLive != 250_000 {
		t.Error("the manual gives other limits")
	}
}
