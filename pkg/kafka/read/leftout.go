package read

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// lookTimeout bounds the second look at a range that a fetch left out.
const lookTimeout = 3 * time.Second

// span is a range of offsets; to is excluded.
type span struct{ from, to int64 }

// gaps are the offsets from next on that records leave out. Records begin at or behind next and rise.
func gaps(next int64, recs []*kafka.Record) (out []span) {
	for _, r := range recs {
		if r.Offset > next {
			out = append(out, span{next, r.Offset})
		}
		next = r.Offset + 1
	}
	return out
}

// witness looks a second time at what a reader's fetches left out. In a log that is not compacted that may only be records of aborted
// transactions; anything else would be passed over in silence. It has a client of its own, and no fetch session that could be another one
// than the broker's.
type witness struct {
	cfg    kafka.Config
	client *kgo.Client // nil: nothing was left out yet
}

// committed returns the first of the spans, which rise, that has a committed record; ok is false if none has.
func (w *witness) committed(ctx context.Context, tp kafka.TopicPartition, spans []span) (found span, ok bool, err error) {
	if w.client == nil {
		opts, err := w.cfg.Options(append(Options(kgo.NoResetOffset().AtStart()), kgo.DisableFetchSessions())...)
		if err != nil {
			return span{}, false, err
		}
		if w.client, err = kgo.NewClient(opts...); err != nil {
			return span{}, false, fmt.Errorf("kafka: open a second reader: %w", err)
		}
	}
	// The reader's own time may be over; this is one answer of a broker that has just answered.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	from, to := spans[0].from, spans[len(spans)-1].to
	w.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{tp.Topic: {tp.Partition: kgo.NoResetOffset().At(from)}})
	defer w.client.RemoveConsumePartitions(map[string][]int32{tp.Topic: {tp.Partition}})
	errSeen := errors.New("seen")
	err = readOn(ctx, w.client, tp, from, to, func(r *kafka.Record) error {
		for len(spans) > 0 && spans[0].to <= r.Offset {
			spans = spans[1:]
		}
		if len(spans) > 0 && spans[0].from <= r.Offset {
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		return spans[0], true, nil
	}
	return span{}, false, err
}

func (w *witness) close() {
	if w.client != nil {
		w.client.Close()
	}
}
