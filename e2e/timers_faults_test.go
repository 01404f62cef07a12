//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
)

// timerFault is what goes wrong while timers are due, see flock.play.
type timerFault struct {
	name       string
	always     bool          // in the short form, too
	clock      time.Duration // by which the clock of rules-1 is ahead
	armed, due func(context.Context, *flock)
}

var timerFaults = []timerFault{
	{name: "killed and stopped, then Postgres set back", always: true, armed: backedUp, due: func(ctx context.Context, f *flock) {
		f.stop(ctx, "rules-1", func() { f.kill(ctx, pausedFor, "rules") })
		f.setBack(ctx)
	}},
	{name: "killed", due: func(ctx context.Context, f *flock) { f.kill(ctx, 25*time.Second, "rules", "rules-1") }},
	{name: "stopped past the session", due: func(ctx context.Context, f *flock) {
		f.stop(ctx, "rules", func() { rest(ctx, pausedFor) })
	}},
	{name: "rebalanced", due: rebalanced},
	{name: "a clock an hour ahead", clock: time.Hour},
	{name: "a clock an hour behind", clock: -time.Hour},
	{name: "Postgres set back", armed: backedUp, due: func(ctx context.Context, f *flock) { f.setBack(ctx) }},
	{name: "the log reseeded", due: reseeded},
}

// Timers that are due within a minute fire once each, and not before their due, whatever goes wrong meanwhile: each that was armed has fired, or was
// disarmed, or is armed still. NEURONX_TEST_WORKFLOWS=faults plays every fault with few timers; long plays each with 10,000 timers of two hundred
// tenants, and the first one with those of one tenant, too.
func TestWorkflows_TimersFireOnceUnderFaults(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	mode := os.Getenv("NEURONX_TEST_WORKFLOWS")
	for _, fault := range timerFaults {
		herds := []herd{{tenants: 4, leads: 150, contacted: 5, minutes: 1}}
		switch {
		case mode == "long":
			herds = []herd{{tenants: 200, leads: 50, contacted: 5, minutes: 2}}
			if fault.always {
				herds = append(herds, herd{tenants: 1, leads: 10_000, contacted: 5, minutes: 2})
			}
		case mode == "" && !fault.always:
			continue
		}
		for _, h := range herds {
			t.Run(fmt.Sprintf("%s: %d tenants", fault.name, h.tenants), func(t *testing.T) {
				ctx := context.Background()
				c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
				more := c.Service(t, "rules-1", "rules", "rules", "--laptop", "--slot", "1")
				if fault.clock != 0 {
					c.Plant(t, more.Name, "host_clock_off", "NEURONX_TEST_CLOCK="+fault.clock.String())
				}
				noError(t, more.Start())
				noError(t, more.Ready(ctx))
				noError(t, c.Joined(ctx, kafka.GroupRules, 2))
				(&flock{herd: h, t: t, c: c}).play(ctx, fault.armed, fault.due)
			})
		}
	}
}

// kill kills processes in turn, one every two seconds.
func (f *flock) kill(ctx context.Context, lasts time.Duration, names ...string) {
	f.t.Helper()
	kills := 0
	for until := time.Now().Add(lasts); time.Now().Before(until); kills++ {
		p := f.c.Processes[names[kills%len(names)]]
		noError(f.t, p.Kill9())
		noError(f.t, p.Start())
		rest(ctx, 2*time.Second)
	}
	f.t.Logf("%d kills of %v", kills, names)
}

// stop stops a process while do lasts. What it takes for its own then, others own by now.
func (f *flock) stop(ctx context.Context, name string, do func()) {
	f.t.Helper()
	p := f.c.Processes[name]
	if !p.Signal(syscall.SIGSTOP) {
		f.t.Fatalf("%s does not run", name)
	}
	do()
	if !p.Signal(syscall.SIGCONT) {
		f.t.Fatalf("%s is gone", name)
	}
	rest(ctx, 3*time.Second)
}

// rebalanced lets a third process come, take its share, and go again, politely or not.
func rebalanced(ctx context.Context, f *flock) {
	third := f.c.Service(f.t, "rules-2", "rules", "rules", "--laptop", "--slot", "2")
	comes := 0
	for until := time.Now().Add(25 * time.Second); time.Now().Before(until); comes++ {
		noError(f.t, third.Start())
		noError(f.t, f.c.Joined(ctx, kafka.GroupRules, 3))
		rest(ctx, time.Second)
		if comes%2 == 0 {
			noError(f.t, third.Term())
		} else {
			noError(f.t, third.Kill9())
		}
	}
	f.t.Logf("a third process came %d times", comes)
}

// backedUp copies the database while all timers are armed.
func backedUp(ctx context.Context, f *flock) {
	noError(f.t, f.c.StopAll())
	noError(f.t, f.c.Backup(ctx))
	startAll(ctx, f.t, f.c)
}

// setBack puts the copy in the database's place when timers have fired of which it does not know.
func (f *flock) setBack(ctx context.Context) {
	f.t.Helper()
	left := f.someFired(ctx)
	noError(f.t, f.c.KillAll())
	noError(f.t, f.c.Restore(ctx))
	startAll(ctx, f.t, f.c)
	f.t.Logf("Postgres was set back when %d of %d timers had fired or been disarmed", f.timers()-left, f.timers())
}

// someFired waits until at least one timer has fired, and returns how many instances wait for theirs.
func (f *flock) someFired(ctx context.Context) (left int) {
	f.t.Helper()
	noError(f.t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) (err error) {
		if left, err = f.waiting(ctx); err == nil && left >= f.timers()-f.timers()/f.contacted {
			err = fmt.Errorf("%d instances wait", left)
		}
		return err
	}))
	return left
}

// reseeded loses Kafka while timers fire, some of which are in no archive, and builds the log again.
func reseeded(ctx context.Context, f *flock) {
	noError(f.t, f.c.Processes["archiver"].Kill9())
	f.someFired(ctx)
	rest(ctx, time.Second)
	noError(f.t, f.c.KillAll())
	left, err := f.waiting(ctx)
	noError(f.t, err)
	noError(f.t, f.c.LoseKafka(ctx))
	report := mustReseed(ctx, f.t, f.c, "--execute")
	if len(report.Lost) == 0 {
		f.t.Error("nothing was ahead of the archive: no firing was lost")
	}
	startAll(ctx, f.t, f.c)
	f.stored, err = f.c.StoredAs(ctx)
	noError(f.t, err)
	f.t.Logf("the log was lost when %d of %d timers had fired or been disarmed; %d rows were ahead of the archive, %d events are derived again, %d were dropped",
		f.timers()-left, f.timers(), len(report.Lost), report.Again, report.Dropped)
}
