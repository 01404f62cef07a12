package group

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/kafka"
)

// partition is what a member knows about one partition that it owns. It is recreated at every assignment.
type partition struct {
	next      int64           // the offset that the next record should have; -1 before the first
	from      int64           // where this assignment began to read; -1 before that is known
	done      kgo.EpochOffset // handled up to here; the epoch lets a later reader notice a truncated log (KIP-320)
	committed int64           // what the group holds, -1 if nothing
	end       int64           // last stable offset, as last seen
	waiting   time.Time       // since when the next record waits; zero when none does
	stopped   error           // why it is not read any more
}

// Owned lists the partitions assigned now, sorted.
func (g *Consumer) Owned() []kafka.TopicPartition {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]kafka.TopicPartition, 0, len(g.owned))
	for tp := range g.owned {
		out = append(out, tp)
	}
	kafka.SortPartitions(out)
	return out
}

// Stopped returns the owned partitions that are not read any more, and why. They stay stopped until they are assigned again;
// readiness checks show them.
func (g *Consumer) Stopped() map[kafka.TopicPartition]error {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[kafka.TopicPartition]error)
	for tp, p := range g.owned {
		if p.stopped != nil {
			out[tp] = p.stopped
		}
	}
	return out
}

func (g *Consumer) assigned(ctx context.Context, client *kgo.Client, m map[string][]int32) {
	tps := flatten(m)
	g.mu.Lock()
	for _, tp := range tps {
		g.owned[tp] = &partition{next: -1, from: -1, committed: -1, end: -1, done: kgo.EpochOffset{Epoch: -1, Offset: -1}}
	}
	g.mu.Unlock()
	client.ResumeFetchPartitions(m) // one that was stopped in an earlier assignment
	if len(tps) > 0 {
		g.log.Info("partitions assigned", "partitions", tps)
		if g.cfg.Assigned != nil {
			g.cfg.Assigned(ctx, tps)
		}
	}
}

// revoked runs while the member still owns its partitions, so what it has handled can still be committed, unless they were another's.
func (g *Consumer) revoked(ctx context.Context, client *kgo.Client, m map[string][]int32) {
	g.commit(ctx, client)
	g.drop(ctx, m, "revoked")
}

// outlived is called when the member that owned the partitions is no more, and this process is a new one.
func (g *Consumer) outlived() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stale = len(g.owned) > 0
}

// lost runs when the group has given the partitions away already: a commit now could move another member's offset, and the
// default would be to run revoked.
func (g *Consumer) lost(ctx context.Context, _ *kgo.Client, m map[string][]int32) {
	g.drop(ctx, m, "lost")
}

func (g *Consumer) drop(ctx context.Context, m map[string][]int32, how string) {
	tps := flatten(m)
	if len(tps) == 0 {
		return
	}
	g.mu.Lock()
	for _, tp := range tps {
		delete(g.owned, tp)
	}
	g.stale = g.stale && len(g.owned) > 0
	g.mu.Unlock()
	g.log.Info("partitions "+how, "partitions", tps)
	if g.cfg.Revoked != nil {
		g.cfg.Revoked(ctx, tps)
	}
}

func flatten(m map[string][]int32) []kafka.TopicPartition {
	var out []kafka.TopicPartition
	for t, ps := range m {
		for _, p := range ps {
			out = append(out, kafka.TopicPartition{Topic: t, Partition: p})
		}
	}
	kafka.SortPartitions(out)
	return out
}
