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
	"github.com/neuronx/engine/pkg/kafka"
)

// What a round must reach to count.
const (
	roundRate    = 800 // events a second that are asked for
	minRate      = 300 // events a second that must be acknowledged
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
	t        *testing.T
	c        *cluster.Cluster
	seed     uint64
	tenants  []load.Tenant
	patience time.Duration // how long the engine may take to come to rest
	broken   bool          // with a bug on purpose: what goes wrong is for the checker to find
	landed   []string
	found    []checker.Violation // while a service was down
	damaged  int64               // rows of read models taken away by hand
}

// begin starts a cluster and makes its tenants.
func begin(t *testing.T, o cluster.Options, seed uint64, tenants, connected int) *round {
	t.Helper()
	r := &round{t: t, seed: seed, c: cluster.Start(t, o), patience: 3 * time.Minute, broken: o.Seed.Bug != ""}
	if err := r.c.Joined(context.Background(), kafka.GroupSequencer, len(r.c.HTTPURLs)); err != nil { // joining aborts transactions, too
		t.Fatal(err)
	}
	r.tenants = r.c.Tenants(t, "t", tenants, connected)
	return r
}

// complain is an error of the test, unless the engine is broken on purpose.
func (r *round) complain(format string, args ...any) {
	r.t.Helper()
	if r.broken {
		r.t.Logf(format, args...)
		return
	}
	r.t.Errorf(format, args...)
}

func (r *round) history() string { return filepath.Join(r.c.Dir, "history.jsonl") }

// under sends load while do runs, and returns what it came to and how long it took.
func (r *round) under(p load.Plan, do func(context.Context)) (*load.Stats, time.Duration) {
	r.t.Helper()
	h, err := checker.CreateHistory(r.history())
	if err != nil {
		r.t.Fatal(err)
	}
	p.URLs, p.Tenants, p.History, p.Seed = r.c.HTTPURLs, r.tenants, h, r.seed
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var stats load.Stats
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- load.Run(ctx, p, &stats) }()
	do(ctx)
	stop()
	took := time.Since(began)
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		r.t.Fatal(err)
	}
	return &stats, took
}

// seedOf draws what a test leaves to chance: another seed each time, or the one in NEURONX_TEST_SEED. A run that is to be played again names it in its log.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().Unix())
	if s := os.Getenv("NEURONX_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("NEURONX_TEST_SEED: %v", err)
		}
	}
	t.Logf("NEURONX_TEST_SEED=%d", seed)
	return seed
}

func TestRounds(t *testing.T) {
	n := 1
	if s := os.Getenv("NEURONX_TEST_ROUNDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("NEURONX_TEST_ROUNDS: %v", err)
		}
	}
	seed := seedOf(t)
	for i := range n {
		ok := t.Run(fmt.Sprintf("seed-%d", seed+uint64(i)), func(t *testing.T) { runRound(t, cluster.Options{}, seed+uint64(i)) })
		if !ok {
			return
		}
	}
}

// runRound runs one round and fails for everything that the checker finds.
func runRound(t *testing.T, o cluster.Options, seed uint64) {
	r := begin(t, o, seed, roundTenants, roundCRMs)
	faults := r.plan()
	stats, took := r.under(load.Plan{Rate: roundRate, Batch: 20, Clients: 24}, func(ctx context.Context) {
		for _, f := range faults {
			if err := f.do(ctx, r); err != nil {
				t.Errorf("%s: %v", f.name, err)
				continue
			}
			r.landed = append(r.landed, f.name)
		}
	})
	rate := float64(stats.OK.Load()) / took.Seconds()
	t.Logf("%d events acknowledged in %s: %.0f/s over %d tenants; %d unknown, %d retried requests, slowest %s; %d of %d faults landed",
		stats.OK.Load(), took.Truncate(time.Second), rate, len(r.tenants), stats.Unknown.Load(), stats.Retries.Load(), time.Duration(stats.Slowest.Load()).Truncate(time.Millisecond), len(r.landed), len(faults))
	if rate < minRate {
		t.Errorf("a round with %.0f events/s is too quiet to prove anything, %d are wanted", rate, minRate)
	}
	if len(r.landed)*10 < len(faults)*9 {
		t.Errorf("only %d of %d faults landed", len(r.landed), len(faults))
	}
	for _, v := range r.check(context.Background(), true) {
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
				v.Detail = "while " + name + " is down: " + v.Detail
				r.found = append(r.found, v)
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

// check waits until everything is at rest and lets the checker decide. With again, the rules derive everything once more before
// that, because an operator reset their group, and report what differs (I6).
func (r *round) check(ctx context.Context, again bool) []checker.Violation {
	r.t.Helper()
	for name, p := range r.c.Processes {
		if !p.Running() {
			r.complain("%s ended by itself:\n%s", name, p.Tail(20))
			if err := p.Start(); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.waitIdle(ctx)
	if again {
		r.again(ctx)
		r.waitIdle(ctx)
	}
	var freezes int
	if err := r.c.Admin.QueryRow(ctx, `SELECT count(*) FROM neuronx.effect_freezes`).Scan(&freezes); err != nil {
		r.t.Fatal(err)
	}
	if freezes > 0 {
		r.complain("the adapter took its ledger for a restored one %d times, and it was not", freezes)
	}
	d, err := r.c.Dump(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if d.Ops, err = checker.ReadHistory(r.history()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("checked %d events of the log, %d dead letters, %d effects, %d calls, %d replays", len(d.Log), len(d.DeadLetters), len(d.Effects), len(d.Calls), len(d.Replays))
	return append(r.found, checker.Check(d)...)
}

func (r *round) waitIdle(ctx context.Context) {
	r.t.Helper()
	if err := r.c.WaitIdle(ctx, r.patience); err != nil {
		r.complain("the engine did not come to rest: %v", err)
	}
}

// again resets the group of the rules to the earliest offsets and waits until every tenant's stream says what came of it.
func (r *round) again(ctx context.Context) {
	r.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	reset, err := r.c.ResetGroup(ctx, kafka.GroupRules, cluster.ByKafka(kafka.GroupRules, "--to-earliest"))
	if err != nil {
		r.t.Errorf("reset the rules: %v", err)
		return
	}
	replays, err := reset.Done(ctx, 2*time.Minute)
	if err != nil {
		r.t.Errorf("the rules did not derive everything again: %v", err)
		return
	}
	examined := map[string]int64{}
	total := int64(0)
	for _, p := range replays {
		if examined[p.ID] == 0 {
			total += p.Examined
		}
		examined[p.ID] = p.Examined
	}
	r.t.Logf("%d events were derived again in %s", total, time.Since(began).Truncate(time.Second))
	if total == 0 {
		r.t.Error("nothing was derived, so nothing was compared")
	}
}

// rest lets time pass: faults need it, there is nothing to wait for.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
