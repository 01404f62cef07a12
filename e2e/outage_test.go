//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
)

// What an outage may cost.
const (
	toldWithin  = time.Minute      // by readiness, status and doctor
	awayFor     = 20 * time.Second // at least
	readyWithin = time.Minute      // of the end of an outage
	outageRate  = 60               // events a second that are asked for
)

// An outage takes away something that the engine needs.
type outage struct {
	name      string
	component *regexp.Regexp
	processes []string // whose readiness must say so with 503, and whose alert must fire; the others' may
	alerts    []string // that must fire, too, for whichever process
	serves    bool     // HTTP goes on acknowledging meanwhile
	strike    func(context.Context) error
	heal      func(context.Context) error
}

// TestOutage_IsToldAndEndsByItself takes Postgres, Kafka and the registry away under load, each in several ways. Each is told by the
// readiness of the processes that it concerns, by status and by doctor; no process exits; and when it is over, all goes on without help,
// with every acknowledged event in the log once.
func TestOutage_IsToldAndEndsByItself(t *testing.T) {
	t.Parallel() // on a broker of its own
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	disk, log := cluster.SmallDisk(t, 512<<20), cluster.SmallDisk(t, 512<<20)
	broker := cluster.NewOwnKafka(t, ctx, log.Dir)
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker.Broker, Data: disk.Dir})
	o := &outages{t: t, c: c, path: filepath.Join(c.Dir, "history.jsonl"), watch: watchAlerts(t, c)}
	o.tenants = c.Tenants(t, "outage", 6, 2)
	var err error
	o.history, err = checker.CreateHistory(o.path)
	noError(t, err)
	defer o.history.Close()
	o.healthy(ctx)

	postgres, kafka, registry := regexp.MustCompile(`(?i)postgres|database`), regexp.MustCompile(`(?i)kafka|broker`), regexp.MustCompile(`(?i)registry|schema`)
	consumers := []string{"rules", "projector", "archiver", "gohighlevel"}
	all := append([]string{"ingest-0"}, consumers...)
	var cycling func()
	hang := func(context.Context) error { return c.SignalPostgres(syscall.SIGSTOP) }
	wake := func(context.Context) error { return c.SignalPostgres(syscall.SIGCONT) }
	t.Cleanup(func() { _ = wake(ctx) }) // a server that hangs can't be stopped
	for _, x := range []outage{
		// In this order an alert that looks back, such as that for a slow Postgres, has ended before it must fire again.
		{"Kafka away", kafka, all, []string{"NeuronXIngestRefusing"}, false, broker.Kill9, broker.Start},
		{"Postgres slow", postgres, consumers, []string{flaps}, true, func(context.Context) error { cycling = o.slow(ctx); return nil }, func(context.Context) error { cycling(); return nil }},
		{"Postgres hangs", postgres, consumers, nil, true, hang, wake},
		{"Postgres away", postgres, consumers, nil, true, func(context.Context) error { return c.Postgres.Stop() }, c.StartPostgres},
		// Also those that find room in the pages that they have.
		{"Postgres full", postgres, consumers, nil, true, func(context.Context) error { return disk.Fill() }, func(ctx context.Context) error {
			if err := disk.Free(); err != nil {
				return err
			}
			_ = c.Postgres.Stop() // it may have ended itself: for want of room in its own log it must
			return c.StartPostgres(ctx)
		}},
		{"Kafka full", kafka, all, []string{"NeuronXIngestRefusing"}, false, func(ctx context.Context) error {
			if err := log.Fill(); err != nil {
				return err
			}
			// A broker that can't write ends itself.
			return cluster.Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
				if broker.Up(ctx) {
					return fmt.Errorf("the broker runs on with a full disk")
				}
				return nil
			})
		}, func(ctx context.Context) error {
			if err := log.Free(); err != nil {
				return err
			}
			return broker.Start(ctx)
		}},
		{"registry away", registry, consumers, nil, true, func(context.Context) error { return c.Processes["registry"].Kill9() },
			func(context.Context) error { return c.Processes["registry"].Start() }},
	} {
		t.Run(x.name, func(t *testing.T) { o.run(ctx, t, x) })
	}
	o.watch.quiet(ctx, t)
}

// outages is a cluster under load that things are taken away from.
type outages struct {
	t        *testing.T
	c        *cluster.Cluster
	tenants  []load.Tenant
	history  *checker.History
	path     string
	seed     uint64
	watch    *alertWatch
	baseline map[string][]string // what status and doctor say when all is well, by verb
}

// verbs are the operators' commands that must tell an outage.
var verbs = []string{"status", "doctor"}

func (o *outages) healthy(ctx context.Context) {
	o.t.Helper()
	o.baseline = map[string][]string{}
	for _, verb := range verbs {
		out, errs, _ := o.cli(ctx, verb)
		o.baseline[verb] = wordsOf(out + errs)
	}
}

// wordsOf are the lines of a table, without what only makes its columns straight.
func wordsOf(text string) []string {
	out := strings.Split(text, "\n")
	for i, line := range out {
		out[i] = strings.Join(strings.Fields(line), " ")
	}
	return out
}

func (o *outages) cli(ctx context.Context, verb string) (string, string, int) {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	args := o.c.WithAdmins(verb, "--timeout", "10s")
	if verb == "doctor" {
		args = append(args, "--laptop")
	}
	return o.c.CLI(ctx, args...)
}

