package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate/logrepair"
)

func (c *cli) logCmd() *cobra.Command {
	return group("log", "The log itself", c.logHanging(), c.logReseed())
}

func (c *cli) logHanging() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "hanging", Short: "Find transactions that nobody will end, and end them", Args: noArgs,
		Long: `Find hanging transactions (KIP-664) on the engine's topics and on its groups' offsets:
open ones that their coordinator does not know, or knows to be over. Readers of such a
partition wait for ever. With --execute they are ended as their coordinator had decided,
by its own log (__transaction_state): committed or aborted. kafka-transactions.sh abort
always aborts, which tears a transaction that was committed elsewhere. The sequencer
does the same by itself on its own topics where its Kafka user may.`,
		Example: "  neuronx log hanging\n  neuronx log hanging --execute",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			h, err := logrepair.EndHanging(ctx, c.env, execute)
			if err != nil {
				return err
			}
			if err := show(c, h.Found, []string{"TOPIC", "PARTITION", "START OFFSET", "TRANSACTIONAL ID", "LAST WRITE", "REASON", "OUTCOME", "ENDED"}, func(r logrepair.HangingTxn) []any {
				return []any{r.Topic, r.Partition, r.StartOffset, dash(r.TransactionalID), stamp(r.LastWrite), r.Reason, r.Outcome, r.Ended}
			}); err != nil {
				return err
			}
			if len(h.Hidden) > 0 {
				printf(c.err, "not looked at, as this Kafka user may not see them or they are missing: %s\n", strings.Join(h.Hidden, ", "))
			}
			if h.Failed == nil && len(h.Found) > 0 && !execute {
				c.dryRun()
			}
			return h.Failed
		},
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "end them")
	return cmd
}
