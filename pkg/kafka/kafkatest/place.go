package kafkatest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// Wipe deletes the engine's topics of a test cluster and recreates them. What an earlier test, or a planted bug, left in them would
// stop the partitions of the next one, as it should.
func Wipe(t testing.TB, cfg kafka.Config, opt topology.Options) {
	t.Helper()
	admin := openAdmin(t, cfg)
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deleted := false; ; {
		err := wipe(ctx, admin.KAdm(), cfg, opt, &deleted)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wipe the test cluster: %v", err)
		}
	}
}

func wipe(ctx context.Context, admin *kadm.Client, cfg kafka.Config, opt topology.Options, deleted *bool) error {
	if !*deleted {
		topics, err := admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		names := slices.DeleteFunc(topics.Names(), func(n string) bool { return !strings.HasPrefix(n, "neuronx.") })
		if len(names) > 0 {
			if _, err := admin.DeleteTopics(ctx, names...); err != nil {
				return err
			}
			return errors.New("topics are being deleted")
		}
		*deleted = true
	}
	_, err := topology.Provision(ctx, cfg, opt)
	return err
}

// Place puts every partition of the topics on the given brokers, the first of which leads, and waits until it is so. Internal topics
// are topics, too.
func Place(t testing.TB, cfg kafka.Config, brokers []int32, topics ...string) {
	t.Helper()
	admin := openAdmin(t, cfg)
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	listed, err := admin.KAdm().ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		t.Fatalf("place topics: %v", err)
	}
	var req kadm.AlterPartitionAssignmentsReq
	set := kadm.TopicsSet{}
	for _, topic := range topics {
		for p := range listed[topic].Partitions {
			req.Assign(topic, p, brokers)
			set.Add(topic, p)
		}
	}
	if _, err := admin.KAdm().AlterPartitionAssignments(ctx, req); err != nil {
		t.Fatalf("place topics: %v", err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		placed, err := placed(ctx, admin.KAdm(), brokers, topics)
		if err == nil && placed {
			return
		}
		// Refused while a partition moves, and for those that have the right leader already.
		_, _ = admin.KAdm().ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the partitions of %v are not on brokers %v: %v", topics, brokers, err)
		}
	}
}

func placed(ctx context.Context, admin *kadm.Client, brokers []int32, topics []string) (bool, error) {
	moving, err := admin.ListPartitionReassignments(ctx, nil)
	if err != nil || len(moving) > 0 {
		return false, err
	}
	found, err := admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return false, err
	}
	for _, topic := range topics {
		for _, p := range found[topic].Partitions {
			if p.Leader != brokers[0] || !slices.Equal(p.Replicas, brokers) || len(p.ISR) != len(brokers) {
				return false, p.Err
			}
		}
	}
	return true, nil
}
