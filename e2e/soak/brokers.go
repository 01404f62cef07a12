package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
)

const replicas = 3 // of every topic

// Brokers kills and starts brokers by the shell commands of NEURONX_TEST_KAFKA_KILL9 and NEURONX_TEST_KAFKA_START, which get a broker's
// node id as $1, and asks the cluster how it is.
type Brokers struct {
	kill9, start string
	client       *kgo.Client
	adm          *kadm.Client
}

// OpenBrokers connects to a cluster of at least three.
func OpenBrokers(seeds []string) (*Brokers, error) {
	b := &Brokers{kill9: os.Getenv("NEURONX_TEST_KAFKA_KILL9"), start: os.Getenv("NEURONX_TEST_KAFKA_START")}
	if len(seeds) < 3 || b.kill9 == "" || b.start == "" {
		return nil, errors.New("NEURONX_TEST_KAFKA_BROKERS must name three brokers; NEURONX_TEST_KAFKA_KILL9 and NEURONX_TEST_KAFKA_START are the shell " +
			"commands that kill one, whose number they get as $1, and bring it back")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	b.client, b.adm = client, kadm.NewClient(client)
	return b, nil
}

// Close closes the connections.
func (b *Brokers) Close() { b.client.Close() }

func shell(ctx context.Context, script string, node int32) error {
	out, err := exec.CommandContext(ctx, "bash", "-c", script, "broker", fmt.Sprint(node)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s (broker %d): %w\n%s", script, node, err, out)
	}
	return nil
}

// Make makes a topic of one partition with all brokers as its replicas.
func (b *Brokers) Make(ctx context.Context, topic string, configs map[string]*string) error {
	_, err := b.adm.CreateTopic(ctx, 1, replicas, configs, topic)
	if err != nil {
		return fmt.Errorf("make %s: %w", topic, err)
	}
	return nil
}

// Whole is nil when every partition of the cluster has all its replicas in sync.
func (b *Brokers) Whole(ctx context.Context) error {
	topics, err := b.adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Err != nil {
				return fmt.Errorf("partition %d of %s: %w", p.Partition, t.Topic, p.Err)
			}
			if len(p.ISR) < len(p.Replicas) {
				return fmt.Errorf("partition %d of %s has %d of %d replicas in sync", p.Partition, t.Topic, len(p.ISR), len(p.Replicas))
			}
		}
	}
	return nil
}

// Leader is the node that leads a partition.
func (b *Brokers) Leader(ctx context.Context, topic string, partition int32) (int32, error) {
	topics, err := b.adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return -1, err
	}
	p, ok := topics[topic].Partitions[partition]
	if !ok || p.Leader < 0 {
		return -1, fmt.Errorf("partition %d of %s has no leader", partition, topic)
	}
	return p.Leader, nil
}

// Kill kills the leader of a partition, calls struck when another one leads it, brings the killed one back after down, and waits until
// every replica is in sync again.
func (b *Brokers) Kill(ctx context.Context, topic string, partition int32, down time.Duration, struck Hit) error {
	leader, err := b.Leader(ctx, topic, partition)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := shell(ctx, b.kill9, leader); err != nil {
		return err
	}
	moved := cluster.Eventually(ctx, 40*time.Second, func(ctx context.Context) error {
		now, err := b.Leader(ctx, topic, partition)
		if err == nil && now == leader {
			err = fmt.Errorf("partition %d of %s is led by the killed broker %d", partition, topic, leader)
		}
		return err
	})
	if moved == nil {
		struck(began, fmt.Sprintf("broker %d, led partition %d of %s, another one led %s later", leader, partition, topic, time.Since(began).Truncate(time.Millisecond)))
	}
	pause(ctx, down)
	last := context.WithoutCancel(ctx) // a run that ends must not leave a broker dead
	if err := shell(last, b.start, leader); err != nil {
		return errors.Join(moved, err)
	}
	return errors.Join(moved, cluster.Eventually(last, 2*time.Minute, b.Whole))
}

// Move gives the leadership of a partition to another replica without killing anything: the replicas are given another order, and the
// first of them is elected, as kafka-reassign-partitions and kafka-leader-election do.
func (b *Brokers) Move(ctx context.Context, topic string, partition int32, rng *rand.Rand, struck Hit) error {
	topics, err := b.adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return err
	}
	p := topics[topic].Partitions[partition]
	replicas := slices.Clone(p.Replicas)
	at := slices.Index(replicas, p.Leader)
	if len(replicas) < 2 || at < 0 {
		return fmt.Errorf("partition %d of %s has %d replicas", partition, topic, len(replicas))
	}
	next := (at + 1 + rng.IntN(len(replicas)-1)) % len(replicas)
	replicas = append(slices.Clone(replicas[next:]), replicas[:next]...)
	var plan kadm.AlterPartitionAssignmentsReq
	plan.Assign(topic, partition, replicas)
	answer, err := b.adm.AlterPartitionAssignments(ctx, plan)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return fmt.Errorf("reorder the replicas of partition %d of %s: %w", partition, topic, err)
	}
	err = cluster.Eventually(ctx, 20*time.Second, func(ctx context.Context) error {
		var set kadm.TopicsSet
		set.Add(topic, partition)
		if _, err := b.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set); err != nil {
			return err
		}
		now, err := b.Leader(ctx, topic, partition)
		if err == nil && now != replicas[0] {
			err = fmt.Errorf("partition %d of %s is led by %d, not %d", partition, topic, now, replicas[0])
		}
		return err
	})
	if err != nil {
		return err
	}
	struck(time.Now(), fmt.Sprintf("partition %d of %s from broker %d to %d", partition, topic, p.Leader, replicas[0]))
	return cluster.Eventually(ctx, time.Minute, b.Whole)
}

// Cut resets TCP connections to a port of this machine, the first of ports that has any, by the kernel: ss -K. It needs root, and a
// kernel that can.
func Cut(ctx context.Context, ports []string, struck Hit) error {
	for _, port := range ports {
		out, err := exec.CommandContext(ctx, "ss", "-K", "-H", "-t", "-n", "state", "established", "dport", "=", ":"+port).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ss -K: %w\n%s", err, out)
		}
		if n := bytes.Count(out, []byte("\n")); n > 0 {
			struck(time.Now(), fmt.Sprintf("%d connections to port %s", n, port))
			return nil
		}
	}
	return fmt.Errorf("ss -K has cut no connection to any of %v", ports)
}

// pause lets time pass, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