// slow lets the server work for a moment every eight seconds, until the returned function is called.
func (o *outages) slow(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := o.c.SignalPostgres(syscall.SIGSTOP); err != nil {
				o.t.Errorf("slow down Postgres: %v", err)
			}
			rest(ctx, 8*time.Second)
			if err := o.c.SignalPostgres(syscall.SIGCONT); err != nil {
				o.t.Errorf("slow down Postgres: %v", err)
			}
			rest(ctx, 200*time.Millisecond)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (o *outages) run(ctx context.Context, t *testing.T, x outage) {
	pids := o.running(ctx, t)
	o.seed++
	var stats load.Stats
	loading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- load.Run(loading, load.Plan{URLs: o.c.HTTPURLs, Tenants: o.tenants, Rate: outageRate, Batch: 5, Clients: 6, History: o.history, Seed: o.seed}, &stats)
	}()
	rest(ctx, 2*time.Second)
	noError(t, x.strike(ctx))
	struck, before := time.Now(), stats.OK.Load()
	var telling sync.WaitGroup
	for _, name := range x.processes {
		telling.Go(func() { o.readiness(ctx, t, name, x, struck) })
	}
	for _, verb := range verbs {
		telling.Go(func() { o.told(ctx, t, verb, x, struck) })
	}
	telling.Go(func() { o.watch.told(ctx, t, x, struck) })
	telling.Wait()
	rest(ctx, awayFor-time.Since(struck))
	meanwhile := stats.OK.Load() - before
	if x.serves && meanwhile == 0 {
		t.Errorf("nothing was acknowledged for %s: HTTP does not need what is away", time.Since(struck).Truncate(time.Second))
	}
	t.Logf("%d events acknowledged in %s of the outage", meanwhile, time.Since(struck).Truncate(time.Second))

	noError(t, x.heal(ctx))
	healed := time.Now()
	soon, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, name := range o.c.Services() {
		if err := o.c.Processes[name].Ready(soon); err != nil {
			t.Errorf("%s after the end of the outage: %v", time.Since(healed).Truncate(time.Second), err)
		}
	}
	t.Logf("all is ready %s after the end of the outage", time.Since(healed).Truncate(time.Millisecond))
	rest(ctx, 3*time.Second)
	stop()
	noError(t, <-ended)
	for _, name := range o.c.Services() {
		if p := o.c.Processes[name]; p.PID() != pids[name] {
			t.Errorf("%s ended:\n%s", name, p.Tail(3))
		}
	}
	o.running(ctx, t)
	var resolving sync.WaitGroup
	defer resolving.Wait()
	resolving.Go(func() { o.watch.resolved(ctx, t, x, healed) })
	o.judge(ctx, t, &stats)
}

// running starts what does not run, so that an outage is judged by itself, and returns the processes' ids.
func (o *outages) running(ctx context.Context, t *testing.T) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pids := map[string]int{}
	for _, name := range append([]string{"registry"}, o.c.Services()...) {
		p := o.c.Processes[name]
		if !p.Running() {
			noError(t, p.Start())
		}
		if name != "registry" {
			noError(t, p.Ready(ctx))
		}
		pids[name] = p.PID()
	}
	return pids
}

// readiness waits until a process says by 503 what it waits for.
func (o *outages) readiness(ctx context.Context, t *testing.T, name string, x outage, struck time.Time) {
	p := o.c.Processes[name]
	var body string
	var code int
	var err error
	for time.Since(struck) < toldWithin && ctx.Err() == nil {
		body, code, err = p.Readiness(ctx)
		if err == nil && code == http.StatusServiceUnavailable && x.component.MatchString(body) {
			t.Logf("%s was told by readiness of %s after %s: %.160s", x.name, name, time.Since(struck).Truncate(100*time.Millisecond), strings.ReplaceAll(body, "\n", " / "))
			return
		}
		rest(ctx, 500*time.Millisecond)
	}
	t.Errorf("readiness of %s does not say within %s that it waits: %d %.300s %v", name, toldWithin, code, body, err)
}

// told waits until a command says something of the component that it does not say when all is well, and fails.
func (o *outages) told(ctx context.Context, t *testing.T, verb string, x outage, struck time.Time) {
	var said string
	var code int
	for time.Since(struck) < toldWithin && ctx.Err() == nil {
		var out, errs string
		out, errs, code = o.cli(ctx, verb)
		said = out + errs
		for _, line := range wordsOf(said) {
			// What a process remembers of outages before this one tells nothing of it, but that it lost the component again and again does.
			remembers := strings.Contains(line, " was lost ") && !(slices.Contains(x.alerts, flaps) && strings.Contains(line, "not for long"))
			if code != 0 && x.component.MatchString(line) && !remembers && !strings.Contains(line, " ok ") && !strings.Contains(line, " skipped ") && !slices.Contains(o.baseline[verb], line) {
				t.Logf("%s was told by %s after %s: %.200s", x.name, verb, time.Since(struck).Truncate(100*time.Millisecond), line)
				return
			}
		}
		rest(ctx, time.Second)
	}
	t.Errorf("`neuronx %s` does not tell it within %s: exit %d\n%.1500s", verb, toldWithin, code, said)
}

func (o *outages) judge(ctx context.Context, t *testing.T, stats *load.Stats) {
	t.Helper()
	if stats.OK.Load() == 0 || stats.Unknown.Load() > 0 {
		t.Errorf("%d events acknowledged, %d without an answer", stats.OK.Load(), stats.Unknown.Load())
	}
	if err := o.c.WaitIdle(ctx, 90*time.Second); err != nil {
		t.Errorf("the engine does not come to rest: %v", err)
	}
	d, err := o.c.Dump(ctx)
	noError(t, err)
	d.Ops, err = checker.ReadHistory(o.path)
	noError(t, err)
	t.Logf("%d events acknowledged, %d tried again; checked %d events of the log", stats.OK.Load(), stats.Retries.Load(), len(d.Log))
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}
