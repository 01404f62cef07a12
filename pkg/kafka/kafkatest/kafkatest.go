// Package kafkatest starts brokers for tests and moves records in and out of them. The brokers are kfake's: see package
// embedded for what they can't show.
package kafkatest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// Partitions is the partition count of every per-cluster topic in tests, as on a laptop.
const Partitions = 6

// Patience is how long a test waits for what must come: no test may depend on the speed of the machine, and the machine of a test may do
// the work of ten others. It only bounds how long a test takes that fails.
const Patience = 4 * time.Minute

// Cluster is the broker underneath; its Control functions inject faults.
type Cluster = kfake.Cluster

// Start runs an in-memory broker with the engine's topics for the time of the test.
func Start(t testing.TB) kafka.Config {
	t.Helper()
	cfg, _ := StartCluster(t)
	return cfg
}

// StartCluster is Start, and gives the broker too.
func StartCluster(t testing.TB) (kafka.Config, *Cluster) {
	t.Helper()
	cfg, c := StartEmpty(t)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := topology.Provision(ctx, cfg, topology.Options{Partitions: Partitions, Laptop: true}); err != nil {
		t.Fatalf("provision the test broker: %v", err)
	}
	return cfg, c
}

// StartEmpty runs an in-memory broker without any topic.
func StartEmpty(t testing.TB) (kafka.Config, *Cluster) {
	t.Helper()
	return StartBrokers(t, 1)
}

// StartTopic runs an in-memory broker that has one topic, "t", for the time of the test.
func StartTopic(t testing.TB, partitions int32) (kafka.Config, *Cluster, *admin.Client) {
	t.Helper()
	cfg, c := StartEmpty(t)
	if err := c.CreateTopic("t", partitions, nil); err != nil {
		t.Fatal(err)
	}
	adm := openAdmin(t, cfg)
	t.Cleanup(adm.Close)
	return cfg, c, adm
}

// Numbered are n records for a partition of the topic "t", whose values are the numbers from first on.
func Numbered(partition int32, first, n int) []*kafka.Record {
	var recs []*kafka.Record
	for i := range n {
		recs = append(recs, &kafka.Record{Topic: "t", Partition: partition, Value: []byte(fmt.Sprint(first + i))})
	}
	return recs
}

// StartBrokers is StartEmpty with so many brokers.
func StartBrokers(t testing.TB, n int) (kafka.Config, *Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(n), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatalf("start a test broker: %v", err)
	}
	t.Cleanup(c.Close)
	return kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test"}, c
}

// Produce writes records in order and fails the test if one is not acknowledged. A record without a key goes to the partition
// that it names, any other where its key belongs.
func Produce(t testing.TB, cfg kafka.Config, recs ...*kafka.Record) {
	t.Helper()
	client := manual(t, cfg)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	adm := openAdmin(t, cfg)
	defer adm.Close()
	counts := make(map[string]int32)
	for _, r := range recs {
		if r.Key == nil {
			continue
		}
		if counts[r.Topic] == 0 {
			topics, err := adm.Topics(ctx, r.Topic)
			if err != nil || topics[r.Topic].Partitions == 0 {
				t.Fatalf("topic %s of the test broker: %v", r.Topic, err)
			}
			counts[r.Topic] = topics[r.Topic].Partitions
		}
		r.Partition = kafka.PartitionFor(r.Key, counts[r.Topic])
	}
	if err := client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		t.Fatalf("produce to the test broker: %v", err)
	}
}

// manual opens a producer whose records name their partition.
func manual(t testing.TB, cfg kafka.Config) *kgo.Client {
	t.Helper()
	return open(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
}

// open opens a client that is none of the engine's.
func open(t testing.TB, cfg kafka.Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append(opts, kgo.SeedBrokers(cfg.Brokers...))
	security, err := cfg.SecurityOptions()
	if err != nil {
		t.Fatal(err)
	}
	opts = append(opts, security...)
	if cfg.Dialer != nil {
		opts = append(opts, kgo.Dialer(cfg.Dialer))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatalf("open a test client: %v", err)
	}
	return client
}

// Consume returns the committed records that a topic holds now, by partition and offset.
func Consume(t testing.TB, cfg kafka.Config, topic string) []*kafka.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	adm := openAdmin(t, cfg)
	defer adm.Close()
	starts, err := adm.StartOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, topic)
	if err != nil {
		t.Fatal(err)
	}
	var out []*kafka.Record
	for tp, end := range ends {
		recs, err := readAll(ctx, cfg, tp, starts[tp], end)
		for stopped := new(read.StoppedError); errors.As(err, &stopped); { // trimmed meanwhile
			if starts, err = adm.StartOffsets(ctx, topic); err == nil {
				recs, err = readAll(ctx, cfg, tp, starts[tp], end)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, recs...)
	}
	slices.SortFunc(out, func(a, b *kafka.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

func readAll(ctx context.Context, cfg kafka.Config, tp kafka.TopicPartition, from, to int64) (out []*kafka.Record, err error) {
	err = read.Range(ctx, cfg, tp.Topic, tp.Partition, from, to, func(r *kafka.Record) error {
		out = append(out, r)
		return nil
	})
	return out, err
}

// WaitFor polls until cond is true, or fails the test with what was awaited when Patience is over.
func WaitFor(t testing.TB, what string, cond func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func openAdmin(t testing.TB, cfg kafka.Config) *admin.Client {
	t.Helper()
	adm, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return adm
}

// StartSecure is StartCluster with passwords and rights: the configuration is a superuser's, as(user, password) another one's.
func StartSecure(t testing.TB) (cfg kafka.Config, as func(user, password string) kafka.Config) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser(app.SASLScram512, "admin", "admin-password"))
	if err != nil {
		t.Fatalf("start a test broker: %v", err)
	}
	t.Cleanup(c.Close)
	as = func(user, password string) kafka.Config {
		return kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test-" + user, Security: app.KafkaSecurity{Username: user, Password: app.Secret(password)}}
	}
	cfg = as("admin", "admin-password")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if _, err := topology.Provision(ctx, cfg, topology.Options{Partitions: Partitions, Laptop: true}); err != nil {
		t.Fatalf("provision the test broker: %v", err)
	}
	return cfg, as
}
