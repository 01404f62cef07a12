package timers_test

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/timers"
)

// reads lets the process read an event of a tenant's partition.
func (r *rig) reads(tenant string, position time.Time) {
	r.Observe([]event.Recorded{{Position: event.PositionAt(position.UnixMilli()), Partition: kafka.PartitionFor([]byte(tenant), partitions)}})
}

func TestPass_FiresByTheBrokersClockWhereAnotherOneIsBehind(t *testing.T) {
	for name, tc := range map[string]struct{ own, due time.Duration }{ // both from the clock of Postgres
		"this process": {-time.Hour, -time.Second},
		"Postgres":     {time.Hour, time.Hour - time.Second},
		"both":         {-time.Hour, time.Hour - time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			postgres := r.now
			r.arm("acme", tc.due+time.Minute)
			r.now = postgres.Add(tc.own)
			r.reads("acme", postgres.Add(tc.due-time.Second))
			r.pass()
			if got := r.waiting("acme"); len(got) > 0 {
				t.Fatalf("fired a second before its due by the broker's clock: %v", got)
			}
			r.now = r.now.Add(2 * time.Second) // nothing is read meanwhile
			r.pass()
			if got := len(r.waiting("acme")); got != 1 {
				t.Errorf("%d firings of a timer that is due by the broker's clock, want 1", got)
			}
		})
	}
}

func TestPass_TakesTheClockOfItsOwnPartitionsBroker(t *testing.T) {
	r := newRig(t)
	r.arm("acme", time.Hour)
	other := "other"
	for samePartition(other, "acme") {
		other += "-"
	}
	r.reads(other, r.now.Add(2*time.Hour))
	r.pass()
	if got := r.waiting("acme"); len(got) > 0 {
		t.Errorf("fired by the clock of another partition's broker: %v", got)
	}
}

// Positions never go back, so they tell nothing of a broker whose clock was set back.
func TestEarly_GivesUpTheBrokersClock(t *testing.T) {
	r := newRig(t)
	r.arm("acme", time.Hour)
	r.reads("acme", r.now.Add(2*time.Hour))
	r.Early(1)
	r.now = r.now.Add(2 * time.Minute) // the pause is over
	r.reads("acme", r.now.Add(2*time.Hour))
	r.pass()
	if got := r.waiting("acme"); len(got) > 0 {
		t.Errorf("fired by a clock that made firings come too early: %v", got)
	}
}

func TestClock_KnowsTheBrokersClockByTheEventThatWasReadSoonest(t *testing.T) {
	now := time.Date(2026, 3, 6, 9, 0, 0, 0, time.UTC)
	c := timers.NewClock(func() time.Time { return now })
	if b := c.Broker(3); !b.IsZero() || !c.Latest(3).Equal(now) {
		t.Fatalf("the broker's clock shows %s before anything was read", b)
	}
	broker := now.Add(time.Hour)
	if behind := c.Read(3, broker); behind != time.Hour {
		t.Errorf("behind by %s, want 1h", behind)
	}
	now, broker = now.Add(time.Minute), broker.Add(time.Minute)
	c.Read(3, broker.Add(-30*time.Second)) // one that was read late
	if b := c.Broker(3); !b.Equal(broker) || !c.Latest(3).Equal(broker) {
		t.Errorf("the broker's clock shows %s, want %s", b, broker)
	}
	if behind := c.Read(4, now.Add(-time.Hour)); behind != 0 || !c.Latest(4).Equal(now) {
		t.Errorf("behind by %s, latest %s: the later one of both is this machine's", behind, c.Latest(4))
	}
}
