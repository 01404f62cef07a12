package timers

import (
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Clock is the time by which timers are due. It knows two: this machine's, and a lower bound of the broker's, which decides whether a firing counts.
//
// The broker's clock can't be asked. But an event has the broker's time of its append, and was read after that: so the broker's clock now is at least
// the event's position time and what has passed here since it was read. That bound is right whatever this machine's clock shows, and goes on while a
// partition is quiet, so a machine whose clock is behind holds back no timer. It is wrong if the clock of a broker was set back, because positions
// never go back: then firings come too early, and the bound is given up (Distrust).
type Clock struct {
	now func() time.Time

	mu         sync.Mutex
	read       map[int32]reading // by partition; its broker may be another
	distrusted bool
}

// reading is the position time of an event, and when it was read by this machine's clock.
type reading struct{ position, at time.Time }

// NewClock makes one that has read nothing. now is this machine's clock; nil: time.Now.
func NewClock(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now, read: map[int32]reading{}}
}

// Now is the time of this machine.
func (c *Clock) Now() time.Time { return c.now() }

// Broker is what the clock of a partition's broker shows at least; zero: nothing of it was read, or the bound is given up.
func (c *Clock) Broker(partition int32) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, known := c.read[partition]
	if !known {
		return time.Time{}
	}
	return r.position.Add(c.now().Sub(r.at))
}

// Latest is the later one of this machine's time and of what is known of the broker's.
func (c *Clock) Latest(partition int32) time.Time {
	now := c.Now()
	if b := c.Broker(partition); b.After(now) {
		return b
	}
	return now
}

// Read takes in that an event of a partition was read just now, and its position time. It returns by how much this machine's clock is behind.
func (c *Clock) Read(partition int32, position time.Time) (behind time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if r, known := c.read[partition]; !c.distrusted && (!known || position.After(r.position.Add(now.Sub(r.at)))) {
		c.read[partition] = reading{position, now}
	}
	return max(0, position.Sub(now))
}

// Distrust gives up what is known of the broker's clock, for as long as this process lives.
func (c *Clock) Distrust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.distrusted = true
	clear(c.read)
}

// A clock that is behind is told of in the process's log from so much on, and so often.
const (
	behindAtLeast   = time.Minute
	tellBehindEvery = 10 * time.Minute
)

// Observe is told of events of one partition, in order, when they are read from the log: they say what the broker's clock shows.
func (t *Timers) Observe(events []event.Recorded) {
	if len(events) == 0 {
		return
	}
	last := &events[len(events)-1]
	behind := t.cfg.Clock.Read(last.Partition, time.UnixMilli(event.PositionTime(last.Position)))
	now, told := t.cfg.Clock.Now(), t.behind.Load()
	if behind < behindAtLeast || told != 0 && now.Sub(time.Unix(0, told)).Abs() < tellBehindEvery || !t.behind.CompareAndSwap(told, now.UnixNano()) {
		return
	}
	t.cfg.Log.Error("the clock of this process is behind that of the broker; timers fire by the broker's. Set the clocks right", "behind", behind, "partition", last.Partition)
}

// isDue is the condition for a timer that is due: by this process's clock, which is $2, and by that of Postgres; or by what is known of the broker's,
// which is $3, and null for nothing.
const isDue = `state = 'armed' AND held_until <= greatest(least($2::timestamptz, now()), $3::timestamptz)`

// clocks are the arguments of isDue.
func (t *Timers) clocks(p int32) (own time.Time, broker *time.Time) {
	if b := t.cfg.Clock.Broker(p); !b.IsZero() {
		broker = &b
	}
	return t.cfg.Clock.Now(), broker
}
