//go:build synctests || threebrokers

package sequencer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// simLatency is how long every answer takes. Without it, who asks again and again in the same moment for what only comes later would stop
// a simulation's clock.
const simLatency = 500 * time.Microsecond

// thrownOut stops a process between the answer that tells it to join again and that join, until others have owned its partitions, and
// have left. The client then joins as a new member, claims what it had, is given it, and tells nobody that it was away. The process
// must not go on from what it knew. Its fetches are answered late, so that it has joined again before it reads, or is still about to.
func thrownOut(t *testing.T, cfg kafka.Config, newLink func(func(kafkatest.Request) kafkatest.Trouble) *kafkatest.Link, slot func(*event.Keyring, string, *kafkatest.Link) Config, late time.Duration) {
	keys := brokerKeys(t)
	var slow, armed, hit atomic.Bool
	var link *kafkatest.Link
	link = newLink(func(r kafkatest.Request) (x kafkatest.Trouble) {
		x.Delay = simLatency
		if r == kafkatest.ReqFetch && slow.Load() {
			x.Delay += late
		}
		if r == kafkatest.ReqJoinGroup && armed.CompareAndSwap(true, false) {
			hit.Store(true)
			x.CutBefore, x.Do = true, link.Stall
		}
		return x
	})
	defer link.Resume()
	const tenants = 6
	name := func(i int) string { return fmt.Sprintf("thrown-out-%d", i) }
	n := 0
	all := func() {
		var events []*event.Event
		for i := range tenants {
			events = append(events, sequencertest.Lead(name(i), fmt.Sprint(n)))
		}
		n++
		send(t, cfg, events...)
		waitLogged(t, cfg, (n+1)*tenants)
	}
	thrown := start(t, slot(keys, "0", link))
	for i := range tenants {
		send(t, cfg, sequencertest.Created(keys, name(i)))
	}
	all()
	slow.Store(true)
	time.Sleep(2 * time.Second) // fetches under way end
	armed.Store(true)
	other := start(t, slot(keys, "1", newLink(func(kafkatest.Request) kafkatest.Trouble { return kafkatest.Trouble{Delay: simLatency} })))
	kafkatest.WaitFor(t, "the first to be stopped before it joins again", func(context.Context) bool { return hit.Load() })
	all() // by the other one, when the first is out
	all()
	other.halt()
	link.Resume()
	time.Sleep(time.Second)
	slow.Store(false) // not for what is restored later
	all()
	all()
	log := logged(t, cfg)
	checkLog(t, log)
	if total(log) != (n+1)*tenants {
		t.Errorf("%d events in the log, want %d", total(log), (n+1)*tenants)
	}
	if err := thrown.ready.Err(); err != nil {
		t.Error(err)
	}
	thrown.halt()
}
