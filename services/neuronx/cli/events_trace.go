package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/events"
)

func (c *cli) eventsTrace() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "trace <id or subject>", Short: "Show what caused an event, or all about a lead, and what came of it", Args: args("id or subject"),
		Long: `Show an event, or all events about a subject such as lead/42, with everything that caused them up to each root, and everything that
came of these: the type with the rule that derived it, and its data. It reads the archive, which follows the log by a moment.`,
		Example: "  neuronx events trace lead/42 --tenant acme\n  neuronx events trace 0199c5f2-… --tenant acme -o wide",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			found, more, err := events.Trace(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if err := c.noteBehind(ctx, tenantID); err != nil {
				return err
			}
			if more {
				c.note("these are the first %d events of it; there are more", events.MaxTraced)
			}
			return show(c, found, []string{"SEQUENCE", "EVENT", "RULE", "DATA", "SUBJECT", "RECORDED", "ID"}, func(v events.Traced) []any {
				return []any{v.Sequence, indent(v.Depth) + v.Type, dash(v.Rule), dash(string(v.Data)), dash(v.Subject), v.RecordedTime, v.ID}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

func indent(depth int) string {
	if depth == 0 {
		return ""
	}
	return strings.Repeat("   ", depth-1) + "└─ "
}
