package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionReader reads committed records of single partitions of one topic from given offsets, without a group. It is for one
// goroutine.
type PartitionReader struct {
	client *kgo.Client
	topic  string
	next   map[int32]int64 // of the partitions that are read
}

// readerWait bounds a fetch without data. A partition that is added, or read on behind a bomb, joins the fetch under way at its end.
const readerWait = 250 * time.Millisecond

// NewPartitionReader opens a reader that reads nothing yet.
func NewPartitionReader(cfg Config, topic string) (*PartitionReader, error) {
	opts, err := cfg.options(append(consuming(kgo.NoResetOffset().AtStart()), kgo.FetchMaxWait(readerWait))...)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: read %s: %w", topic, err)
	}
	return &PartitionReader{client: client, topic: topic, next: map[int32]int64{}}, nil
}

// Add starts to read a partition at an offset.
func (r *PartitionReader) Add(partition int32, offset int64) {
	r.Remove(partition)
	r.next[partition] = offset
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {partition: kgo.NoResetOffset().At(offset)}})
}

// Remove stops to read a partition and drops what is buffered of it.
func (r *PartitionReader) Remove(partition int32) {
	if _, ok := r.next[partition]; !ok {
		return
	}
	delete(r.next, partition)
	r.client.RemoveConsumePartitions(map[string][]int32{r.topic: {partition}})
}

// Poll returns up to limit records, in order of offset in each partition, or none when ctx ends first. failed names partitions that can't be
// read on; they are removed. A trimmed beginning is such a failure, never a jump.
func (r *PartitionReader) Poll(ctx context.Context, limit int) (recs []*Record, failed map[int32]error) {
	fetches := r.client.PollRecords(ctx, limit)
	fetches.EachRecord(func(rec *Record) {
		next, ok := r.next[rec.Partition]
		if !ok || rec.Offset < next || rec.Attrs.IsControl() {
			return
		}
		r.next[rec.Partition] = rec.Offset + 1
		recs = append(recs, rec)
	})
	if ctx.Err() != nil {
		return recs, nil
	}
	for _, e := range fetches.Errors() {
		next, ok := r.next[e.Partition]
		if e.Topic != r.topic || !ok || errors.Is(e.Err, errInflateBudget) {
			continue
		}
		if failed == nil {
			failed = map[int32]error{}
		}
		tp := TopicPartition{e.Topic, e.Partition}
		failed[e.Partition] = fmt.Errorf("kafka: read %s: %w", tp, e.Err)
		if errors.Is(e.Err, kerr.OffsetOutOfRange) {
			ectx, cancel := context.WithTimeout(ctx, 5*time.Second)
			failed[e.Partition] = &StoppedError{TopicPartition: tp, Next: next, Err: e.Err, Reason: explainOutOfRange(ectx, kadm.NewClient(r.client), tp, next)}
			cancel()
		}
		if fat, ok := errors.AsType[*kgo.ErrDecompressTooLarge](e.Err); ok {
			failed[e.Partition] = &OversizeError{TopicPartition: tp, Offset: fat.Offset, Next: fat.NextOffset, epoch: fat.Epoch}
		}
	}
	for p, err := range failed {
		if _, ok := errors.AsType[*OversizeError](err); !ok {
			r.Remove(p)
		}
	}
	return recs, failed
}

// Skip reads on behind a batch that Poll reported, at once: a partition that is removed and added joins the fetch under way only at
// its end.
func (r *PartitionReader) Skip(fat *OversizeError) {
	r.next[fat.Partition] = fat.Next
	r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.topic: {fat.Partition: {Epoch: fat.epoch, Offset: fat.Next}}})
}

// OversizeError says that a batch inflates to more than a reader takes (H32). What it holds is not known. The partition stands there
// until Skip or Remove.
type OversizeError struct {
	TopicPartition
	Offset int64 // of its first record
	Next   int64 // behind its last one
	epoch  int32
}

// Error implements error.
func (e *OversizeError) Error() string {
	return fmt.Sprintf("the batch of the offsets %d to %d inflates to more than %d bytes", e.Offset, e.Next-1, maxInflated)
}

// Partitions returns the partitions that are read, sorted.
func (r *PartitionReader) Partitions() []int32 { return slices.Sorted(maps.Keys(r.next)) }

// Close closes the connections.
func (r *PartitionReader) Close() { r.client.Close() }
