package read

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// OversizeError says that a record, or the rest of a batch, is not read, because of what it inflates to. The partition stands there
// until Skip or Remove.
type OversizeError struct {
	kafka.TopicPartition
	Offset int64 // of the first record that is not read
	Next   int64 // behind the last one
	epoch  int32
	record *kafka.Record
	why    string
}

// Error implements error.
func (e *OversizeError) Error() string {
	if e.Next == e.Offset+1 {
		return fmt.Sprintf("the record of the offset %d can't be taken: %s", e.Offset, e.why)
	}
	return fmt.Sprintf("the records of the offsets %d to %d can't be taken: %s", e.Offset, e.Next-1, e.why)
}

// Stand is a record at the last of the offsets that stands for all that is not read: with the key and the headers of the first one, and the
// beginning of its value, as far as they can be read.
func (e *OversizeError) Stand() *kafka.Record {
	r := *e.record
	r.Offset = e.Next - 1
	return &r
}

// separate notes that the batch which comes next in a partition is to be taken apart. The client reads nothing of the partition until rejoin.
func (r *Reader) separate(ctx context.Context, tp kafka.TopicPartition, next int64, fat *kgo.ErrDecompressTooLarge) error {
	if fat.Offset > next {
		upTo, err := r.leftOut(ctx, tp, []span{{next, fat.Offset}})
		if err != nil || upTo <= fat.Offset { // it is fetched again
			return err
		}
		r.next[tp] = fat.Offset
	}
	r.fat = append(r.fat, tp)
	return nil
}

// takeApart returns the next records of the first batch that is taken apart, nothing if there is none.
func (r *Reader) takeApart(ctx context.Context, limit int) ([]*kafka.Record, *OversizeError) {
	for len(r.fat) > 0 {
		tp := r.fat[0]
		if r.apart == nil {
			octx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout) // as for a second look
			var err error
			r.apart, err = openApart(octx, r.client, tp, r.next[tp])
			cancel()
			if err != nil {
				// The client knows what to do about brokers that fail, and says it again if the batch is still there.
				r.log.Warn("a large batch could not be opened; it is fetched again", "topic", tp.Topic, "partition", tp.Partition, "offset", r.next[tp], "err", err)
				r.rejoin(tp, -1)
				return nil, nil
			}
		}
		recs, fat := r.apart.take(limit)
		r.next[tp] = r.apart.next
		if r.apart.over() {
			r.rejoin(tp, r.apart.batch.PartitionLeaderEpoch)
		}
		if len(recs) > 0 || fat != nil {
			return recs, fat
		}
		if r.apart != nil {
			return nil, nil // it waits for Skip, or for its turn
		}
	}
	return nil, nil
}

// rejoin lets the client read a partition again, at once: one that is removed and added joins the fetch under way only at its end.
func (r *Reader) rejoin(tp kafka.TopicPartition, epoch int32) {
	r.join(tp)
	r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{tp.Topic: {tp.Partition: {Epoch: epoch, Offset: r.next[tp]}}})
}

// Join forgets that a partition's batch is taken apart.
func (r *Reader) join(tp kafka.TopicPartition) {
	at := slices.Index(r.fat, tp)
	if at < 0 {
		return
	}
	r.fat = slices.Delete(r.fat, at, at+1)
	if at == 0 && r.apart != nil {
		r.apart.close()
		r.apart = nil
	}
}

// Skip reads on behind what Poll reported as an *OversizeError.
func (r *Reader) Skip(fat *OversizeError) {
	if r.apart == nil || r.apart.tp != fat.TopicPartition {
		return // removed since
	}
	r.apart.pass(fat)
	r.next[fat.TopicPartition] = r.apart.next
	if r.apart.over() {
		r.rejoin(fat.TopicPartition, fat.epoch)
	}
}
