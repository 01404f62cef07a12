//go:build e2e

// Package e2e proves the engine on a real Kafka: rounds of load and faults that the checker judges, bugs that it must find, resets of
// every group, bad inputs, and other languages' producers.
package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
)

// What a round must reach to count.
const (
	roundRate    = 800 // events a second that are asked for
	minRate      = 500 // events a second that must be acknowledged
	roundTenants = 50
	roundCRMs    = 20
	pausedFor    = 22 * time.Second // beyond session (15 s) and transaction (10 s) time-outs
)

// fault is one thing that goes wrong in a round.
type fault struct {
	name string
	do   func(context.Context, *round) error
}

// round is one cluster under load and faults.
type round struct {
	t      *testing.T
	c      *cluster.Cluster
	seed   uint64
	landed []string
}

func TestRounds(t *testing.T) {
	n := 1
	if s := os.Getenv("NEURONX_TEST_ROUNDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("NEURONX_TEST_ROUNDS: %v", err)
		}
	}
	seed := uint64(time.Now().Unix())
	if s := os.Getenv("NEURONX_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("NEURONX_TEST_SEED: %v", err)
		}
	}
	for i := range n {
		ok := t.Run(fmt.Sprintf("seed-%d", seed+uint64(i)), func(t *testing.T) { runRound(t, cluster.Options{}, seed+uint64(i), nil) })
		if !ok {
			return
		}
	}
}

// runRound runs one round and returns what the checker found; judge nil means that finding anything fails the test.
func runRound(t *testing.T, o cluster.Options, seed uint64, judge func([]checker.Violation)) {
	r := &round{t: t, seed: seed, c: cluster.Start(t, o)}
	tenants := r.c.Tenants(t, "t", roundTenants, roundCRMs)
	h, err := checker.CreateHistory(filepath.Join(r.c.Dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var stats load.Stats
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		done <- load.Run(ctx, load.Plan{URLs: r.c.Doors, Tenants: tenants, Rate: roundRate, Batch: 20, Clients: 24, History: h, Seed: seed}, &stats)
	}()
	faults := r.plan()
	for _, f := range faults {
		if err := f.do(ctx, r); err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		r.landed = append(r.landed, f.name)
	}
	stop()
	took := time.Since(began)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	rate := float64(stats.OK.Load()) / took.Seconds()
	t.Logf("%d events acknowledged in %s: %.0f/s over %d tenants; %d unknown, %d retried requests, slowest %s; %d of %d faults landed",
		stats.OK.Load(), took.Truncate(time.Second), rate, len(tenants), stats.Unknown.Load(), stats.Retries.Load(), time.Duration(stats.Slowest.Load()).Truncate(time.Millisecond), len(r.landed), len(faults))
	if rate < minRate {
		t.Errorf("a round with %.0f events/s is too quiet to prove anything, %d are wanted", rate, minRate)
	}
	if len(r.landed)*10 < len(faults)*9 {
		t.Errorf("only %d of %d faults landed", len(r.landed), len(faults))
	}
	found := r.check(context.Background(), filepath.Join(r.c.Dir, "history.jsonl"))
	if judge != nil {
		judge(found)
		return
	}
	for _, v := range found {
		t.Error(v)
	}
}

// plan shuffles the faults of a round: every process killed once, one paused, the coordinator bounced, the registry gone for a while.
func (r *round) plan() []fault {
	rng := rand.New(rand.NewPCG(r.seed, 1))
	var out []fault
	services := r.c.Services()
	for _, name := range services {
		out = append(out, fault{"kill -9 " + name, func(ctx context.Context, r *round) error { return r.kill(ctx, name) }})
	}
	paused := services[rng.IntN(len(services))]
	out = append(out,
		fault{"pause " + paused, func(ctx context.Context, r *round) error { return r.pause(ctx, paused) }},
		fault{"bounce the coordinator", func(ctx context.Context, _ *round) error { return cluster.Bounce(ctx) }},
		fault{"registry outage", func(ctx context.Context, r *round) error { return r.outage(ctx) }})
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i, f := range out {
		do := f.do
		out[i].do = func(ctx context.Context, r *round) error {
			rest(ctx, 2*time.Second)
			return do(ctx, r)
		}
	}
	return out
}

// kill kills a service, checks I10 while it is down, and starts it again.
func (r *round) kill(ctx context.Context, name string) error {
	p := r.c.Processes[name]
	if !p.Running() {
		return fmt.Errorf("%s does not run:\n%s", name, p.Tail(10))
	}
	if err := p.Kill9(); err != nil {
		return err
	}
	if group, ok := groups[name]; ok {
		d, err := r.c.Durable(ctx, group)
		if err != nil {
			return err
		}
		for _, v := range checker.Check(d) {
			if v.Invariant == "I10" {
				r.t.Errorf("while %s is down: %s", name, v)
			}
		}
	} else {
		rest(ctx, time.Second)
	}
	if err := p.Start(); err != nil {
		return err
	}
	return r.ready(ctx, name)
}

// groups are the consumer groups of the services whose rows I10 speaks of.
var groups = map[string]string{
	"rules": "neuronx.rules", "projector": "neuronx.projector", "archiver": "neuronx.archiver", "gohighlevel": "neuronx.gohighlevel",
}

// pause stops a service beyond its session and transaction time-outs and lets it go on.
func (r *round) pause(ctx context.Context, name string) error {
	p := r.c.Processes[name]
	if !p.Signal(syscall.SIGSTOP) {
		return fmt.Errorf("%s does not run", name)
	}
	rest(ctx, pausedFor)
	if !p.Signal(syscall.SIGCONT) {
		return fmt.Errorf("%s is gone", name)
	}
	return nil
}

func (r *round) outage(ctx context.Context) error {
	p := r.c.Processes["registry"]
	if err := p.Kill9(); err != nil {
		return err
	}
	rest(ctx, 5*time.Second)
	return p.Start()
}

func (r *round) ready(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	return r.c.Processes[name].Ready(ctx)
}

// check waits until everything is at rest and lets the checker decide.
func (r *round) check(ctx context.Context, history string) []checker.Violation {
	r.t.Helper()
	for name, p := range r.c.Processes {
		if !p.Running() {
			r.t.Errorf("%s ended by itself:\n%s", name, p.Tail(20))
			if err := p.Start(); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := r.c.Settled(ctx, 3*time.Minute); err != nil {
		r.t.Errorf("the engine did not come to rest: %v", err)
	}
	d, err := r.c.Dump(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if d.Ops, err = checker.ReadHistory(history); err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("checked %d events of the log, %d dead letters, %d effects, %d calls", len(d.Log), len(d.DeadLetters), len(d.Effects), len(d.Calls))
	return checker.Check(d)
}

// rest lets time pass: faults need it, there is nothing to wait for.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
