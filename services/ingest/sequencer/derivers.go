package sequencer

import (
	"context"
	"fmt"
	"maps"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// LastNumbers reads from neuronx.sequencer.state the last number that each deriver of a tenant has used up, up to the last stable offset.
// It needs about as much memory as the keys of one partition. A tenant that is not there has none.
func LastNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring, tenant string) (map[string]int64, error) {
	all, err := readNumbers(ctx, cfg, keys, func(partitions int32) []int32 { return []int32{kafka.PartitionFor([]byte(tenant), partitions)} })
	if err != nil || all[tenant] == nil {
		return map[string]int64{}, err
	}
	return all[tenant], nil
}

// AllNumbers is LastNumbers of every tenant, by tenant. It reads one partition after the other.
func AllNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring) (map[string]map[string]int64, error) {
	return readNumbers(ctx, cfg, keys, func(partitions int32) (all []int32) {
		for p := range partitions {
			all = append(all, p)
		}
		return all
	})
}

func readNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring, which func(partitions int32) []int32) (map[string]map[string]int64, error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	defer adm.Close()
	ids, err := adm.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	end, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	start, err := adm.StartOffsets(ctx, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	all := map[string]map[string]int64{}
	for _, partition := range which(int32(len(end))) {
		tp := kafka.TopicPartition{Topic: kafka.TopicState, Partition: partition}
		r := stateReader{keys: keys, loader: &loader{topicID: ids[kafka.TopicIngress], partition: tp.Partition, trimmed: start[tp] > 0}}
		err = read.Range(ctx, cfg, tp.Topic, tp.Partition, start[tp], end[tp], func(rec *kafka.Record) error {
			_, err := r.add(rec)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the state of partition %d: %w", tp.Partition, err)
		}
		if r.s == nil {
			continue
		}
		for tenant, t := range r.s.tenants {
			all[tenant] = maps.Clone(t.derivers)
		}
	}
	return all, nil
}
