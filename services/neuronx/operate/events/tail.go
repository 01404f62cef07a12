package events

import (
	"context"
	"errors"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// TailOptions choose what Tail shows, and when it ends. Empty fields choose all.
type TailOptions struct {
	Tenant, Type, Subject string

	FromStart bool // begin with the oldest event instead of the next
	UntilEnd  bool // begin with the oldest event, partition by partition, and end where the log ends now
	Limit     int  // end after so many; 0: never
}

var errEnough = errors.New("enough")

// CheckTail refuses a tenant or a type that is not there, which would be waited for in vain.
func CheckTail(ctx context.Context, env *operate.Env, o TailOptions) error {
	if _, err := env.Kafka(); err != nil {
		return err
	}
	if o.Tenant != "" {
		if err := env.CheckTenant(ctx, o.Tenant); err != nil {
			return err
		}
	}
	return env.CheckType(ctx, o.Type)
}

// Tail shows events of the log until ctx is done, which is no error, or the options end it. It returns how many it showed.
func Tail(ctx context.Context, env *operate.Env, o TailOptions, show func(Event) error) (seen int, err error) {
	seen, err = tail(ctx, env, o, show)
	if err != nil && !errors.Is(err, errEnough) && ctx.Err() == nil {
		return seen, operate.Fail("follow the log", err)
	}
	return seen, nil
}

func tail(ctx context.Context, env *operate.Env, o TailOptions, show func(Event) error) (seen int, err error) {
	cfg, err := env.Kafka()
	if err != nil {
		return 0, err
	}
	reg, err := env.Registry()
	if operate.NotRunning(err) {
		env.Note("the registry does not answer: events are shown without their data")
	} else if err != nil {
		return 0, err
	}
	each := func(r *kafka.Record) error {
		if o.Tenant != "" && string(r.Key) != o.Tenant {
			return nil
		}
		rec, err := kafka.ParseRecorded(r)
		if err != nil {
			env.Note("%s partition %d offset %d can't be read: %v", r.Topic, r.Partition, r.Offset, err)
			return nil
		}
		if o.Type != "" && rec.Type != o.Type || o.Subject != "" && rec.Subject != o.Subject {
			return nil
		}
		if err := show(ofLog(ctx, reg, rec)); err != nil {
			return err
		}
		if seen++; seen == o.Limit {
			return errEnough
		}
		return nil
	}
	if !o.UntilEnd {
		err := read.Follow(ctx, cfg, kafka.TopicEvents, o.FromStart, each)
		return seen, err
	}
	adm, err := env.Admin()
	if err != nil {
		return 0, err
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return 0, err
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicEvents)
	if err != nil {
		return 0, err
	}
	for p := range int32(len(ends)) { //nolint:gosec // partitions are an int32
		tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}
		if o.Tenant != "" && p != kafka.PartitionFor([]byte(o.Tenant), int32(len(ends))) || starts[tp] >= ends[tp] { //nolint:gosec // as above
			continue
		}
		if err := read.Range(ctx, cfg, kafka.TopicEvents, p, starts[tp], ends[tp], each); err != nil {
			return seen, err
		}
	}
	return seen, nil
}
