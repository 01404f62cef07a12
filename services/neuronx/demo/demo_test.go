package demo

import (
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/simulate"
)

func TestRules_TheDemosBundleIsValidAndTestedWhole(t *testing.T) {
	texts, err := Rules()
	if err != nil {
		t.Fatal(err)
	}
	var all []ruleset.File
	for name, text := range texts {
		if f := (ruleset.File{Name: name, Text: text}); !ruleset.IsTest(f) {
			all = append(all, f)
		}
	}
	embedded, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	reg := embedded.(rules.Registry)
	problems, err := ruleset.Validate(t.Context(), all, reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	// Each folder has its tests, which expect what comes of that folder alone.
	files, err := ruleset.Load("workflows")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := ruleset.LoadTests("workflows")
	if err != nil {
		t.Fatal(err)
	}
	read, problems, err := simulate.Read(t.Context(), tests, nil, reg)
	if err != nil || problems.Err() != nil || len(read) != 1 {
		t.Fatal(len(read), err, problems)
	}
	report, err := simulate.Run(t.Context(), read, files, reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Tests {
		for i := range r.Mismatches {
			t.Error(r.Mismatches[i].Lines())
		}
	}
	for i := range report.Workflows {
		if c := &report.Workflows[i]; !c.Whole() {
			t.Errorf("%s: %s", c.Workflow, c.Missing())
		}
	}
	if len(report.Workflows) != 1 {
		t.Errorf("%d workflows", len(report.Workflows))
	}
}

// A referral comes at once, so that the workflow is seen within the first minutes, and every referral is called after the workflow has passed it on.
func TestTraffic_BeginsWithAReferralAndCallsEachLater(t *testing.T) {
	for n, want := range []bool{true, false, false, false, false, false, true} {
		if _, data := lead(n); (data["channel"] == Referral) != want {
			t.Errorf("lead %d comes over %v", n, data["channel"])
		}
	}
	var c calls
	began := time.Unix(0, 0)
	c.add("1", began)
	c.add("2", began.Add(9*time.Second))
	if got := c.due(began.Add(CallsAfter - 1)); len(got) > 0 || CallsAfter <= time.Minute {
		t.Errorf("called before the workflow passes it on: %v", got)
	}
	if got := c.due(began.Add(CallsAfter)); !slices.Equal(got, []string{"1"}) {
		t.Error(got)
	}
	if got := c.due(began.Add(time.Hour)); !slices.Equal(got, []string{"2"}) {
		t.Error(got)
	}
	if got := c.due(began.Add(time.Hour)); len(got) > 0 {
		t.Errorf("called twice: %v", got)
	}
}
