package read

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// Range calls fn with the committed records of one partition from offset from up to, excluding, to, and returns when to
// is reached, also when only control records or aborted ones lie before it. It uses no group. from must be in the log (a
// trimmed one is an error, never a jump) and to at most its end: a partition that never gets there ends with ctx.
func Range(ctx context.Context, cfg kafka.Config, topic string, partition int32, from, to int64, fn func(*kafka.Record) error) error {
	if from >= to {
		return nil
	}
	if from < 0 {
		return fmt.Errorf("kafka: read %s-%d from %d: an offset is at least 0", topic, partition, from)
	}
	start := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NoResetOffset().At(from)}}
	opts, err := cfg.Options(Options(kgo.NoResetOffset().AtStart())...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(start))...)
	if err != nil {
		return fmt.Errorf("kafka: read %s-%d: %w", topic, partition, err)
	}
	defer client.Close()
	return readOn(ctx, client, kafka.TopicPartition{Topic: topic, Partition: partition}, from, to, fn)
}

// readOn is Range with a client that reads nothing but that partition, from there.
func readOn(ctx context.Context, client *kgo.Client, tp kafka.TopicPartition, from, to int64, fn func(*kafka.Record) error) error {
	next := from
	for next < to {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("kafka: read %s: stopped at offset %d of %d: %w", tp, next, to, err)
		}
		if largeBatch(fetches) {
			var err error
			if next, err = readApart(ctx, client, tp, next, to, fn); err != nil {
				return err
			}
			continue
		}
		if err := readError(ctx, client, tp, next, fetches); err != nil {
			return err
		}
		for _, ft := range partitions(fetches) {
			if err := Jumped(ft, next); err != nil {
				return err
			}
			for _, r := range ft.Records {
				if r.Offset < next {
					continue
				}
				next = r.Offset + 1
				if r.Offset >= to || r.Attrs.IsControl() {
					continue
				}
				if err := fn(r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func largeBatch(fetches kgo.Fetches) bool {
	return slices.ContainsFunc(fetches.Errors(), func(e kgo.FetchError) bool { return errors.Is(e.Err, kgo.ErrMaxDecompress) })
}

// readApart is readOn for the one batch at next, which is too large to be read as a whole, and lets the client read on behind it.
func readApart(ctx context.Context, client *kgo.Client, tp kafka.TopicPartition, next, to int64, fn func(*kafka.Record) error) (int64, error) {
	a, err := openApart(ctx, client, tp, next)
	if err != nil {
		return next, err
	}
	defer a.close()
	for !a.over() {
		recs, fat := a.take(1000)
		for _, r := range recs {
			if next = r.Offset + 1; r.Offset >= to {
				return next, nil
			}
			if err := fn(r); err != nil {
				return next, err
			}
		}
		if fat != nil {
			return next, fmt.Errorf("kafka: read %s: %w", tp, fat)
		}
	}
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{tp.Topic: {tp.Partition: {Epoch: a.batch.PartitionLeaderEpoch, Offset: a.next}}})
	return a.next, nil
}

func partitions(fetches kgo.Fetches) (out []kgo.FetchTopicPartition) {
	fetches.EachPartition(func(ft kgo.FetchTopicPartition) { out = append(out, ft) })
	return out
}

// Follow calls fn with the committed records of a topic, from its start or its end, until ctx is done (then it returns nil)
// or fn fails. It uses no group.
func Follow(ctx context.Context, cfg kafka.Config, topic string, fromStart bool, fn func(*kafka.Record) error) error {
	start := kgo.NoResetOffset().AtEnd()
	if fromStart {
		start = kgo.NoResetOffset().AtStart()
	}
	opts, err := cfg.Options(append(Options(start), kgo.ConsumeTopics(topic))...)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka: follow %s: %w", topic, err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := readError(ctx, client, kafka.TopicPartition{Topic: topic, Partition: -1}, -1, fetches); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Attrs.IsControl() {
				continue
			}
			if err := fn(r); err != nil {
				return err
			}
		}
	}
}

// readError returns the first error of a poll by a reader without a group; every one of them ends the reading.
func readError(ctx context.Context, client *kgo.Client, tp kafka.TopicPartition, next int64, fetches kgo.Fetches) error {
	errs := slices.DeleteFunc(fetches.Errors(), func(e kgo.FetchError) bool { return errors.Is(e.Err, ErrInflateBudget) })
	if len(errs) == 0 {
		return nil
	}
	err := errs[0].Err
	if errs[0].Topic != "" {
		tp = kafka.TopicPartition{Topic: errs[0].Topic, Partition: errs[0].Partition}
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		ectx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return &StoppedError{TopicPartition: tp, Next: next, Err: err,
			Reason: OutOfRange(ectx, kadm.NewClient(client), tp, next)}
	}
	return fmt.Errorf("kafka: read %s: %w", tp, err)
}
