package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/pkg/kafka/topology"
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
			cfg, err := c.kafka()
			if err != nil {
				return err
			}
			adm, err := admin.New(cfg)
			if err != nil {
				return failed("open Kafka", err)
			}
			defer adm.Close()
			found, looked, err := hangingTxns(ctx, adm)
			if err != nil {
				return failed("look for hanging transactions", err).next("it needs Read on the topics and Describe on the transactional ids")
			}
			var failures error
			rows := make([]hangingRow, 0, len(found))
			for _, t := range found {
				r := hangingRow{Topic: t.Topic, Partition: t.Partition, StartOffset: t.StartOffset, TransactionalID: t.TransactionalID,
					ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, LastWrite: t.LastWrite.UTC(), Reason: t.Reason, Outcome: string(t.Outcome)}
				if execute {
					err := hanging.End(ctx, adm, t)
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
			if len(looked.hidden) > 0 {
				printf(c.err, "not looked at, as this Kafka user may not see them or they are missing: %s\n", strings.Join(looked.hidden, ", "))
			}
			switch {
			case failures != nil:
				return failed("end hanging transactions", failures).next("run it as a user with Alter on the cluster and Read on __transaction_state; of an unknown outcome, see docs/operations.md")
			case len(found) > 0 && !execute:
				c.dryRun()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "end them")
	return cmd
}

// hangingTxns looks at every topic that the engine's transactions write to.
func hangingTxns(ctx context.Context, adm *admin.Client) (found []hanging.Txn, looked lookedAt, err error) {
	declared, err := topology.Topics()
	if err != nil {
		return nil, looked, err
	}
	topics, err := adm.Topics(ctx)
	if err != nil {
		return nil, looked, err
	}
	// A topic that the user may not describe is left out of the answer as if it did not exist.
	for _, d := range declared {
		if _, ok := topics[d.Name]; !ok {
			looked.hidden = append(looked.hidden, d.Name)
		}
	}
	var all []kafka.TopicPartition
	for name, t := range topics {
		for p := range t.Partitions {
			if strings.HasPrefix(name, "neuronx.") || name == "_schemas" {
				all = append(all, kafka.TopicPartition{Topic: name, Partition: p})
			}
		}
	}
	for _, g := range []string{kafka.GroupSequencer, kafka.GroupLanding} {
		tp, err := adm.OffsetsPartition(ctx, g)
		switch {
		case kafka.Unauthorized(err):
			looked.hidden = append(looked.hidden, "the offsets of "+g)
		case errors.Is(err, admin.ErrNoTopic): // it exists once the first group has come
		case err != nil:
			return nil, looked, err
		default:
			all = append(all, tp)
		}
	}
	looked.partitions = len(all)
	found, err = hanging.Find(ctx, adm, all...)
	return found, looked, err
}

// lookedAt tells how far a look went.
type lookedAt struct {
	partitions int
	hidden     []string // what this user may not see, or is not there
}

// checkTransactions names what holds up readers for good.
func (c *cli) checkTransactions(ctx context.Context) []finding {
	cfg, err := c.kafka()
	if err != nil {
		return []finding{fail(err, "")}
	}
	adm, err := admin.New(cfg)
	if err != nil {
		return []finding{fail(err, "")}
	}
	defer adm.Close()
	found, looked, err := hangingTxns(ctx, adm)
	if err != nil {
		return []finding{unseen(err, rightsToSeeTxns)}
	}
	return judgeTxns(found, looked)
}

const rightsToSeeTxns = "the ACLs Read on the topics and on __consumer_offsets, and Describe on the transactional ids"

// judgeTxns is pure. That none hangs is only said of what was looked at.
func judgeTxns(found []hanging.Txn, looked lookedAt) []finding {
	var out []finding
	if len(looked.hidden) > 0 {
		out = append(out, finding{Result: checkSkipped, Detail: "this Kafka user may not see, or they are missing: " + strings.Join(looked.hidden, ", "), Next: "it takes " + rightsToSeeTxns})
	}
	if len(found) == 0 && looked.partitions > 0 {
		out = append(out, finding{Result: checkOK, Detail: "none hangs in " + plural(looked.partitions, "partition")})
	}
	for _, t := range found {
		out = append(out, finding{Result: checkFail, Next: "neuronx log hanging --execute",
			Detail: fmt.Sprintf("%s-%d: readers wait at offset %d for a transaction (%s) that nobody will end: %s", t.Topic, t.Partition, t.StartOffset, dash(t.TransactionalID), t.Reason)})
	}
	return out
}
