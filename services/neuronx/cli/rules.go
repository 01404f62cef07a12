package cli

import (
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func (c *cli) rules() *cobra.Command {
	return group("rules", "Rule files: validate, publish, list, show; how rules do: health, reset, rerun",
		c.rulesValidate(), c.rulesPublish(), c.rulesList(), c.rulesShow(), c.rulesHealth(), c.rulesReset(), c.rulesRerun())
}

func (c *cli) showRuleProblems(problems ruleset.Problems) error {
	if c.format == formatJSON {
		return c.json(append(ruleset.Problems{}, problems...))
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
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
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
		},
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			found, err := ruleadmin.List(ctx, c.env, tenantID, all, 1001)
			if err != nil {
				return err
			}
			found = capped(c, found, 1000, "--tenant chooses")
			return show(c, found, []string{"TENANT", "VERSION", "SEQUENCE", "HASH", "SEMANTICS", "FILES", "BY", "PUBLISHED", "TRIPPED"}, func(r ruleadmin.Bundle) []any {
				return []any{r.Tenant, r.Version, r.Sequence, r.Hash[:min(12, len(r.Hash))], r.Semantics, r.Files, dash(r.By), stamp(r.Published), join(r.Tripped)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().BoolVar(&all, "all", false, "earlier versions, too")
	return cmd
}

func (c *cli) rulesReset() *cobra.Command {
	var tenantID, reason, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "reset <rule>", Short: "Turn a rule on again that tripped", Args: args("rule"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			tripped, missed, err := ruleadmin.Off(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if tripped == "" {
				c.note("rule %s of %s has not tripped", args[0], tenantID)
				return nil
			}
			c.note("while it was off it missed %s", missed)
			if !execute {
				c.note("would turn rule %s of %s on again; it tripped: %s", args[0], tenantID, tripped)
				c.dryRun()
				return nil
			}
			d, err := ruleadmin.Reset(ctx, c.env, actor(by), tenantID, args[0], reason)
			if err != nil {
				return err
			}
			return c.showDone(d, "rule %s is on again", args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&reason, "reason", "", "why, for the record")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}
