package hanging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// TransactionStatus of the coordinator's log.
const (
	txnEmpty          = 0
	txnOngoing        = 1
	txnPrepareCommit  = 2
	txnPrepareAbort   = 3
	txnCompleteCommit = 4
	txnCompleteAbort  = 5
	txnDead           = 6
	txnEpochFence     = 7
)

// txnVersion2 is the protocol in which each transaction has an epoch of its own (KIP-890).
const txnVersion2 = 2

// txnEntry is one record of the coordinator's log about one transactional id.
type txnEntry struct {
	at         time.Time
	producer   int64
	epoch      int16
	status     int8
	version    int16
	partitions []kafka.TopicPartition // while the transaction is open or being ended
}

// txnHistory reads the coordinator's log for how one transaction ended.
type txnHistory struct {
	t       Txn
	covered bool // the log reaches back to the transaction
	open    bool // the last entry has it ongoing
	outcome Outcome
}

func (h *txnHistory) add(e txnEntry) {
	h.covered = h.covered || !e.at.After(h.t.LastWrite)
	if e.producer != h.t.ProducerID {
		return
	}
	switch e.status {
	case txnOngoing:
		h.open = e.epoch == h.t.ProducerEpoch && slices.Contains(e.partitions, h.t.TopicPartition)
		return
	case txnPrepareCommit, txnCompleteCommit:
		if h.open {
			// Where transactions share an epoch, it may be an earlier one that was committed, and this a late write.
			if h.outcome = Commit; e.version < txnVersion2 {
				h.outcome = Unknown
			}
		}
	case txnEmpty, txnPrepareAbort, txnCompleteAbort, txnDead, txnEpochFence:
		if h.open {
			h.outcome = Abort
		}
	}
	h.open = false
}

// end is the verdict: what was decided for the transaction, abort if it was never part of one.
func (h *txnHistory) end() Outcome {
	switch {
	case h.open: // or the coordinator would be working for it
		return Unknown
	case h.outcome != "":
		return h.outcome
	case h.covered:
		return Abort
	}
	return Unknown
}

// txnOutcome asks the coordinator's log how a transaction has to end. The log is compacted, but not in its youngest segment.
func txnOutcome(ctx context.Context, a *admin.Client, t Txn) (Outcome, error) {
	if t.TransactionalID == "" {
		return Unknown, nil
	}
	h := txnHistory{t: t}
	tp, err := a.TxnStatePartition(ctx, t.TransactionalID) // a user without rights may not even describe the topic
	if err == nil {
		err = readTxnState(ctx, a, tp, t.TransactionalID, h.add)
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		return Unknown, nil
	}
	if err != nil {
		return "", fmt.Errorf("kafka: how the transaction of %s ended: %w", t.TransactionalID, err)
	}
	return h.end(), nil
}

func readTxnState(ctx context.Context, a *admin.Client, tp kafka.TopicPartition, id string, add func(txnEntry)) error {
	starts, err := a.StartOffsets(ctx, tp.Topic)
	if err != nil {
		return err
	}
	ends, err := a.EndOffsets(ctx, admin.ReadUncommitted, tp.Topic)
	if err != nil {
		return err
	}
	return read.Range(ctx, a.Config(), tp.Topic, tp.Partition, starts[tp], ends[tp], func(r *kafka.Record) error {
		var key kmsg.TxnMetadataKey
		if err := key.ReadFrom(r.Key); err != nil || key.TransactionalID != id || len(r.Value) == 0 {
			return nil //nolint:nilerr // a key of another kind is not ours
		}
		var v kmsg.TxnMetadataValue
		if err := v.ReadFrom(r.Value); err != nil {
			return fmt.Errorf("%v offset %d: %w", tp, r.Offset, err)
		}
		e := txnEntry{at: r.Timestamp, producer: v.ProducerID, epoch: v.ProducerEpoch, status: int8(v.State), version: v.ClientTransactionVersion}
		for _, topic := range v.Topics {
			for _, p := range topic.Partitions {
				e.partitions = append(e.partitions, kafka.TopicPartition{Topic: topic.Topic, Partition: p})
			}
		}
		add(e)
		return nil
	})
}
