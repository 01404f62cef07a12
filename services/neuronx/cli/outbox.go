package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/outboxes"
)

func (c *cli) outbox() *cobra.Command {
	return group("outbox", "Derived events on their way to the log", c.outboxMend())
}

func (c *cli) outboxMend() *cobra.Command {
	var deriver string
	var execute bool
	cmd := &cobra.Command{
		Use: "mend <tenant>", Short: "Put placeholders under the numbers that a deriver's outbox lacks", Args: args("tenant"),
		Long: `Put placeholders under the numbers that a deriver's outbox lacks. The sequencer takes a
deriver's events by number, without a gap; a row that somebody deleted stops that
deriver for its tenant. A placeholder is refused (deriver_forbidden) and uses its
number up, so that what waits behind it goes on. What stood there is gone. More than 10,000
missing numbers in a row are a jump: somebody raised the deriver's number. It is closed:
what waits behind it, and what is derived from now on, follows the number before it.`,
		Example: "  neuronx outbox mend acme --deriver rules\n  neuronx outbox mend acme --deriver rules --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if err := oneOf("deriver", deriver, event.Derivers()...); err != nil {
				return err
			}
			r, err := outboxes.Mend(ctx, c.env, args[0], deriver, execute)
			if err != nil {
				return err
			}
			if err := show(c, r.Numbers, []string{"TENANT", "DERIVER", "NUMBER", "ACTION"}, func(r outboxes.Number) []any { return []any{r.Tenant, r.Deriver, r.Number, r.Action} }); err != nil {
				return err
			}
			if len(r.Numbers) > 0 && !execute {
				c.note("%s missing and %s behind %d, which the sequencer has; repeat with --execute", operate.Plural(r.Missing, "number"), operate.Plural(r.Jumps, "jump"), r.Last)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&deriver, "deriver", "", "rules, timers, gohighlevel or deadletter")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}
