package read

import (
	"context"

	"github.com/neuronx/engine/pkg/kafka"
)

// TopicReader is a Reader of one topic, which its partitions are named without, and with the client's own bounds on what is fetched.
type TopicReader struct {
	all   Reader
	topic string
}

// NewTopicReader opens a reader that reads nothing yet.
func NewTopicReader(cfg kafka.Config, topic string) (*TopicReader, error) {
	all, err := newReader(cfg)
	if err != nil {
		return nil, err
	}
	return &TopicReader{all: *all, topic: topic}, nil
}

// Add starts to read a partition at an offset.
func (r *TopicReader) Add(partition int32, offset int64) {
	r.all.Add(kafka.TopicPartition{Topic: r.topic, Partition: partition}, offset)
}

// Remove stops to read a partition and drops what is buffered of it.
func (r *TopicReader) Remove(partition int32) {
	r.all.Remove(kafka.TopicPartition{Topic: r.topic, Partition: partition})
}

// Poll is that of Reader.
func (r *TopicReader) Poll(ctx context.Context, limit int) (recs []*kafka.Record, failed map[int32]error) {
	recs, all := r.all.Poll(ctx, limit)
	if len(all) > 0 {
		failed = make(map[int32]error, len(all))
		for tp, err := range all {
			failed[tp.Partition] = err
		}
	}
	return recs, failed
}

// Skip reads on behind a batch that Poll reported as an *OversizeError.
func (r *TopicReader) Skip(fat *OversizeError) { r.all.Skip(fat) }

// Close closes the connections.
func (r *TopicReader) Close() { r.all.Close() }
