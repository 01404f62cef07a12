package ruleadmin

import (
	"context"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/simulate"
)

// Test checks rules as Check does and runs the tests that lie next to them, in memory, against the schemas of this version or of the registry.
// problems are those of the rules and of the tests' files; with errors among them nothing runs. That a test fails is no error: report says it.
func Test(ctx context.Context, env *operate.Env, paths []string, fromRegistry bool) (report simulate.Report, problems rulefile.Problems, err error) {
	if fromRegistry && env.Value(operate.EnvRegistry) == "" {
		if _, err := env.Registry(); err != nil { // which says what to set
			return report, nil, err
		}
	}
	files, problems, catalogue, err := check(ctx, env, paths, !fromRegistry)
	if err != nil {
		return report, problems, err
	}
	reg, ok := catalogue.(rules.Registry)
	if !ok {
		return report, problems, operate.Fail("run the tests", nil).Because("these schemas can't be found by their ids")
	}
	texts, err := ruleset.LoadTests(paths...)
	if err != nil {
		return report, problems, operate.Fail("read the tests", err)
	}
	if len(texts) == 0 {
		return report, problems, operate.Fail("run the tests", nil).Because("there are none: a test is a file x_test.yaml of kind %s next to the rules", ruleset.KindTest).
			Hint("docs/rules.md, \"Testing rules\"; `neuronx rules new rule <name>` writes a rule with a test")
	}
	var inForce []string
	for _, f := range files {
		if kind, _ := ruleset.Kind(f); kind == "Rule" {
			inForce = append(inForce, ruleset.RuleName(f))
		}
	}
	tests, wrong, err := simulate.Read(ctx, texts, inForce, reg)
	if err != nil {
		return report, problems, operate.Fail("check the tests", err)
	}
	problems = append(problems, wrong...)
	if wrong.Err() != nil {
		return report, problems, tellProblems(wrong, "tests")
	}
	if report, err = simulate.Run(ctx, tests, files, reg); err != nil {
		return report, problems, operate.Fail("run the tests", err)
	}
	return report, problems, nil
}
