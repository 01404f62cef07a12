package cli

import (
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/workflowadmin"
)

func (c *cli) workflowsMigrate() *cobra.Command {
	var tenantID string
	var from int64
	var limit int
	var ch change
	cmd := &cobra.Command{
		Use: "migrate <workflow>", Short: "Let living instances go on by the text of their workflow that is in force", Args: args("workflow"), Annotations: needFlags("tenant"),
		Long: `Let living instances of a workflow go on by the text that is in force. An instance keeps the
text that it started with until it is migrated. It can be if each task at which it rests is in
the new text: under the same path, of the same kind, inside the same kinds of tasks. Nothing is
entered by it: it rests where it rested, timers that are armed keep their due, incidents and
suspensions stay.

Without --execute it counts the instances by version and says of each what would become of it,
with the task that the new text lacks. With it, each gets an event of its own, and the command
says what became of it.`,
		Example: "  neuronx workflows migrate nurture-52 --tenant acme\n  neuronx workflows migrate nurture-52 --tenant acme --from-version 7 --reason 'new subject line' --by ada --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 10_000 {
				return operate.Usage("--limit must be from 1 to 10000")
			}
			if from < 0 || from == 0 && cmd.Flags().Changed("from-version") {
				return operate.Usage("--from-version must be at least 1")
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			plan, err := workflowadmin.PlanMigration(ctx, c.env, tenantID, args[0], from, limit)
			if err != nil {
				return err
			}
			if len(plan.Requests) == 0 {
				c.note("no instance of %s that lives runs by another version than %d, which is in force", args[0], plan.To)
				return nil
			}
			for i := range plan.Versions {
				c.note("%s", plan.Versions[i].InWords())
			}
			return c.actOnInstances(cmd.Context(), &plan.Chosen, ch)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.Int64Var(&from, "from-version", 0, "only those that run by this version of the rules")
	fs.IntVarP(&limit, "limit", "n", 1000, "at most so many, oldest first")
	ch.bind(fs)
	return cmd
}
