package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/app"
)

// Record is one Kafka record. It is franz-go's own, so that nothing is copied on the way.
type Record = kgo.Record

// RecordHeader is one header of a Record.
type RecordHeader = kgo.RecordHeader

// TopicPartition names one partition of one topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String writes topic-partition, as Kafka's tools do.
func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// Config says how to reach Kafka.
type Config struct {
	Brokers  []string // host:port, at least one
	ClientID string   // <service>-<slot>; shows in broker logs and quotas
	Security app.KafkaSecurity
	// Dialer replaces the network in tests (kfake's virtual one, or a lossy one). Nil means TCP.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	Log    *slog.Logger // gets what the client library says, at debug level, and what a reader finds it to have left out; nil: nobody
}

// seeds are brokers without blanks around them, which a list such as "a:9092, b:9092" has: they would be part of a host's name, and the client
// would look it up for ever.
func seeds(brokers []string) ([]string, error) {
	out := make([]string, len(brokers))
	for i, b := range brokers {
		if out[i] = strings.TrimSpace(b); out[i] == "" {
			return nil, fmt.Errorf("kafka: broker %d of %d is empty in %q: take a comma out", i+1, len(brokers), strings.Join(brokers, ","))
		}
	}
	if len(out) == 0 {
		return nil, errors.New("kafka: no brokers configured")
	}
	return out, nil
}

// Options are what every client of the engine shares; a role adds its own. This is the only place where clients are
// configured, so that what was learnt the hard way is written once.
func (c Config) Options(role ...kgo.Opt) ([]kgo.Opt, error) {
	brokers, err := seeds(c.Brokers)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		// Ten seconds bounds how long a client keeps talking to a topic that was recreated, and how long a consumer waits
		// for one that did not exist when it started (the library's default is five minutes).
		kgo.MetadataMaxAge(10 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.Dialer != nil {
		opts = append(opts, kgo.Dialer(c.Dialer))
	}
	if c.Log != nil {
		opts = append(opts, kgo.WithLogger(clientLog{c.Log}))
	}
	security, err := c.SecurityOptions()
	if err != nil {
		return nil, err
	}
	return append(append(opts, security...), role...), nil
}

// Producing are the options of every producer, transactional ones included.
//
// Idempotence stays on and records are never given up or cancelled: RecordRetries, RecordDeliveryTimeout,
// AllowIdempotentProduceCancellation and cancelled produce contexts are all left out, because giving up one record of an
// idempotent sequence let a later one be acknowledged without being written (franz-go #1484).
func Producing(linger time.Duration) []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(linger),
		kgo.ProducerBatchMaxBytesFn(MaxBatchBytes),
	}
}

// SortPartitions sorts by topic and partition.
func SortPartitions(tps []TopicPartition) {
	slices.SortFunc(tps, func(a, b TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}

// TxnTimeout is transaction.timeout.ms of the engine's transactions: how long the readers of a partition wait for a writer that died
// in the middle. It is far above what a transaction takes (100 ms) and below what people notice as an outage.
const TxnTimeout = 10 * time.Second
