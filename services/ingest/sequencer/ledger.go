package sequencer

import (
	"context"
	"fmt"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Ledger says what became of a tenant's ingress records: each is in exactly one of the counts.
type Ledger struct {
	Admitted, Duplicates, Refused, Forwarded, Ignored int64
}

// Ledgers reads the counts that the sequencers keep in neuronx.sequencer.state, up to its last stable offset, over all partitions.
// Records whose tenant is unreadable, or unknown to the partition in which they came, are under "". It needs about as much memory as
// the keys of one partition.
func Ledgers(ctx context.Context, cfg kafka.Config) (map[string]Ledger, error) {
	adm, err := admin.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	defer adm.Close()
	ids, err := adm.TopicIDs(ctx, kafka.TopicIngress)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	end, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	start, err := adm.StartOffsets(ctx, kafka.TopicState)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	out := map[string]Ledger{}
	for tp := range end {
		l := loader{topicID: ids[kafka.TopicIngress], partition: tp.Partition, trimmed: start[tp] > 0}
		state := stateReader{loader: &l}
		err := read.Range(ctx, cfg, tp.Topic, tp.Partition, start[tp], end[tp], func(r *kafka.Record) error {
			_, err := state.add(r)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the ledger of partition %d: %w", tp.Partition, err)
		}
		if l.s == nil {
			continue
		}
		for name, t := range l.s.tenants {
			sum := out[name]
			sum.Admitted += t.counts.Admitted
			sum.Duplicates += t.counts.Duplicates
			sum.Refused += t.counts.Refused
			sum.Forwarded += t.counts.Forwarded
			sum.Ignored += t.counts.Ignored
			out[name] = sum
		}
	}
	return out, nil
}
