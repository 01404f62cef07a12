package sequencer

import (
	"context"
	"fmt"
	"maps"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// LastNumbers reads from neuronx.sequencer.state the last number that each deriver of a tenant has used up, up to the last stable offset.
// It needs about as much memory as the keys of one partition. A tenant that is not there has none.
func LastNumbers(ctx context.Context, cfg kafka.Config, keys *event.Keyring, tenant string) (map[string]int64, error) {
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	defer admin.Close()
	ids, err := admin.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	end, err := admin.EndOffsets(ctx, kafka.ReadCommitted, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	start, err := admin.StartOffsets(ctx, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read the derivers' numbers: %w", err)
	}
	tp := kafka.TopicPartition{Topic: kafka.TopicState, Partition: kafka.PartitionFor([]byte(tenant), int32(len(end)))}
	r := stateReader{keys: keys, loader: &loader{topicID: ids[kafka.TopicIngress], partition: tp.Partition, trimmed: start[tp] > 0}}
	err = kafka.ReadRange(ctx, cfg, tp.Topic, tp.Partition, start[tp], end[tp], func(rec *kafka.Record) error {
		_, err := r.add(rec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the state of partition %d: %w", tp.Partition, err)
	}
	if r.s == nil || r.s.tenants[tenant] == nil {
		return map[string]int64{}, nil
	}
	return maps.Clone(r.s.tenants[tenant].derivers), nil
}
