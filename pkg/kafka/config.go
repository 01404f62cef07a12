package kafka

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
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

// Config says how to reach Kafka.
type Config struct {
	Brokers  []string // host:port, at least one
	ClientID string   // <service>-<slot>; shows in broker logs and quotas
	// Dialer replaces the network in tests (kfake's virtual one, or a lossy one). Nil means TCP.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// options are what every client of the engine shares; roles add theirs.
func (c Config) options(role ...kgo.Opt) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers configured")
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		// Ten seconds bounds how long a client keeps writing to, or reading from, a topic that was made anew.
		kgo.MetadataMaxAge(10 * time.Second),
		kgo.MetadataMinAge(time.Second),
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.Dialer != nil {
		opts = append(opts, kgo.Dialer(c.Dialer))
	}
	return append(opts, role...), nil
}
