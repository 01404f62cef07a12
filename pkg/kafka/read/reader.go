package read

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// Bounds of what a Reader has fetched and its caller has not polled, in bytes as on the wire; what it inflates to is bounded by the budget
// of every reader.
const (
	topicsFetchBytes     = 16 << 20
	topicsPartitionBytes = 512 << 10
)

// Reader reads committed records of partitions of many topics, named one by one, from given offsets and without a group. Each
// partition ends at its own last stable offset, so a transaction left open in one topic holds up that one alone. The topics are not
// compacted: what a fetch leaves out is looked at a second time. It is for one goroutine.
type Reader struct {
	client  *kgo.Client
	next    map[kafka.TopicPartition]int64 // of the partitions that are read
	fat     []kafka.TopicPartition         // whose next batch is too large to be read as a whole
	apart   *apart                         // the batch of the first of them, nil until it is opened; one at a time, for what a window takes
	witness *witness
	log     *slog.Logger
}

// readerWait bounds a fetch without data. A partition that is added, or read on behind a bomb, joins the fetch under way at its end.
const readerWait = 250 * time.Millisecond

// NewReader opens a reader that reads nothing yet.
func NewReader(cfg kafka.Config) (*Reader, error) {
	return newReader(cfg, kgo.FetchMaxBytes(topicsFetchBytes), kgo.FetchMaxPartitionBytes(topicsPartitionBytes))
}

func newReader(cfg kafka.Config, bounds ...kgo.Opt) (*Reader, error) {
	opts, err := cfg.Options(append(append(Options(kgo.NoResetOffset().AtStart()), kgo.FetchMaxWait(readerWait)), bounds...)...)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: open reader: %w", err)
	}
	return &Reader{
		client: client, next: map[kafka.TopicPartition]int64{}, witness: &witness{cfg: cfg}, log: cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)),
	}, nil
}

// Add starts to read a partition at an offset.
func (r *Reader) Add(tp kafka.TopicPartition, offset int64) {
	r.Remove(tp)
	r.next[tp] = offset
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{tp.Topic: {tp.Partition: kgo.NoResetOffset().At(offset)}})
}

// Remove stops to read a partition and drops what is buffered of it.
func (r *Reader) Remove(tp kafka.TopicPartition) {
	if _, ok := r.next[tp]; !ok {
		return
	}
	delete(r.next, tp)
	r.join(tp)
	r.client.RemoveConsumePartitions(map[string][]int32{tp.Topic: {tp.Partition}})
}

// Poll returns up to limit records, in order of offset in each partition, or none when ctx ends first. failed names partitions that
// can't be read on: they are removed, but for an *OversizeError, which Skip passes over. A trimmed beginning is such a failure, never a jump.
// A batch that is too large to be held as a whole comes in parts, in its turn.
//
// The client says once that it reads a partition no more. So what a poll has brought counts although ctx has ended meanwhile: else that
// partition would stand still without a word.
func (r *Reader) Poll(ctx context.Context, limit int) (recs []*kafka.Record, failed map[kafka.TopicPartition]error) {
	fail := func(tp kafka.TopicPartition, err error) {
		if failed == nil {
			failed = map[kafka.TopicPartition]error{}
		}
		failed[tp] = err
	}
	recs, fat := r.takeApart(ctx, max(limit/2, 1)) // half, so that the other partitions have their turn
	if fat != nil {
		fail(fat.TopicPartition, fat)
	}
	if limit -= len(recs); limit < 1 {
		return recs, failed
	}
	wait := ctx
	if len(recs) > 0 || fat != nil || r.apart != nil && !r.apart.held {
		wait = nil // the client returns what it has, then: there is more to do
	}
	fetches := r.client.PollRecords(wait, limit)
	fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
		tp := kafka.TopicPartition{Topic: ft.Topic, Partition: ft.Partition}
		next, ok := r.next[tp]
		if !ok {
			return
		}
		if err := Jumped(ft, next); err != nil {
			fail(tp, err)
			return
		}
		for len(ft.Records) > 0 && ft.Records[0].Offset < next { // a batch may begin before what was asked for
			ft.Records = ft.Records[1:]
		}
		upTo, err := r.leftOut(ctx, tp, gaps(next, ft.Records))
		if err != nil {
			fail(tp, err)
		}
		for _, rec := range ft.Records {
			if rec.Offset >= upTo {
				break
			}
			next = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				recs = append(recs, rec)
			}
		}
		r.next[tp] = next
	})
	for _, e := range fetches.Errors() {
		tp := kafka.TopicPartition{Topic: e.Topic, Partition: e.Partition}
		next, ok := r.next[tp]
		if !ok || errors.Is(e.Err, ErrInflateBudget) || failed[tp] != nil {
			continue
		}
		if fat, ok := errors.AsType[*kgo.ErrDecompressTooLarge](e.Err); ok {
			if err := r.separate(ctx, tp, next, fat); err != nil {
				fail(tp, err)
			}
			continue
		}
		fail(tp, r.explain(ctx, tp, next, e.Err))
	}
	for tp, err := range failed {
		if _, ok := errors.AsType[*OversizeError](err); !ok {
			r.Remove(tp)
		}
	}
	return recs, failed
}

// leftOut looks again at what a fetch left out and returns the offset up to which nothing is missing. What comes behind is fetched again.
func (r *Reader) leftOut(ctx context.Context, tp kafka.TopicPartition, spans []span) (upTo int64, err error) {
	if len(spans) == 0 {
		return math.MaxInt64, nil
	}
	missing, ok, err := r.witness.committed(ctx, tp, spans)
	if err != nil {
		return spans[0].from, fmt.Errorf("kafka: look again at what a fetch of %s left out from offset %d on: %w", tp, spans[0].from, err)
	}
	if !ok {
		return math.MaxInt64, nil
	}
	r.log.Error("a fetch had left out committed records; they are fetched again", "topic", tp.Topic, "partition", tp.Partition, "from", missing.from, "to", missing.to-1)
	r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{tp.Topic: {tp.Partition: {Epoch: -1, Offset: missing.from}}})
	return missing.from, nil
}

func (r *Reader) explain(ctx context.Context, tp kafka.TopicPartition, next int64, err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return &StoppedError{TopicPartition: tp, Next: next, Err: err, Reason: OutOfRange(ctx, kadm.NewClient(r.client), tp, next)}
	case errors.As(err, &loss):
		return &StoppedError{TopicPartition: tp, Next: next, Err: err, Reason: "the log was truncated below what was read"}
	}
	return fmt.Errorf("kafka: read %s: %w", tp, err)
}

// Close closes the connections.
func (r *Reader) Close() {
	if r.apart != nil {
		r.apart.close()
	}
	r.client.Close()
	r.witness.close()
}
