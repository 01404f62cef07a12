//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// simSlot is one place for a process.
type simSlot struct {
	name string
	sim  *sim
	up   *process // nil: none
	link *kafkatest.Link
	dead []*process  // killed, and not at their end yet
	runs uint64      // processes so far
	busy atomic.Bool // something is going on with it: it is another goroutine's
}

// Enabled, Handle, WithAttrs and WithGroup make a simSlot the log of its process.
func (x *simSlot) Enabled(context.Context, slog.Level) bool { return true }

func (x *simSlot) Handle(_ context.Context, r slog.Record) error {
	for _, said := range []string{"flushing", "transact session", "producer state", "beginning transaction", "transaction session ending", "ending transaction", "metadata update triggered"} {
		if strings.HasPrefix(r.Message, "client: ") && strings.Contains(r.Message, said) {
			return nil // at every transaction
		}
	}
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	x.sim.tell("slot %s says: %s%s", x.name, r.Message, b.String())
	if r.Message == "partition stopped; its tenants' events wait in ingress" && (strings.Contains(b.String(), stopTorn) || strings.Contains(b.String(), stopOffset)) {
		x.sim.hist.violate("slot %s stopped a partition:%s", x.name, b.String())
	}
	return nil
}

func (x *simSlot) WithAttrs([]slog.Attr) slog.Handler { return x }
func (x *simSlot) WithGroup(string) slog.Handler      { return x }

func (x *simSlot) start() {
	x.runs++
	x.link = x.sim.v.Link(x.sim.trouble(x.name + "/" + fmt.Sprint(x.runs)))
	link := x.link
	cfg := testConfig(x.sim.v.Config(link), x.sim.keys, x.name)
	cfg.Schemas, cfg.SnapshotBytes = x.sim.schemas, 3000
	cfg.MaxRecords = []int{2, 10, 0}[(x.sim.seed+x.runs)%3] // with few, the next are judged while these are committed
	cfg.Now = func() time.Time {
		link.Wait() // a paused process is paused between two steps, too
		return time.Now()
	}
	x.up = startLogged(x.sim.t, cfg, slog.New(x))
	x.sim.tell("slot %s starts", x.name)
}

// stop ends the process as SIGTERM does.
func (x *simSlot) stop() {
	if x.up != nil {
		x.sim.tell("slot %s is asked to stop", x.name)
		x.up.halt()
		x.up = nil
	}
}

// kill ends it as SIGKILL does: nothing that it still tries gets anywhere.
func (x *simSlot) kill() {
	if x.up == nil {
		return
	}
	x.sim.tell("slot %s is killed", x.name)
	x.link.Kill()
	x.up.stop()
	x.dead = append(x.dead, x.up)
	x.up = nil
}

// after does fn in d of virtual time; the schedule leaves the slot alone until then.
func (x *simSlot) after(d time.Duration, fn func()) {
	x.busy.Store(true)
	x.sim.later.Go(func() {
		time.Sleep(d)
		fn()
		x.busy.Store(false)
	})
}

func (x *simSlot) ended() bool {
	select {
	case <-x.up.done:
		x.sim.tell("slot %s had ended: %v", x.name, x.up.err)
		return true
	default:
		return false
	}
}
