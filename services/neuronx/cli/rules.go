package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/rulefile"
)

func (c *cli) rules() *cobra.Command {
	return group("rules", "Rule files: new, validate, test, backtest, publish, list, show; how rules do: explain, health, reset, rerun",
		c.rulesNew(), c.rulesValidate(), c.rulesTest(), c.rulesBacktest(), c.rulesPublish(), c.rulesList(), c.rulesShow(), c.rulesHealth(), c.rulesReset(), c.rulesRerun(), c.rulesExplain())
}

func (c *cli) showRuleProblems(problems rulefile.Problems) error {
	if c.format == formatJSON {
		return c.json(append(rulefile.Problems{}, problems...))
	}
	for _, p := range problems { // as compilers write them: the columns of a table would be cut to the terminal, and the text with them
		printf(c.out, "%s\n", p)
	}
	return nil
}

func (c *cli) rulesValidate() *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use: "validate <file or folder>…", Short: "Check rule files", Args: someArgs("file or folder"),
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			files, problems, err := ruleadmin.Check(ctx, c.env, args, offline)
			if err == nil || len(problems) > 0 {
				if err := c.showRuleProblems(problems); err != nil {
					return err
				}
			}
			if err == nil {
				c.note("%s, no errors", operate.Plural(len(files), "file"))
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "check against the schemas of this version, not the registry's")
	return cmd
}

func someArgs(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == 0 {
			return operate.Usage("%s needs a <%s>", cmd.CommandPath(), name).Hint("%s", cmd.UseLine())
		}
		return nil
	}
}

func (c *cli) rulesList() *cobra.Command {
	var tenantID string
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the rules in force, and those that tripped", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			found, err := ruleadmin.List(ctx, c.env, tenantID, all, 1001)
			if err != nil {
				return err
			}
			found = capped(c, found, 1000, "--tenant chooses")
			return show(c, found, []string{"TENANT", "VERSION", "SEQUENCE", "HASH", "SEMANTICS", "FILES", "BY", "PUBLISHED", "TRIPPED"}, func(r ruleadmin.Bundle) []any {
				return []any{r.Tenant, r.Version, r.Sequence, r.Hash[:min(12, len(r.Hash))], r.Semantics, r.Files, dash(r.By), stamp(r.Published), join(r.Tripped)}
			})
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().BoolVar(&all, "all", false, "earlier versions, too")
	return cmd
}

func (c *cli) rulesReset() *cobra.Command {
	var tenantID string
	var ch change
	cmd := &cobra.Command{
		Use: "reset <rule>", Short: "Turn a rule on again that tripped", Args: args("rule"), Annotations: needFlags("tenant"),
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			tripped, missed, err := ruleadmin.Off(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if tripped == "" {
				c.note("rule %s of %s has not tripped", args[0], tenantID)
				return nil
			}
			c.note("while it was off it missed %s", missed)
			if !ch.execute {
				return c.would("turn rule %s of %s on again; it tripped: %s", args[0], tenantID, tripped)
			}
			d, err := ruleadmin.Reset(ctx, c.env, actor(ch.by), tenantID, args[0], ch.reason)
			return c.showDone(d, err, "rule %s is on again", args[0])
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	ch.bind(cmd.Flags())
	return cmd
}

// rulesHealth lists how rules do. A rule that never failed has no row.
func (c *cli) rulesHealth() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "health", Short: "List rules that failed: what counts toward a trip, and what ran into a budget", Args: noArgs,
		Long: `List rules that failed. FAILURES are in a row, on different subjects, and count toward a
trip. BY DATA are events whose values it failed on, such as a null or a zero, OVER BUDGET those on which
it was cut, the last time by this budget: expression, result, field, rule_cost, event_cost,
rule_output, event_output or state. Neither trips a rule. REASON is the last failure, whatever
it counted as: its code, the place in the rule and what went wrong; AT is the sequence of
the event (neuronx events get). Counts and reason begin again with neuronx rules reset.`,
		Example: "  neuronx rules health --tenant acme\n  neuronx rules health -o wide",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			found, err := ruleadmin.ListHealth(ctx, c.env, tenantID, 1001)
			if err != nil {
				return err
			}
			found = capped(c, found, 1000, "--tenant chooses")
			header := []string{"TENANT", "RULE", "TRIPPED", "FAILURES", "BY DATA", "AT", "REASON", "OVER BUDGET", "LAST BUDGET", "EVENT", "UPDATED"}
			return show(c, found, header, func(r ruleadmin.Health) []any {
				return []any{r.Tenant, r.Rule, dash(r.Tripped), r.Failures, r.ByData, dash(r.Sequence), dash(c.errorCell(r.Reason())), r.OverBudget, dash(r.LastBudget),
					dash(r.EventID), stamp(r.Updated)}
			})
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	return cmd
}

// rulesShow prints the texts in force: what the engine runs, which need not be what lies in a folder.
func (c *cli) rulesShow() *cobra.Command {
	var tenantID string
	var version int64
	cmd := &cobra.Command{
		Use: "show [rule]", Short: "Print the texts of the rules in force, with their version", Args: cobra.MaximumNArgs(1), Annotations: needFlags("tenant"),
		Example: "  neuronx rules show --tenant acme\n  neuronx rules show qualify --tenant acme --version 3",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			shown, err := ruleadmin.Show(ctx, c.env, tenantID, version, args...)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				return c.json(shown)
			}
			c.printBundle(shown)
			return nil
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	cmd.Flags().Int64Var(&version, "version", 0, "an earlier version (default: the one in force)")
	return cmd
}

// printBundle writes the texts one after another, as YAML documents with comments that say what they are.
func (c *cli) printBundle(b ruleadmin.Shown) {
	printf(c.out, "# version %d of %s, semantics %d, since sequence %s (%s)\n", b.Version, b.Tenant, b.Semantics, b.Sequence, stamp(b.Published))
	if b.By != "" {
		printf(c.out, "# published by %s\n", b.By)
	}
	for _, f := range b.Texts {
		printf(c.out, "---\n# %s\n", f.File)
		if f.Off != "" {
			printf(c.out, "# this rule is off: neuronx rules reset %s --tenant %s\n", f.Rule, b.Tenant)
		}
		for _, line := range strings.Split(strings.TrimRight(f.Text, "\n"), "\n") {
			printf(c.out, "%s\n", strings.TrimRight(line, "\r"))
		}
	}
}
