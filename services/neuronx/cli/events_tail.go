package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
)

func (c *cli) eventsTail() *cobra.Command {
	var f events.TailOptions
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the log", Args: noArgs,
		Long: `Follow the log from its end on, until Ctrl-C. --limit ends it after so many events, --timeout after so long (without the flag it has
no end), --until-end at the end that the log has now: that begins with the oldest event, partition by partition.`,
		Example: "  neuronx events tail --tenant acme\n  neuronx events tail --until-end --tenant acme -o json\n  neuronx events tail --timeout 10s --limit 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 0 {
				return operate.Usage("--limit can't be negative")
			}
			look, cancel := c.bounded(cmd)
			defer cancel()
			if err := events.CheckTail(look, c.env, f); err != nil {
				return err
			}
			ctx, cancel := cmd.Context(), func() {}
			if cmd.Flags().Changed("timeout") {
				ctx, cancel = context.WithTimeout(ctx, c.env.Timeout)
			}
			defer cancel()
			seen, err := events.Tail(ctx, c.env, f, c.showTail)
			switch {
			case err != nil:
				return err
			case f.UntilEnd && ctx.Err() != nil && cmd.Context().Err() == nil:
				return operate.Partial("the end of the log was not reached within %s", c.env.Timeout).Hint("raise --timeout")
			case seen == 0:
				c.note("none%s", c.lookedFor())
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Type, "type", "", "only this type")
	fs.StringVar(&f.Subject, "subject", "", "only about this, such as lead/42")
	fs.BoolVar(&f.FromStart, "from-start", false, "begin with the oldest event instead of the next")
	fs.BoolVar(&f.UntilEnd, "until-end", false, "begin with the oldest event, and end where the log ends now")
	fs.IntVarP(&f.Limit, "limit", "n", 0, "stop after so many; 0: never")
	return cmd
}

// showTail writes one event a line; a table can't know its widths in advance.
func (c *cli) showTail(v events.Event) error {
	if c.format == formatJSON {
		return c.line(v)
	}
	data := string(v.Data)
	if v.DataError != "" {
		data = "(" + v.DataError + ")"
	}
	if width := c.columns(); width > 0 {
		line := []string{v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data}
		for i := range line {
			line[i] = safetext.Text(line[i])
		}
		printf(c.out, "%s\n", operate.Cut(strings.Join(line, " "), width))
		return nil
	}
	printf(c.out, "%s  %-12s %6s  %-28s %-24s %s\n", v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data)
	return nil
}
