package operate

import (
	"context"
	"errors"
	"strings"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// HangingTxns looks at every topic that the engine's transactions write to.
func HangingTxns(ctx context.Context, adm *admin.Client) (found []hanging.Txn, looked LookedAt, err error) {
	declared, err := topology.Topics()
	if err != nil {
		return nil, looked, err
	}
	topics, err := adm.Topics(ctx)
	if err != nil {
		return nil, looked, err
	}
	// A topic that the user may not describe is left out of the answer as if it did not exist.
	for _, d := range declared {
		if _, ok := topics[d.Name]; !ok {
			looked.Hidden = append(looked.Hidden, d.Name)
		}
	}
	var all []kafka.TopicPartition
	for name, t := range topics {
		for p := range t.Partitions {
			if strings.HasPrefix(name, "neuronx.") || name == "_schemas" {
				all = append(all, kafka.TopicPartition{Topic: name, Partition: p})
			}
		}
	}
	for _, g := range []string{kafka.GroupSequencer, kafka.GroupLanding} {
		tp, err := adm.OffsetsPartition(ctx, g)
		switch {
		case kafka.Unauthorized(err):
			looked.Hidden = append(looked.Hidden, "the offsets of "+g)
		case errors.Is(err, admin.ErrNoTopic): // it exists once the first group has come
		case err != nil:
			return nil, looked, err
		default:
			all = append(all, tp)
		}
	}
	looked.Partitions = len(all)
	found, err = hanging.Find(ctx, adm, all...)
	return found, looked, err
}

// LookedAt tells how far a look went.
type LookedAt struct {
	Partitions int
	Hidden     []string // what this user may not see, or is not there
}
