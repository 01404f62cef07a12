package httpin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
)

const (
	followPause = time.Second // between two tries to follow the receipts
	followBatch = 1000        // receipts a poll
)

// FollowReceipts reads neuronx.receipts, committed records only, from its end, and hands every receipt to the request that waits for
// it, until ctx is done; then it returns nil. While it can't read, requests are answered as if they had not asked to wait. One reader
// serves all requests of the process.
func (s *Server) FollowReceipts(ctx context.Context, cfg kafka.Config) error {
	for {
		err := s.follow(ctx, cfg)
		s.waitlist.live.Store(false)
		if ctx.Err() != nil {
			return nil
		}
		s.Log.Warn("receipts are not followed, so requests with Prefer: wait are answered without a verdict until they are", "err", err)
		if backoff.Wait(ctx, followPause) != nil {
			return nil
		}
	}
}

func (s *Server) follow(ctx context.Context, cfg kafka.Config) error {
	adm, err := admin.New(cfg)
	if err != nil {
		return err
	}
	defer adm.Close()
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicReceipts)
	if err != nil {
		return err
	}
	if len(ends) == 0 {
		return fmt.Errorf("topic %s does not exist", kafka.TopicReceipts)
	}
	reader, err := read.NewTopicReader(cfg, kafka.TopicReceipts)
	if err != nil {
		return err
	}
	defer reader.Close()
	for tp, end := range ends {
		reader.Add(tp.Partition, end)
	}
	// From here on no receipt of a record that is produced later can be missed: it lies behind these ends.
	s.waitlist.live.Store(true)
	for {
		recs, failed := reader.Poll(ctx, followBatch)
		for _, r := range recs {
			s.receipt(r)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, err := range failed {
			return errors.Join(errors.New("a partition can't be read on"), err)
		}
	}
}

func (s *Server) receipt(r *kafka.Record) {
	receipt, err := event.ParseReceipt(r.Value)
	if err != nil {
		s.Log.Warn("skipped a receipt that cannot be read", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", err)
		return
	}
	s.repeats.note(receipt)
	s.waitlist.hand(string(r.Key), receipt)
}
