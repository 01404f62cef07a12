package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func (c *cli) rulesPublish() *cobra.Command {
	var tenantID, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "publish <file or folder>…", Short: "Replace a tenant's whole set of rules", Args: someArgs("file or folder"),
		Long: `Replace a tenant's whole set of rules by the given files. It is an event in the
tenant's stream: the switch happens at one sequence, and replay uses what was in force.

It lists which rules are added, changed and REMOVED: a rule whose file is not given is taken
away. A rule that tripped stays off until neuronx rules reset, whatever is published.`,
		Example: "  neuronx rules publish rules/ --tenant acme\n  neuronx rules publish rules/ --tenant acme --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			files, problems, err := ruleadmin.Check(ctx, c.env, args, false)
			for _, p := range problems { // stdout is for what was published
				c.note("%s", p)
			}
			if err != nil {
				return err
			}
			p, current, same, err := ruleadmin.Plan(ctx, c.env, tenantID, files)
			if err != nil {
				return err
			}
			if same {
				c.note("version %d is in force and is the same", current.Version)
				c.sayTripped(p)
				return nil
			}
			if !execute {
				instead := "; the tenant has no rules yet"
				if current.Version > 0 {
					instead = fmt.Sprintf(" in place of version %d", current.Version)
				}
				c.note("would publish %s as version %d (hash %.12s)%s", operate.Plural(len(files), "file"), p.Version, p.Hash, instead)
				if current.Version > 0 && current.Semantics < ruleset.Semantics {
					c.note("semantics %d in place of %d: see docs/operations.md, \"Semantics of rules\"", ruleset.Semantics, current.Semantics)
				}
				if err := c.showPublication(p); err != nil {
					return err
				}
				c.dryRun()
				return nil
			}
			if err := ruleadmin.Publish(ctx, c.env, actor(by), &p, files); err != nil {
				return err
			}
			c.note("version %d is in force from sequence %s on", p.Version, p.Sequence)
			return c.showPublication(p)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// showPublication lists what changes, and which rules stay off.
func (c *cli) showPublication(p ruleadmin.Publication) error {
	if c.format == formatJSON {
		return c.json(p)
	}
	changed := slices.DeleteFunc(slices.Clone(p.Changes), func(ch ruleset.Change) bool { return ch.Change == ruleset.Kept })
	if err := show(c, changed, []string{"CHANGE", "RULE", "FILE"}, func(ch ruleset.Change) []any { return []any{ch.Change, ch.Rule, ch.File} }); err != nil {
		return err
	}
	if kept := len(p.Changes) - len(changed); kept > 0 {
		c.note("%s unchanged", operate.Plural(kept, "rule"))
	}
	c.sayTripped(p)
	return nil
}

func (c *cli) sayTripped(p ruleadmin.Publication) {
	for _, t := range p.Tripped {
		c.note("rule %s is off (%s) and stays off: neuronx rules reset %s --tenant %s", t.Rule, t.Reason, t.Rule, p.Tenant)
	}
}
