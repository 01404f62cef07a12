package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/simulate"
)

func (c *cli) rulesTest() *cobra.Command {
	var registry bool
	cmd := &cobra.Command{
		Use: "test <file or folder>…", Short: "Run the tests of rule files, in virtual time", Args: someArgs("file or folder"),
		Annotations: map[string]string{ownFormat: formatJUnit},
		Long: `Run the tests that lie next to rules: files x_test.yaml of kind RuleTest. They say which
events happen and what must come of them. The rules are checked first, as by validate;
then each test runs in memory with a clock of its own, against the schemas of this
version. It needs no engine, and sends nothing.

A step of which something else comes is shown field by field, with the rule that it
comes from. Rules that no test fires, and conditions that no test has seen both true
and false, are listed. -o junit writes JUnit XML for CI. Exit code 1: a test failed.`,
		Example: "  neuronx rules test rules/\n  neuronx rules test rules/ -o junit > report.xml",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			report, problems, err := ruleadmin.Test(ctx, c.env, args, registry)
			if err != nil {
				return c.showUntested(problems, err)
			}
			if c.format == formatTable {
				for _, p := range problems { // warnings
					c.note("%s", p)
				}
			}
			if err := c.showTests(report); err != nil {
				return err
			}
			if n := report.Failed(); n > 0 {
				return operate.Fail(fmt.Sprintf("%d of %s failed", n, operate.Plural(len(report.Tests), "test")), nil)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&registry, "registry", false, "check and run against the registry's schemas, not those of this version")
	return cmd
}

// showUntested shows why no test ran.
func (c *cli) showUntested(problems rulefile.Problems, err error) error {
	if len(problems) == 0 {
		return err
	}
	if c.format == formatJUnit {
		if shown := c.junitProblems(problems); shown != nil {
			return shown
		}
		return err
	}
	if shown := c.showRuleProblems(problems); shown != nil {
		return shown
	}
	return err
}

func (c *cli) showTests(r simulate.Report) error {
	switch c.format {
	case formatJSON:
		return c.json(r)
	case formatJUnit:
		return c.junit(r)
	}
	if err := show(c, r.Tests, []string{"RESULT", "TEST", "FILE", "TOOK"}, func(t simulate.Result) []any {
		word := "ok"
		if !t.Passed {
			word = "FAIL"
		}
		return []any{word, t.Test, t.File, t.Took.Round(100 * time.Microsecond)}
	}); err != nil {
		return err
	}
	for _, t := range r.Tests {
		if t.Passed {
			continue
		}
		printf(c.out, "\n%s: test %s failed\n", t.File, t.Test)
		for i := range t.Mismatches {
			for _, l := range t.Mismatches[i].Lines() {
				printf(c.out, "  %s\n", l)
			}
		}
	}
	c.sayCoverage(r.Rules)
	c.sayFlowCoverage(r.Workflows)
	return nil
}

// sayCoverage lists what no test has seen.
func (c *cli) sayCoverage(rules []simulate.Coverage) {
	fired := 0
	for i := range rules {
		if rules[i].Fired > 0 {
			fired++
		}
	}
	if len(rules) > 0 { // a bundle may have workflows alone
		c.note("%d of %s fired", fired, operate.Plural(len(rules), "rule"))
	}
	for i := range rules {
		if gap := rules[i].Missing(); gap != "" {
			c.note("rule %s (%s): %s", rules[i].Rule, rules[i].File, gap)
		}
	}
}

// sayFlowCoverage lists the tasks that no test has seen run.
func (c *cli) sayFlowCoverage(flows []simulate.FlowCoverage) {
	for i := range flows {
		ran := 0
		for _, t := range flows[i].Tasks {
			if t.Ran > 0 {
				ran++
			}
		}
		c.note("workflow %s: %d of %s ran", flows[i].Workflow, ran, operate.Plural(len(flows[i].Tasks), "task"))
		if gap := flows[i].Missing(); gap != "" {
			c.note("workflow %s (%s): %s", flows[i].Workflow, flows[i].File, gap)
		}
	}
}

func (c *cli) rulesNew() *cobra.Command {
	var folder string
	cmd := &cobra.Command{
		Use: "new <kind> <name>", Short: "Write a rule file and a test of it, to begin with", Args: args("kind", "name"),
		Long: `Write a commented file and a test of it into a folder, to begin with. It writes at once,
and only new files: what is there is never overwritten.

Kinds: ` + strings.Join(ruleadmin.Kinds(), ", "),
		Example: "  neuronx rules new rule hot-lead\n  neuronx rules test rules/",
		RunE: func(_ *cobra.Command, args []string) error {
			paths, err := ruleadmin.New(args[0], args[1], folder)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				return c.json(paths)
			}
			for _, p := range paths {
				printf(c.out, "%s\n", p)
			}
			c.note("next: neuronx rules test %s", folder)
			return nil
		},
	}
	cmd.Flags().StringVar(&folder, "into", "rules", "the folder; it is made if it is missing")
	return cmd
}
