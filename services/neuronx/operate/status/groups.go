package status

import (
	"context"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Group is how a consumer group does.
type Group struct {
	Group   string `json:"group"`
	State   string `json:"state"`
	Members int    `json:"members"` // -1: unknown
	Lag     int64  `json:"lag"`     // records; -1: unknown
}

// readGroups asks Kafka about every consumer group of the engine.
func (o *Overview) readGroups(ctx context.Context, env *operate.Env) {
	adm, err := env.Admin()
	if err == nil {
		err = Ping(ctx, adm)
	}
	if err != nil {
		o.Problems = append(o.Problems, err.Error())
		return
	}
	o.Groups = []Group{}
	for _, g := range kafka.Groups() {
		row := Group{Group: g, Members: -1, Lag: -1}
		d, err := adm.DescribeGroup(ctx, g)
		if err == nil {
			row.State, row.Members = d.State, len(d.Members)
			row.Lag, err = Lag(ctx, adm, g)
		}
		if err != nil {
			o.Problems = append(o.Problems, fmt.Sprintf("group %s: %v", g, err))
		}
		o.Groups = append(o.Groups, row)
	}
}

// Ping asks Kafka for an answer within 5 s: a request for something would be tried again for longer.
func Ping(ctx context.Context, adm *admin.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return adm.Ping(ctx)
}

// Lag is the records between a group's offsets and the ends of the partitions it reads.
func Lag(ctx context.Context, adm *admin.Client, group string) (int64, error) {
	topic := kafka.TopicEvents
	if group == kafka.GroupSequencer {
		topic = kafka.TopicIngress
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, topic)
	if err != nil {
		return -1, err
	}
	starts, err := adm.StartOffsets(ctx, topic)
	if err != nil {
		return -1, err
	}
	committed, err := adm.Committed(ctx, group)
	if err != nil {
		return -1, err
	}
	return operate.Behind(starts, ends, committed), nil
}
