package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/workflowadmin"
)

func (c *cli) workflowsStart() *cobra.Command {
	var tenantID, what string
	var ch change
	cmd := &cobra.Command{
		Use: "start <workflow>", Short: "Start a workflow on an event that was recorded before", Args: args("workflow"), Annotations: needFlags("tenant", "event"),
		Long: `Start a workflow on an event that was recorded before, such as one that came before the workflow
was published. The file decides as it does when such an event comes: its types and origins,
start.when, start.fresh, who may start again, groups and limits. The instance begins now, and
not when the event came. Nothing starts about somebody who was erased since.

Without --execute it says what the file makes of the event.`,
		Example: "  neuronx workflows start speed-to-lead --tenant acme --event 8114\n  neuronx workflows start speed-to-lead --tenant acme --event 0199c5f2-… --reason 'came before the rollout' --by ada --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			plan, err := workflowadmin.PlanStart(ctx, c.env, tenantID, args[0], what)
			if err != nil {
				return err
			}
			if plan.Refused != "" {
				return operate.Fail("event "+plan.Sequence+" does not start "+plan.Workflow, nil).Because("%s", plan.Refused).
					Hint("neuronx rules explain --tenant %s --event %s", tenantID, plan.Sequence)
			}
			if !ch.execute {
				return c.would("start %s of %s for the key %s, on %s at sequence %s", plan.Workflow, tenantID, plan.Key, plan.Type, plan.Sequence)
			}
			d, instance, err := plan.Execute(ctx, c.env, actor(ch.by), ch.reason)
			return c.showDone(d, err, "workflow %s started as instance %s", plan.Workflow, instance)
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	cmd.Flags().StringVar(&what, "event", "", "the event: its id or sequence")
	ch.bind(cmd.Flags())
	return cmd
}
