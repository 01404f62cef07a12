package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/subjects"
)

func (c *cli) subjects() *cobra.Command {
	return group("subjects", "Subjects that are the same person or thing, such as two leads: merge, unmerge", c.subjectsMerge(), c.subjectsUnmerge())
}

func (c *cli) subjectsMerge() *cobra.Command {
	var tenantID string
	var ch change
	cmd := &cobra.Command{
		Use: "merge <from> <into>", Short: "Merge a subject into another, from here on", Args: args("from", "into"), Annotations: needFlags("tenant"),
		Long: `Merge a subject into another: from here on, what comes about the first counts as about the
second. Of the live instances of a workflow, and of a group, the oldest stays and the others end as
merged. Neither is messaged over a channel for which either has revoked its consent; a consent that
the first gave does not count for the second. Without --execute it shows what each has. Nothing is
renamed: neuronx subjects unmerge takes the merge back for all that comes after, but does not undo
what it joined. In read models what comes about the first goes to the row of the second, and the row
of the first stays as it was, with merged_into. The CRM still has both contacts; commands go to that of
the second.`,
		Example: "  neuronx subjects merge lead/7 lead/9 --tenant acme\n  neuronx subjects merge lead/7 lead/9 --tenant acme --reason 'same person' --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			plan, err := subjects.Merging(ctx, c.env, tenantID, args[0], args[1])
			if err != nil {
				return err
			}
			if !ch.execute {
				if err := c.showSides(plan); err != nil {
					return err
				}
				return c.would("merge %s into %s of %s", args[0], args[1], tenantID)
			}
			if err := required("reason", ch.reason); err != nil {
				return err
			}
			done, err := subjects.Merge(ctx, c.env, actor(ch.by), tenantID, args[0], args[1], ch.reason)
			if err == nil {
				c.noteRemains("an unmerge would not take apart", done.Remains)
			}
			return c.showDone(done.Done, err, "%s is merged into %s", args[0], args[1])
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) subjectsUnmerge() *cobra.Command {
	var tenantID string
	var ch change
	cmd := &cobra.Command{
		Use: "unmerge <from> <into>", Short: "Take a merge back, for all that comes after", Args: args("from", "into"), Annotations: needFlags("tenant"),
		Long: `Take a merge back: what comes about the first subject is about that subject again. What the
merge joined stays joined, and what read models took in for the second since the merge stays there:
without --execute it lists that.`,
		Example: "  neuronx subjects unmerge lead/7 lead/9 --tenant acme\n  neuronx subjects unmerge lead/7 lead/9 --tenant acme --reason 'two people' --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if !ch.execute {
				plan, err := subjects.Unmerging(ctx, c.env, tenantID, args[0], args[1])
				if err != nil {
					return err
				}
				if err := c.showSides(plan); err != nil {
					return err
				}
				c.noteRemains("stays as the merge left it", plan.Remains)
				return c.would("unmerge %s from %s of %s", args[0], args[1], tenantID)
			}
			if err := required("reason", ch.reason); err != nil {
				return err
			}
			done, err := subjects.Unmerge(ctx, c.env, actor(ch.by), tenantID, args[0], args[1], ch.reason)
			if err == nil {
				c.noteRemains("stays as the merge left it", done.Remains)
			}
			return c.showDone(done.Done, err, "%s is no longer merged into %s", args[0], args[1])
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	ch.bind(cmd.Flags())
	return cmd
}

// noteRemains lists what does not come apart.
func (c *cli) noteRemains(what string, remains []string) {
	for _, r := range remains {
		c.note("%s: %s", what, r)
	}
}

// showSides shows what each of two subjects has.
func (c *cli) showSides(p subjects.Plan) error {
	if c.format == formatJSON {
		return c.json(p)
	}
	return show(c, p.Sides, []string{"SUBJECT", "INSTANCES", "CLAIMS", "GRANTED", "REVOKED", "MESSAGES"}, func(s subjects.Side) []any {
		flows := operate.Each(s.Instances, func(i subjects.Instance) string { return i.Workflow + " since " + stamp(i.Started) })
		claims := operate.Each(s.Claims, func(cl subjects.Claim) string { return fmt.Sprintf("%s: %s", cl.Pool, cl.Member) })
		return []any{s.Subject, join(flows), join(claims), join(s.Granted), join(s.Revoked), s.Sends}
	})
}
