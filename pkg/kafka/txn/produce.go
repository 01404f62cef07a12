package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// Produce writes records, each to the partition that it names, in one transaction under an id of its own: all of them are
// there afterwards, or none. An error after the commit was asked for leaves it unknown which.
func Produce(ctx context.Context, cfg kafka.Config, transactionalID string, recs []*kafka.Record) error {
	opts, err := cfg.Options(append(kafka.Producing(0), kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(kafka.TxnTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka: open transactional producer: %w", err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("kafka: begin transaction: %w", err)
	}
	if err := client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return errors.Join(fmt.Errorf("kafka: produce in a transaction: %w", err), client.EndTransaction(ctx, kgo.TryAbort))
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("kafka: commit transaction: %w", err)
	}
	return nil
}
