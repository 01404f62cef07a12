package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
)

// rulesShow prints the texts in force: what the engine runs, which need not be what lies in a folder.
func (c *cli) rulesShow() *cobra.Command {
	var tenantID string
	var version int64
	cmd := &cobra.Command{
		Use: "show [rule]", Short: "Print the texts of the rules in force, with their version", Args: cobra.MaximumNArgs(1),
		Example: "  neuronx rules show --tenant acme\n  neuronx rules show qualify --tenant acme --version 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			shown, err := ruleadmin.Show(ctx, c.env, tenantID, version, args...)
			if err != nil {
				return err
			}
			if c.format == formatJSON {
				return c.json(shown)
			}
			c.printBundle(shown)
			return nil
		},
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
