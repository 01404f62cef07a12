package timers

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

// positions are those of one partition that a test moves.
type positions struct {
	ingress, sequenced, log, applied int64
	asked                            []string
	fails                            bool
}

func (p *positions) IngressEnd(context.Context, int32) (int64, error) {
	p.asked = append(p.asked, "ingress")
	if p.fails {
		return 0, errors.New("Kafka is away")
	}
	return p.ingress, nil
}

func (p *positions) Sequenced(_ context.Context, _ int32, before int64) (bool, error) {
	return p.sequenced >= before, nil
}

func (p *positions) LogEnd(context.Context, int32) (int64, error) {
	p.asked = append(p.asked, "log")
	return p.log, nil
}

func (p *positions) Applied(_ context.Context, _ int32, before int64) (bool, error) {
	return p.applied >= before, nil
}

func TestGate_OpensWhenAllThatWasFiredIsApplied(t *testing.T) {
	// The firing of before the restore is the last record of ingress; the sequencer has not appended it yet.
	at := &positions{ingress: 10, sequenced: 9, log: 50, applied: 50}
	g := NewGate(at, slog.New(slog.DiscardHandler))
	open := func() bool { return len(g.Open(t.Context(), []int32{3})) == 1 }
	if open() {
		t.Fatal("open although a firing in ingress is not sequenced")
	}
	at.sequenced, at.log = 10, 52 // the firing stands in the log now, and more behind
	if open() {
		t.Fatal("open although a firing in the log is not applied: the end of the log was noted too early")
	}
	at.log, at.ingress = 70, 30 // what comes later does not matter
	at.applied = 52
	if !open() {
		t.Fatal("closed although everything is applied")
	}
	at.applied = 0
	if !open() {
		t.Fatal("an open partition closes while it is owned")
	}
	if g.Open(t.Context(), nil) != nil || open() {
		t.Fatal("open after the partition was away: another process may have fired meanwhile")
	}
}

func TestGate_StaysClosedWhileItCannotAsk(t *testing.T) {
	at := &positions{fails: true}
	g := NewGate(at, slog.New(slog.DiscardHandler))
	if len(g.Open(t.Context(), []int32{3})) > 0 {
		t.Fatal("open although the end of ingress is not known")
	}
	at.fails = false
	if len(g.Open(t.Context(), []int32{3})) != 1 {
		t.Fatal("closed although everything is empty and could be asked")
	}
	g.Closed(3)
	at.ingress = 1
	if len(g.Open(t.Context(), []int32{3})) > 0 {
		t.Fatal("open at a new assignment")
	}
}

// assigning is a partition that is assigned again while it is asked how far its log was read.
type assigning struct {
	positions
	again func()
}

func (p *assigning) Applied(ctx context.Context, partition int32, before int64) (bool, error) {
	p.again()
	return p.positions.Applied(ctx, partition, before)
}

func TestGate_StaysClosedIfThePartitionIsAssignedAgainWhileItIsAskedFor(t *testing.T) {
	at := &assigning{again: func() {}}
	g := NewGate(at, slog.New(slog.DiscardHandler))
	at.again = func() { g.Closed(3) }
	if open := g.Open(t.Context(), []int32{3}); len(open) > 0 {
		t.Fatalf("%v is open, by what was found out of the assignment before", open)
	}
	at.again = func() {}
	if len(g.Open(t.Context(), []int32{3})) != 1 {
		t.Fatal("closed although nothing is assigned any more")
	}
}
