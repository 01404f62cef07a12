package timers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// Positions are what a Gate asks. Each answers for one partition.
type Positions interface {
	// IngressEnd is where ingress ends, uncommitted records counted.
	IngressEnd(ctx context.Context, partition int32) (int64, error)
	// Sequenced reports whether the sequencer has taken in everything of ingress before an offset.
	Sequenced(ctx context.Context, partition int32, before int64) (bool, error)
	// LogEnd is where the log ends, uncommitted records counted.
	LogEnd(ctx context.Context, partition int32) (int64, error)
	// Applied reports whether the rules have applied everything of the log before an offset. Behind a row there may be control records, which
	// move no row; they count as applied.
	Applied(ctx context.Context, partition int32, before int64) (bool, error)
}

// Gate holds back the timers of a partition, from each assignment on, until all that was fired before is applied: what looks armed in a database that
// was restored from a backup may have fired since, and its firing may stand in the log, or in ingress on its way there. So in this order the end of
// ingress is noted, the sequencer passes it, the end of the log is noted, and the rules pass that.
type Gate struct {
	at  Positions
	log *slog.Logger

	asking sync.Mutex // held while Kafka and Postgres are asked: one Open at a time
	mu     sync.Mutex // guards parts, never for longer than a look: Closed runs in the middle of a rebalance
	parts  map[int32]*passage
}

// passage is how far a partition is.
type passage struct {
	ingress, log         int64
	haveIngress, haveLog bool
	sequenced, open      bool
}

// NewGate makes a gate at which every partition is closed.
func NewGate(at Positions, log *slog.Logger) *Gate {
	return &Gate{at: at, log: log, parts: map[int32]*passage{}}
}

// Open lists those of the owned partitions whose timers may fire, sorted. One that is no longer owned begins again when it comes back, and so does one
// that is assigned again while it is asked for. What can't be asked keeps its partition closed.
func (g *Gate) Open(ctx context.Context, owned []int32) []int32 {
	g.asking.Lock()
	defer g.asking.Unlock()
	found := g.passages(owned)
	for p, x := range found {
		if err := g.pass(ctx, p, x); err != nil && ctx.Err() == nil {
			g.log.Warn("cannot find out how far the log was read; timers wait until it is known", "partition", p, "err", err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []int32
	for p, x := range found {
		if x.open && g.parts[p] == x {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// passages are those of the owned partitions; the others are forgotten.
func (g *Gate) passages(owned []int32) map[int32]*passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.parts, func(p int32, _ *passage) bool { return !slices.Contains(owned, p) })
	for _, p := range owned {
		if g.parts[p] == nil {
			g.parts[p] = &passage{}
		}
	}
	return maps.Clone(g.parts)
}

// pass lets a partition go as far as it can.
func (g *Gate) pass(ctx context.Context, p int32, x *passage) (err error) {
	if !x.haveIngress {
		if x.ingress, err = g.at.IngressEnd(ctx, p); err != nil {
			return fmt.Errorf("find the end of ingress: %w", err)
		}
		x.haveIngress = true
	}
	if !x.sequenced {
		if x.sequenced, err = g.at.Sequenced(ctx, p, x.ingress); err != nil || !x.sequenced {
			return err
		}
	}
	if !x.haveLog {
		if x.log, err = g.at.LogEnd(ctx, p); err != nil {
			return fmt.Errorf("find the end of the log: %w", err)
		}
		x.haveLog = true
	}
	if !x.open {
		x.open, err = g.at.Applied(ctx, p, x.log)
	}
	return err
}

// Closed forgets what was found out of partitions. It must be told of every assignment: one that was lost and came back between two calls of Open looks
// as if it had been owned all the time.
func (g *Gate) Closed(partitions ...int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range partitions {
		delete(g.parts, p)
	}
}
