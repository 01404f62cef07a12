package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
)

// HandleAs does what the loop does with one poll, as a member whose memory says that its partitions stand at next.
func (c *Consumer) HandleAs(ctx context.Context, next map[kafka.TopicPartition]int64, recs []*kafka.Record) error {
	s := &session{c: c, log: c.cfg.Log, next: next, logIDs: map[kafka.TopicPartition]string{}, ticked: time.Now()}
	return s.process(ctx, takeApart(recs, next))
}

// CatchUpAs takes the catching-up generations of partitions as far as they come.
func (c *Consumer) CatchUpAs(ctx context.Context, partitions []int32) error {
	s := &session{c: c, log: c.cfg.Log}
	for _, k := range s.newCatchers() {
		for busy := true; busy; {
			busy = false
			rows, err := k.waiting(ctx, partitions)
			if err != nil {
				return err
			}
			for _, r := range rows {
				more, err := k.advance(ctx, r)
				if err != nil {
					return err
				}
				busy = busy || more
			}
		}
	}
	return nil
}

// IsTakenOver reports whether a batch was dropped because another member went on.
func IsTakenOver(err error) bool { return errors.Is(err, errTakenOver) }

// SetMainAside makes batches leave the events of the main feed to its catch-up, as after a failure of its tables.
func (c *Consumer) SetMainAside() { c.feeds[len(c.feeds)-1].aside.Store(true) }
