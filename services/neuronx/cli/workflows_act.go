package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/workflowadmin"
)

// actsOn says what each verb does.
var actsOn = map[workflowadmin.Verb]struct{ short, long string }{
	workflowadmin.Retry: {"Run the tasks again at which instances failed", `Run the tasks again at which instances failed. A command that was sent and failed is sent
again, as a new command: look at what it reached first.`},
	workflowadmin.Skip: {"Go on after the tasks at which instances failed", `Go on after the tasks at which instances failed. What such a task would have set is null.`},
	workflowadmin.Cancel: {"End instances as cancelled", `End instances as cancelled. Their compensations and their finally run; commands that were
sent stay sent. What has ended never goes on.`},
	workflowadmin.Suspend: {"Hold instances: they run no task until they are resumed", `Hold instances: they run no task until they are resumed. What they hear is kept as far as the
workflow says so, and their until still end them. Timers fire, and go on after the resume.`},
	workflowadmin.Resume: {"Let suspended instances go on", `Let suspended instances go on. What was due meanwhile goes on at once; a workflow's late
says what is left out then.`},
}

func (c *cli) workflowsAct(verb workflowadmin.Verb) *cobra.Command {
	var f instanceFilter
	var ch change
	allowed := workflowadmin.StatesOf(verb)
	example := fmt.Sprintf("  neuronx workflows %s 6f1c… --tenant acme --by ada --execute\n  neuronx workflows %s --tenant acme --workflow nurture-52 --state %s --older-than 3d", verb, verb, allowed[0])
	cmd := &cobra.Command{
		Use: string(verb) + " [instance …]", Short: actsOn[verb].short, Args: cobra.ArbitraryArgs, Annotations: needFlags("tenant"),
		Long: actsOn[verb].long + `

It is asked of the instances that are named, or of those of one workflow that the flags
choose, one event an instance. Without --execute it counts them and says what would become
of each. With it, it waits until the rules service has read each request, and says what
became of it: done, or refused and why.`,
		Example: example,
		RunE: func(cmd *cobra.Command, ids []string) error {
			chosen := f.Workflow+f.State+f.WaitingAt+f.older != ""
			if err := f.check(); err != nil {
				return err
			}
			switch {
			case len(ids) > 0 == chosen:
				return operate.Usage("name instances, or choose them with --workflow, --state, --waiting-at, --older-than").Hint("one or the other")
			case chosen && f.Workflow == "":
				return operate.Usage("--workflow is required to choose instances")
			case chosen && f.State == "" && len(allowed) == 1:
				f.State = allowed[0]
			case chosen:
				if err := cmp.Or(required("state", f.State), oneOf("state", f.State, allowed...)); err != nil {
					return err
				}
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			plan, err := workflowadmin.Choose(ctx, c.env, verb, f.Filter, ids)
			if err != nil {
				return err
			}
			return c.actOnInstances(cmd.Context(), plan, ch)
		},
	}
	f.bind(cmd.Flags(), 1000)
	cmd.Flags().StringVar(&f.State, "state", "", "only those in this state: "+strings.Join(allowed, ", "))
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) actOnInstances(ctx context.Context, plan *workflowadmin.Chosen, ch change) error {
	if !ch.execute {
		if err := c.showRequests(plan.Requests); err != nil {
			return err
		}
		c.notePlan(plan)
		c.dryRun()
		return nil
	}
	undone := plan.Execute(ctx, c.env, actor(ch.by), ch.reason)
	if err := c.showRequests(plan.Requests); err != nil {
		return err
	}
	c.notePlan(plan)
	return cmp.Or(undone, plan.Undone())
}

// notePlan says how many instances a bulk verb is about, and leaves out.
func (c *cli) notePlan(plan *workflowadmin.Chosen) {
	of := map[string]bool{}
	for _, o := range plan.Requests {
		of[o.Instance] = true
	}
	c.note("%s of %s", operate.Plural(len(plan.Requests), "request"), operate.Plural(len(of), "instance"))
	if int64(len(of)) < plan.All {
		c.note("these are the oldest %d of %d; --limit takes more, and the same command again takes the next", len(of), plan.All)
	}
}

func (c *cli) showRequests(rows []workflowadmin.Outcome) error {
	return show(c, rows, []string{"INSTANCE", "WORKFLOW", "KEY", "RESULT", "CODE", "STATE", "TASK", "SEQUENCE", "DETAIL"}, func(o workflowadmin.Outcome) []any {
		return []any{o.Instance, o.Workflow, o.Key, o.Result, dash(o.Code), dash(o.Status), dash(o.Task), dash(o.Sequence), dash(c.errorCell(o.Detail))}
	})
}

func (c *cli) workflowsPause() *cobra.Command {
	var tenantID string
	var hold bool
	var ch change
	cmd := &cobra.Command{
		Use: "pause <workflow>", Short: "Stop the starts of a workflow, with --hold its instances, too", Args: args("workflow"), Annotations: needFlags("tenant"),
		Long: `Stop the starts of a workflow until it is unpaused: what would have started it is rejected,
and is not made up for. Its instances go on. With --hold they run no task either; their
until still end them.`,
		Example: "  neuronx workflows pause nurture-52 --tenant acme --hold --reason 'wrong template' --by ada --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			plan, err := workflowadmin.PlanPause(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if plan.Was != nil && plan.Was.Hold == hold {
				c.note("%s already", plan.Was.InWords())
				return nil
			}
			if !ch.execute {
				what := "let its live instances go on"
				if hold {
					what = "hold its live instances"
				}
				return c.would("stop the starts of %s of %s, and %s, of which there are %d", plan.Workflow, tenantID, what, plan.Live)
			}
			d, err := plan.Pause(ctx, c.env, actor(ch.by), hold, ch.reason)
			return c.showDone(d, err, "workflow %s is paused", plan.Workflow)
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	cmd.Flags().BoolVar(&hold, "hold", false, "its instances run no task either")
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) workflowsUnpause() *cobra.Command {
	var tenantID string
	var ch change
	cmd := &cobra.Command{
		Use: "unpause <workflow>", Short: "Let a paused workflow start again, and its instances go on", Args: args("workflow"), Annotations: needFlags("tenant"),
		Long: `Let a paused workflow start again. Instances that were held go on, a hundred with each
event of the tenant; what was due meanwhile goes on at once, and messages are still asked
for consent, hours and caps.`,
		Example: "  neuronx workflows unpause nurture-52 --tenant acme --by ada --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			plan, err := workflowadmin.PlanPause(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if plan.Was == nil {
				c.note("workflow %s of %s is not paused", args[0], tenantID)
				return nil
			}
			if !ch.execute {
				return c.would("let %s of %s start again; it has %s", plan.Workflow, tenantID, operate.Plural(int(plan.Live), "live instance"))
			}
			d, err := plan.Unpause(ctx, c.env, actor(ch.by), ch.reason)
			return c.showDone(d, err, "workflow %s is not paused any more", plan.Workflow)
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	ch.bind(cmd.Flags())
	return cmd
}
