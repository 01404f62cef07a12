//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// TestSimulation_WhoWasThrownOutInTheMiddleOfARebalanceForgetsWhatItOwned stops a process between the answer that tells it to join again
// and that join, until others have owned its partitions, and have left. The client then joins as a new member, claims what it had, is
// given it, and tells nobody that it was away.
func TestSimulation_WhoWasThrownOutInTheMiddleOfARebalanceForgetsWhatItOwned(t *testing.T) {
	for name, late := range map[string]time.Duration{"it reads before it has joined again": 0, "it joins again before it reads": 2 * time.Second} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { thrownOut(t, late) }) })
	}
}

func thrownOut(t *testing.T, late time.Duration) {
	v := kafkatest.StartVirtual(t, 1, simPartitions)
	cfg, keys := v.Config(v.Link(nil)), event.NewKeyring()
	var slow, armed, hit atomic.Bool
	var link *kafkatest.Link
	link = v.Link(func(r kafkatest.Request) (x kafkatest.Trouble) {
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
	const tenants = 6
	n := 0
	all := func() {
		var events []*event.Event
		for i := range tenants {
			events = append(events, lead(tenantName(i), fmt.Sprint(n)))
		}
		n++
		send(t, cfg, events...)
		waitLogged(t, cfg, (n+1)*tenants)
	}
	defer link.Resume()
	thrown := start(t, testConfig(v.Config(link), keys, "0"))
	for i := range tenants {
		send(t, cfg, created(keys, tenantName(i)))
	}
	all()
	slow.Store(true)
	time.Sleep(2 * time.Second) // fetches under way end
	armed.Store(true)
	other := start(t, testConfig(v.Config(v.Link(func(kafkatest.Request) kafkatest.Trouble { return kafkatest.Trouble{Delay: simLatency} })), keys, "1"))
	kafkatest.WaitFor(t, "the first to be stopped before it joins again", func(context.Context) bool { return hit.Load() })
	all() // by the other one, when the first is out
	all()
	other.halt()
	link.Resume()
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
	time.Sleep(time.Minute)
}
