package cli

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func (c *cli) logCmd() *cobra.Command {
	return group("log", "The log itself", c.logHanging(), c.logReseed())
}

// hangingRow is a hanging transaction as it is shown.
type hangingRow struct {
	Topic           string    `json:"topic"`
	Partition       int32     `json:"partition"`
	StartOffset     int64     `json:"start_offset"`
	TransactionalID string    `json:"transactional_id,omitempty"`
	ProducerID      int64     `json:"producer_id"`
	ProducerEpoch   int16     `json:"producer_epoch"`
	LastWrite       time.Time `json:"last_write"`
	Reason          string    `json:"reason"`
	Outcome         string    `json:"outcome"`
	Ended           bool      `json:"ended"`
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
			cfg, err := c.env.Kafka()
			if err != nil {
				return err
			}
			admin, err := kafka.NewAdmin(cfg)
			if err != nil {
				return operate.Fail("open Kafka", err)
			}
			defer admin.Close()
			found, looked, err := operate.HangingTxns(ctx, admin)
			if err != nil {
				return operate.Fail("look for hanging transactions", err).Hint("it needs Read on the topics and Describe on the transactional ids")
			}
			var failures error
			rows := make([]hangingRow, 0, len(found))
			for _, t := range found {
				r := hangingRow{Topic: t.Topic, Partition: t.Partition, StartOffset: t.StartOffset, TransactionalID: t.TransactionalID,
					ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, LastWrite: t.LastWrite.UTC(), Reason: t.Reason, Outcome: string(t.Outcome)}
				if execute {
					err := admin.EndHangingTxn(ctx, t)
					failures = errors.Join(failures, err)
					r.Ended = err == nil
				}
				rows = append(rows, r)
			}
			if err := show(c, rows, []string{"TOPIC", "PARTITION", "START OFFSET", "TRANSACTIONAL ID", "LAST WRITE", "REASON", "OUTCOME", "ENDED"}, func(r hangingRow) []any {
				return []any{r.Topic, r.Partition, r.StartOffset, dash(r.TransactionalID), stamp(r.LastWrite), r.Reason, r.Outcome, r.Ended}
			}); err != nil {
				return err
			}
			if len(looked.Hidden) > 0 {
				printf(c.err, "not looked at, as this Kafka user may not see them or they are missing: %s\n", strings.Join(looked.Hidden, ", "))
			}
			switch {
			case failures != nil:
				return operate.Fail("end hanging transactions", failures).Hint("run it as a user with Alter on the cluster and Read on __transaction_state; of an unknown outcome, see docs/operations.md")
			case len(found) > 0 && !execute:
				c.dryRun()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "end them")
	return cmd
}
