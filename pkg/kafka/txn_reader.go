package kafka

import "context"

// PartitionReader is a TopicsReader of one topic, which its partitions are named without, and with the client's own bounds on what is fetched.
type PartitionReader struct {
	all   TopicsReader
	topic string
}

// NewPartitionReader opens a reader that reads nothing yet.
func NewPartitionReader(cfg Config, topic string) (*PartitionReader, error) {
	all, err := newReader(cfg)
	if err != nil {
		return nil, err
	}
	return &PartitionReader{all: *all, topic: topic}, nil
}

// Add starts to read a partition at an offset.
func (r *PartitionReader) Add(partition int32, offset int64) {
	r.all.Add(TopicPartition{r.topic, partition}, offset)
}

// Remove stops to read a partition and drops what is buffered of it.
func (r *PartitionReader) Remove(partition int32) { r.all.Remove(TopicPartition{r.topic, partition}) }

// Poll is that of TopicsReader.
func (r *PartitionReader) Poll(ctx context.Context, limit int) (recs []*Record, failed map[int32]error) {
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
func (r *PartitionReader) Skip(fat *OversizeError) { r.all.Skip(fat) }

// Close closes the connections.
func (r *PartitionReader) Close() { r.all.Close() }
