package hanging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Txn is an open transaction on one partition that its coordinator will never end, so that the last stable offset stands still
// for good (KIP-664). Two kinds were seen: a write that landed after its transaction was over, and, on Kafka 4.3 with one broker that
// was killed and came back before its session ended, a coordinator that took a transaction in PrepareCommit for complete without
// having written one marker.
type Txn struct {
	kafka.TopicPartition
	TransactionalID  string // as its coordinator knows the producer now; empty when no coordinator does
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	StartOffset      int64     // of the transaction's first record
	LastWrite        time.Time // its last record's timestamp
	Reason           string    // why nobody ends it
	Outcome          Outcome
}

// Outcome is how a transaction has to end: what its coordinator decided before it forgot the markers.
type Outcome string

// Unknown is when the coordinator's log does not reach back, or may not be read; such a transaction is left alone.
const (
	Commit  Outcome = "commit"
	Abort   Outcome = "abort"
	Unknown Outcome = "unknown"
)

// ErrMayNotEnd says that this client may look at hanging transactions, but not end them.
var ErrMayNotEnd = errors.New("kafka: ending a hanging transaction needs Alter or ClusterAction on the cluster; an administrator does it with: neuronx log hanging --execute")

const (
	// lateMarker is how much longer than a transaction's time-out its markers may take.
	lateMarker = 10 * time.Second
	// forgottenAfter is the age of a transaction that no coordinator knows: the greatest time-out that brokers grant by default
	// (transaction.max.timeout.ms), as in KIP-664.
	forgottenAfter = 15 * time.Minute
)

// ongoing are the states in which a coordinator still ends the transaction on the partitions that it lists.
var ongoing = []string{"Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"}

// coordinatedTxn is what a coordinator knows about the producer of an open transaction.
type coordinatedTxn struct {
	id, state  string
	timeout    time.Duration
	partitions map[kafka.TopicPartition]bool
}

// pick returns, among the producers with an open transaction, those that no coordinator works for. known is by producer id.
func pick(now time.Time, open []Txn, known map[int64]coordinatedTxn) []Txn {
	var out []Txn
	for _, t := range open {
		c, ok := known[t.ProducerID]
		after := forgottenAfter
		if ok {
			after = c.timeout + lateMarker
		}
		if now.Sub(t.LastWrite) < after || slices.Contains(ongoing, c.state) && c.partitions[t.TopicPartition] {
			continue
		}
		t.TransactionalID, t.Reason = c.id, "no coordinator knows its producer"
		if ok {
			t.Reason = fmt.Sprintf("its coordinator says %s, without this partition", c.state)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Txn) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.StartOffset, b.StartOffset))
	})
	return out
}

// Find returns the transactions on partitions that nobody will end. It needs Read on the topics and Describe on the transactional
// ids; an id that it may not describe looks forgotten, and counts only after 15 minutes. Without Read on __transaction_state every
// outcome is unknown.
func Find(ctx context.Context, a *admin.Client, partitions ...kafka.TopicPartition) ([]Txn, error) {
	set := kadm.TopicsSet{}
	for _, tp := range partitions {
		set.Add(tp.Topic, tp.Partition)
	}
	if len(set) == 0 {
		return nil, nil
	}
	open, producers, err := openTxns(ctx, a, set)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	listed, err := a.KAdm().ListTransactions(ctx, producers, nil)
	if err != nil {
		return nil, fmt.Errorf("kafka: list transactions: %w", err)
	}
	known := map[int64]coordinatedTxn{}
	if len(listed) > 0 {
		described, err := a.KAdm().DescribeTransactions(ctx, listed.TransactionalIDs()...)
		if err != nil {
			return nil, fmt.Errorf("kafka: describe transactions: %w", err)
		}
		for id, d := range described {
			if d.Err != nil {
				return nil, fmt.Errorf("kafka: describe transaction %s: %w", id, d.Err)
			}
			c := coordinatedTxn{id: id, state: d.State, timeout: time.Duration(d.TimeoutMillis) * time.Millisecond, partitions: map[kafka.TopicPartition]bool{}}
			d.Topics.Each(func(topic string, p int32) { c.partitions[kafka.TopicPartition{Topic: topic, Partition: p}] = true })
			known[d.ProducerID] = c
		}
	}
	found := pick(time.Now(), open, known)
	for i := range found {
		if found[i].Outcome, err = txnOutcome(ctx, a, found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// openTxns asks the partitions' leaders for producers with an open transaction.
func openTxns(ctx context.Context, a *admin.Client, set kadm.TopicsSet) (open []Txn, producers []int64, err error) {
	topics, err := a.KAdm().DescribeProducers(ctx, set)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka: describe producers: %w", err)
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Err != nil {
				return nil, nil, fmt.Errorf("kafka: describe producers of %s-%d: %w", p.Topic, p.Partition, p.Err)
			}
			for _, d := range p.ActiveProducers {
				if d.CurrentTxnStartOffset < 0 {
					continue
				}
				producers = append(producers, d.ProducerID)
				open = append(open, Txn{
					TopicPartition: kafka.TopicPartition{Topic: d.Topic, Partition: d.Partition}, ProducerID: d.ProducerID, ProducerEpoch: d.ProducerEpoch,
					CoordinatorEpoch: d.CoordinatorEpoch, StartOffset: d.CurrentTxnStartOffset, LastWrite: time.UnixMilli(d.LastTimestamp),
				})
			}
		}
	}
	slices.Sort(producers)
	return open, slices.Compact(producers), nil
}

// End writes the marker that the coordinator owes for a transaction that Find found.
func End(ctx context.Context, a *admin.Client, t Txn) error {
	if t.Outcome != Commit && t.Outcome != Abort {
		return fmt.Errorf("kafka: the hanging transaction of producer %d on %s-%d: %s does not say how it ended", t.ProducerID, t.Topic, t.Partition, admin.TxnStateTopic)
	}
	set := kadm.TopicsSet{}
	set.Add(t.Topic, t.Partition)
	answer, err := a.KAdm().WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, Commit: t.Outcome == Commit,
		CoordinatorEpoch: max(t.CoordinatorEpoch, 0), // -1 when the producer never had a marker here
		Topics:           set,
	})
	if err == nil {
		for _, producer := range answer {
			for _, topic := range producer.Topics {
				for _, p := range topic.Partitions {
					err = errors.Join(err, p.Err)
				}
			}
		}
	}
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return ErrMayNotEnd
	case err != nil:
		return fmt.Errorf("kafka: end the hanging transaction of producer %d on %s-%d: %w", t.ProducerID, t.Topic, t.Partition, err)
	}
	return nil
}
