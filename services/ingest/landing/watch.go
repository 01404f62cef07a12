package landing

import (
	"context"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

const watchEvery = 5 * time.Second

// maxLabels is up to how many topics each has its own line of metrics: with thousands of tenants they would cost more than they tell.
const maxLabels = 50

// watch measures how far behind the forwarder is.
func (s *session) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	blocked := map[kafka.TopicPartition]int64{} // last stable offset where it did not move
	for {
		s.measure(ctx, blocked)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *session) measure(ctx context.Context, blocked map[kafka.TopicPartition]int64) {
	s.mu.Lock()
	lanes := s.watched
	s.mu.Unlock()
	now := sums{topics: len(lanes), perTopic: map[string]float64{}}
	names := make([]string, 0, len(lanes))
	for name := range lanes {
		names = append(names, name)
	}
	if len(names) > 0 {
		// Stable first: what is written in between may look like an open transaction for one tick, which does not count. An error is of
		// partitions that are left out, such as one without a leader; the others are measured.
		stable, _ := s.admin.EndOffsets(ctx, admin.ReadCommitted, names...)
		ends, _ := s.admin.EndOffsets(ctx, admin.ReadUncommitted, names...)
		for name, l := range lanes {
			held := false
			for _, p := range l.parts {
				next, oldest, stopped := p.look()
				now.add(name, float64(max(0, ends[p.tp]-next)), oldest, stopped)
				last, seen := blocked[p.tp]
				to, known := stable[p.tp]
				open := known && to < ends[p.tp]
				held = held || seen && last == to && open
				delete(blocked, p.tp)
				if open {
					blocked[p.tp] = to
				}
			}
			if held {
				now.blocked++
			}
		}
		if len(ends) == 0 { // Kafka may be away: how far behind the topics are is not known
			s.m.stopped.Set(float64(now.stopped))
			return
		}
	}
	s.m.show(now)
}

func (p *part) look() (next int64, oldest time.Time, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next, p.oldest, p.stopped || p.leaderless
}

// sums is what one look at all topics found.
type sums struct {
	topics, blocked, stopped int
	lag                      float64
	perTopic                 map[string]float64
	oldest                   time.Time
}

func (n *sums) add(topic string, lag float64, oldest time.Time, stopped bool) {
	n.lag += lag
	n.perTopic[topic] += lag
	if stopped {
		n.stopped++
	}
	if !oldest.IsZero() && (n.oldest.IsZero() || oldest.Before(n.oldest)) {
		n.oldest = oldest
	}
}
