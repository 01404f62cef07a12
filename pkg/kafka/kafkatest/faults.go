package kafkatest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
)

// TxnFault is a way in which a transaction of the engine goes wrong at the broker.
type TxnFault string

// The faults.
const (
	EndTxnUnknown     TxnFault = "end_txn_unknown"      // the commit is answered with an unknown error and not done
	EndTxnTimedOut    TxnFault = "end_txn_timed_out"    // the commit is answered with a time-out
	OffsetsRefused    TxnFault = "offsets_refused"      // the offsets are refused: the member is of an old generation
	OffsetsUnknown    TxnFault = "offsets_unknown"      // the offsets are answered with an unknown error
	ProduceRefused    TxnFault = "produce_refused"      // a record of the log is refused
	ProduceAfterWrite TxnFault = "produce_after_append" // a record of the log is answered with an error and is there
)

// TxnFaults lists them all.
func TxnFaults() []TxnFault {
	return []TxnFault{EndTxnUnknown, EndTxnTimedOut, OffsetsRefused, OffsetsUnknown, ProduceRefused, ProduceAfterWrite}
}

// FailTxn makes the broker fail the next n requests that a fault is about, and returns how many it has failed so far.
func FailTxn(c *Cluster, f TxnFault, n int) (hits func() int) {
	fault := kfake.Fault{Count: n}
	switch f {
	case EndTxnUnknown:
		fault.Keys, fault.TopLevel, fault.Err = []kmsg.Key{kmsg.EndTxn}, true, kerr.UnknownServerError
	case EndTxnTimedOut:
		fault.Keys, fault.TopLevel, fault.Err = []kmsg.Key{kmsg.EndTxn}, true, kerr.RequestTimedOut
	case OffsetsRefused:
		fault.Keys, fault.Err = []kmsg.Key{kmsg.TxnOffsetCommit}, kerr.IllegalGeneration
	case OffsetsUnknown:
		fault.Keys, fault.Err = []kmsg.Key{kmsg.TxnOffsetCommit}, kerr.UnknownServerError
	case ProduceRefused:
		fault.Keys, fault.Topic, fault.Err = []kmsg.Key{kmsg.Produce}, "neuronx.events", kerr.InvalidRecord
	case ProduceAfterWrite:
		fault.Keys, fault.Topic, fault.Err = []kmsg.Key{kmsg.Produce}, "neuronx.events", kerr.NotEnoughReplicasAfterAppend
	}
	h := c.Fault(fault)
	return func() int { return h.Hits() }
}

// Misplace writes a record to the partition that it names, wherever its key belongs, as a client with another partitioner does.
func Misplace(t testing.TB, cfg kafka.Config, r *kafka.Record) {
	t.Helper()
	client := manual(t, cfg)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatalf("produce to the test broker: %v", err)
	}
}

// Watch tells of every request that reaches the broker until stop is called. seen must be brief and must not ask the broker.
func Watch(c *Cluster, seen func(Request)) (stop func()) {
	var stopped atomic.Bool
	c.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !stopped.Load() {
			c.KeepControl()
			seen(Request(req.Key()))
		}
		return nil, nil, false
	})
	return func() { stopped.Store(true) }
}

// Refuse makes the broker answer every request of a kind with UNKNOWN_SERVER_ERROR, which no client tries again, until end is called.
// hits tells how many it has answered so.
func Refuse(c *Cluster, r Request) (hits func() int, end func()) {
	faults := []kfake.Fault{{Keys: []kmsg.Key{kmsg.Key(r)}, Count: -1}}
	if key := kmsg.Key(r); key != kmsg.OffsetFetch && key != kmsg.FindCoordinator { // whose answers have an error for each group
		whole := faults[0]
		whole.TopLevel = true
		faults = append(faults, whole)
	}
	h := c.Fault(faults...)
	return h.Hits, h.Remove
}

// Leaderless makes the broker say that a partition has no leader, as when every broker that has a copy of it is down, until end is called.
func Leaderless(c *Cluster, topic string, partition int32) (end func()) {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Partitions: []int32{partition}, Err: kerr.LeaderNotAvailable, Count: -1}).Remove
}

// TooFewReplicas makes the broker store nothing in a partition, as when too few copies of it are in sync, until end is called. Clients try
// again for as long as they like.
func TooFewReplicas(c *Cluster, topic string, partition int32) (end func()) {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{partition}, Err: kerr.NotEnoughReplicas, Count: -1}).Remove
}

// FenceOnce makes the broker tell the member that beats next that its group instance is another's, as one does that has gone back to an older
// member id. hits tells how many it has told so.
func FenceOnce(c *Cluster) (hits func() int) {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.FencedInstanceID, Count: 1}).Hits
}
