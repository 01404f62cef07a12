package ruleadmin

import (
	"context"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// Check loads rule files and folders and checks them against the registry's schemas, or offline against those of this version. All that is
// wrong, or worth a warning, is in problems; err says how many errors there are among them, or why nothing was checked: then problems is empty.
func Check(ctx context.Context, env *operate.Env, paths []string, offline bool) (files []ruleset.File, problems rulefile.Problems, err error) {
	files, problems, _, err = check(ctx, env, paths, offline)
	if len(problems) == 0 && err != nil {
		return nil, nil, err
	}
	if tests, err := ruleset.LoadTests(paths...); err == nil && len(tests) > 0 { // read a moment ago
		env.Note("%s left out, as no part of what is published: %s; `neuronx rules test` runs them", operate.Plural(len(tests), "test"), strings.Join(names(tests), ", "))
	}
	return files, problems, err
}

func names(files []ruleset.File) []string {
	return operate.Each(files, func(f ruleset.File) string { return f.Name })
}

// check is Check without a word about tests. It also gives the schemas that it checked against.
func check(ctx context.Context, env *operate.Env, paths []string, offline bool) (files []ruleset.File, problems rulefile.Problems, catalogue typecheck.Catalogue, err error) {
	if files, err = ruleset.Load(paths...); err != nil {
		return nil, nil, nil, operate.Fail("read the rule files", err).Hint("name a rule file, or a folder of .yaml files")
	}
	if left := ruleset.LeftOut(paths...); len(left) > 0 {
		env.Note("warning: not read: %s; of a folder, rules are the files *.yaml and *.yml, and not its subfolders", strings.Join(left, ", "))
	}
	if tests := ruleset.Misnamed(files); len(tests) > 0 {
		env.Note("of kind %s, and not named so: %s; the name of a test ends in _test.yaml", ruleset.KindTest, strings.Join(tests, ", "))
	}
	if !offline && env.Value(operate.EnvRegistry) != "" {
		if catalogue, err = env.Registry(); err != nil {
			return nil, nil, nil, err
		}
	} else if catalogue, err = ruleset.Embedded(); err != nil {
		return nil, nil, nil, operate.Fail("read the built-in schemas", err)
	}
	if problems, err = ruleset.Validate(ctx, files, catalogue); err != nil {
		return nil, nil, nil, operate.Fail("check the rule files", err).Hint("--offline checks against the schemas of this version")
	}
	if problems.Err() == nil {
		return files, problems, catalogue, nil
	}
	return nil, problems, nil, tellProblems(problems, "rule files")
}

// tellProblems is the error that counts the errors among problems.
func tellProblems(problems rulefile.Problems, where string) error {
	n := 0
	for _, p := range problems {
		if !p.Warning {
			n++
		}
	}
	return &operate.Error{Kind: operate.KindFailed, What: operate.Plural(n, "problem") + " in the " + where, Code: event.CodeInvalidRule}
}
