//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/hostile"
)

// What one tenant may do to the others.
const (
	eachWithin  = 512 << 20 // bytes of resident memory of a process, at any time
	neighbourly = 20        // leads a second of the neighbour
	mayAnswer   = 1 << 20   // bytes of a refusal
	namedWithin = time.Minute
	endedWithin = time.Minute
)

// TestHostile_OneTenantStopsNoOther lets a tenant try everything that was seen to stop all of them, each attempt as a tenant of its own,
// next to a neighbour that goes on. NEURONX_TEST_HOSTILE=long plays all rule files, four times, the bodies for longer, and what is near the bound in
// several rounds in any case.
func TestHostile_OneTenantStopsNoOther(t *testing.T) {
	long := os.Getenv("NEURONX_TEST_HOSTILE") == "long"
	h := newSiege(t, cluster.Options{Ingests: 1, Memory: eachWithin})
	h.long = long
	lasting, stall, times := 8*time.Second, 7*time.Second, 1
	if long {
		lasting, stall, times = 65*time.Second, 30*time.Second, 4
	}
	h.attack("bodies that inflate and stall", func(s *struck) {
		ctx, cancel := context.WithTimeout(s.ctx, lasting)
		defer cancel()
		var stats hostile.StallStats
		s.Stall(ctx, 60, stall, &stats)
		s.t.Logf("%d stalled bodies, %d held for %s, %d answered: %s", stats.Opened.Load(), stats.Held.Load(), stall, stats.Answered.Load(), stats.Answers())
		s.over()
		s.named()
	})
	if long { // an attack does no more than a tenant that sends five times as many leads
		h.contest("ordinary leads of another tenant", func(s *struck) { s.company() })
	}
	h.contest("refusals that cost", func(s *struck) { s.refusals(lasting) })
	h.contest("large bundles of several tenants", func(s *struck) { s.largeBundles() })
	for _, a := range hostile.SetAside() {
		measured := h.attack
		if slices.Contains(nearTheBound, a.Name) {
			measured = h.contest
		}
		measured(a.Name, func(s *struck) {
			if s.provoke(a) {
				s.named()
			}
			s.ended()
		})
	}
	h.attack(hostile.ByData().Name, func(s *struck) { s.byData() })
	h.attack("an id that no index holds", func(s *struck) { s.longID() })
	h.attack("a read model that fails", func(s *struck) { s.brokenModel() })
	for range times {
		for i, a := range hostile.Corpus() {
			if !long && i%6 != 0 { // a run of CI has time for one in six
				continue
			}
			measured := h.attack
			if slices.Contains(nearTheBound, a.Name) {
				measured = h.contest
			}
			measured(a.Name, func(s *struck) {
				s.provoke(a)
				s.ended()
			})
		}
	}
	h.judge()
}

// siege is a cluster with a neighbour, and what its quiet times were like.
type siege struct {
	t         *testing.T
	ctx       context.Context
	c         *cluster.Cluster
	neighbour *hostile.Neighbour
	history   string
	record    *checker.History
	quiet     hostile.Delays // the last quiet window
	pids      map[string]int
	attacks   int
	long      bool
	end       func() // of the neighbour
}

func newSiege(t *testing.T, o cluster.Options) *siege {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 80*time.Minute)
	t.Cleanup(cancel)
	h := &siege{t: t, ctx: ctx, c: cluster.Start(t, o), pids: map[string]int{}}
	h.history = filepath.Join(h.c.Dir, "hostile.jsonl")
	var err error
	h.record, err = checker.CreateHistory(h.history)
	noError(t, err)
	t.Cleanup(func() { _ = h.record.Close() })
	neighbour := h.c.Tenants(t, "neighbour", 1, 0)[0]
	noError(t, h.c.PublishRules(ctx, neighbour.ID, hostile.Good(), 1))
	rest(ctx, 2*time.Second)
	h.neighbour = &hostile.Neighbour{URL: h.c.HTTPURLs[0], Tenant: neighbour, Pool: h.c.Admin, History: h.record, Rate: neighbourly}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.neighbour.Run(running); err != nil {
			t.Errorf("the neighbour: %v", err)
		}
	})
	h.end = sync.OnceFunc(func() { stop(); wg.Wait() })
	t.Cleanup(h.end)
	rest(ctx, 5*time.Second) // the first leads compile rules and schemas
	h.quiet = h.calm(ctx)
	t.Logf("the neighbour in quiet times: %s", h.quiet)
	for _, name := range h.c.Services() {
		h.pids[name] = h.c.Processes[name].PID()
	}
	return h
}

// alive fails the test for every process that ended or took too much memory, and starts again what ended.
func (h *siege) alive(t *testing.T) {
	t.Helper()
	var most []string
	for _, name := range h.c.Services() {
		p := h.c.Processes[name]
		if p.PID() != h.pids[name] {
			t.Errorf("%s ended:\n%s", name, p.Tail(12))
			if !p.Running() {
				noError(t, p.Start())
			}
			h.pids[name] = p.PID()
			continue
		}
		peak, err := p.Peak()
		noError(t, err)
		most = append(most, fmt.Sprintf("%s %d MiB", name, peak>>20))
		if peak > eachWithin {
			t.Errorf("%s took %d MiB, more than the %d MiB that it may have", name, peak>>20, int64(eachWithin)>>20)
		}
	}
	t.Logf("most memory: %s", strings.Join(most, ", "))
}

// judge waits until all is at rest and holds the log against what was sent.
func (h *siege) judge() {
	h.t.Helper()
	h.end()
	if err := h.c.WaitIdle(h.ctx, 2*time.Minute); err != nil {
		h.t.Errorf("the engine does not come to rest: %v", err)
	}
	d, err := h.c.Dump(h.ctx)
	noError(h.t, err)
	d.Ops, err = checker.ReadHistory(h.history)
	noError(h.t, err)
	h.t.Logf("checked %d events of the log, %d dead letters, %d that were sent", len(d.Log), len(d.DeadLetters), len(d.Ops))
	for _, v := range checker.Check(d) {
		h.t.Error(v)
	}
}

// struck is one attempt under way.
type struck struct {
	*hostile.Attacker
	*siege
	t       *testing.T
	ctx     context.Context
	version int64 // of the rules in force

	from, to time.Time // of the attack itself
	lasting  time.Duration
}

// provoke has an attempt's rules published and sends its events. It reports whether the rules can be published at all.
func (s *struck) provoke(a hostile.Attempt) bool {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, f := range a.Rules {
		noError(s.t, os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), 0o600))
	}
	out, errs, code := s.cli("rules", "publish", dir, "--tenant", s.Tenant.ID, "--execute", "--timeout", "20s")
	if code != 0 {
		s.t.Logf("the rules are not published: exit %d %.400s%.400s", code, out, errs)
		if strings.Contains(errs, "not within") || !strings.Contains(errs, "rule files") {
			s.t.Errorf("rules that pass `rules validate` can't be published: exit %d\n%.600s", code, errs)
		}
		return false
	}
	s.version++
	s.begun()
	s.send(a.Events...)
	s.again(func() { s.send(a.Events...) })
	s.over()
	return true
}

func (s *struck) send(events ...hostile.Event) (accepted int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	accepted, refusal, err := s.Send(ctx, events...)
	if err != nil {
		s.t.Error(err)
	}
	if accepted < len(events) {
		s.t.Logf("%d of %d events accepted; the last refusal: %s", accepted, len(events), refusal)
	}
	return accepted
}

// named waits until `neuronx status` says whose fault it is.
func (s *struck) named() {
	s.t.Helper()
	began := time.Now()
	var out string
	for time.Since(began) < namedWithin && s.ctx.Err() == nil {
		if out, _, _ = s.cli(s.c.WithAdmins("status")...); strings.Contains(out, s.Tenant.ID) {
			s.t.Logf("status named %s after %s: %s", s.Tenant.ID, time.Since(began).Truncate(time.Millisecond), lineWith(out, s.Tenant.ID))
			return
		}
		rest(s.ctx, 2*time.Second)
	}
	s.t.Errorf("`neuronx status` does not name %s within %s:\n%s", s.Tenant.ID, namedWithin, out)
}

// ended ends the attack by the documented commands, and sees that an ordinary lead of the tenant is projected and scored then.
func (s *struck) ended() {
	s.t.Helper()
	for _, verb := range []string{"retry", "skip", "skip", "skip"} {
		if !s.unstall(verb) {
			break
		}
	}
	dir := s.t.TempDir()
	for _, f := range hostile.Good() {
		noError(s.t, os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), 0o600))
	}
	if out, errs, code := s.cli("rules", "publish", dir, "--tenant", s.Tenant.ID, "--execute"); code != 0 {
		s.t.Errorf("rules publish: exit %d\n%s%s", code, out, errs)
	}
	// What the good rules met before their turn may have stalled a consumer once more.
	s.unstall("retry")
	s.ordinary()
}

// stalledRow is one of `neuronx stalled list`.
type stalledRow struct {
	Consumer, Feed, Sequence string
	Tenant                   string `json:"tenant_id"`
}

// unstall says one command for every consumer that the tenant is stalled for, and reports whether there was one.
func (s *struck) unstall(verb string) bool {
	s.t.Helper()
	stalled, err := s.c.StalledFor(s.ctx, s.Tenant.ID)
	noError(s.t, err)
	if len(stalled) == 0 {
		return false
	}
	list, errs, code := s.cli("stalled", "list", "--tenant", s.Tenant.ID, "-o", "json")
	var rows []stalledRow
	if err := json.Unmarshal([]byte(list), &rows); err != nil || len(rows) == 0 {
		s.t.Errorf("`neuronx stalled list` does not say that %s is stalled for %v: exit %d, %v\n%.300s%.300s", s.Tenant.ID, stalled, code, err, list, errs)
	}
	for _, r := range rows {
		args := []string{"stalled", verb, "--consumer", r.Consumer, "--feed", r.Feed, "--tenant", r.Tenant, "--execute"}
		if verb == "skip" {
			args = append(args, "--sequence", r.Sequence, "--reason", "it was sent to harm")
		}
		out, errs, code := s.cli(args...)
		s.t.Logf("%s: exit %d %.300s%.300s", strings.Join(args, " "), code, out, errs)
		if code != 0 {
			s.t.Errorf("stalled %s: exit %d", verb, code)
		}
	}
	rest(s.ctx, 3*time.Second) // it goes on, or stalls again
	return true
}

// ordinary sends a lead like any other and waits for its row and its score.
func (s *struck) ordinary() {
	s.t.Helper()
	id := "ordinary-" + s.Tenant.ID
	began := time.Now()
	if s.send(hostile.Lead(id, map[string]any{"company": "Miller & Sons", "email": "m@example.com"})) != 1 {
		s.t.Errorf("an ordinary lead of %s is refused", s.Tenant.ID)
		return
	}
	err := cluster.Eventually(s.ctx, endedWithin, func(ctx context.Context) error {
		var score int64
		if err := s.c.Admin.QueryRow(ctx, `SELECT coalesce((SELECT score FROM read.leads WHERE tenant_id = $1 AND lead_id = $2), -1)`, s.Tenant.ID, id).Scan(&score); err != nil {
			return err
		}
		if score != hostile.GoodScore {
			return fmt.Errorf("its score is %d", score)
		}
		return nil
	})
	if err != nil {
		s.t.Errorf("an ordinary lead of %s is not projected and scored: %v", s.Tenant.ID, err)
		return
	}
	s.t.Logf("an ordinary lead was scored after %s", time.Since(began).Truncate(time.Millisecond))
}

// refusals sends batches of many wrong events, four at a time. What is said of them is bounded.
func (s *struck) refusals(lasting time.Duration) {
	ctx, cancel := context.WithTimeout(s.ctx, lasting)
	defer cancel()
	var mu sync.Mutex
	var worst hostile.Refused
	n, statuses := 0, map[int]int{}
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				r, err := s.Unknown(s.ctx)
				mu.Lock()
				if err != nil {
					s.t.Errorf("a body with unknown fields: %v", err)
				}
				n++
				statuses[r.Status]++
				if r.Out > worst.Out {
					worst = r
				}
				mu.Unlock()
				rest(ctx, 100*time.Millisecond)
			}
		})
	}
	running.Wait()
	s.t.Logf("%d refusals, by status %v; the largest: %d bytes in, %d bytes out", n, statuses, worst.In, worst.Out)
	if worst.Out > mayAnswer {
		s.t.Errorf("a body of %d bytes is answered with %d bytes", worst.In, worst.Out)
	}
	if statuses[0] > 0 || n == 0 { // a batch may be answered with 202, and its events with refusals: the checker knows whether one got in
		s.t.Errorf("%d refusals, by status %v", n, statuses)
	}
}

// largeBundles has four tenants publish as many expressions as a bundle may have, one after the other, and sends leads to all of them.
func (s *struck) largeBundles() {
	a := hostile.Large()
	s.begun()
	those, version := []*hostile.Attacker{s.Attacker, s.attacker(), s.attacker(), s.attacker()}, int64(1)
	publish := func() {
		version++
		for _, as := range those {
			one := &struck{Attacker: as, siege: s.siege, t: s.t, ctx: s.ctx, version: 1}
			noError(s.t, s.c.PublishUnchecked(s.ctx, as.Tenant.ID, a.Rules, version))
			one.send(a.Events...)
			one.ordinary()
		}
	}
	publish()
	s.again(publish)
	s.over()
}

// byData sends data that makes a rule dear. The rule must go on for ordinary data, without an operator.
func (s *struck) byData() {
	a := hostile.ByData()
	if !s.provoke(a) {
		s.t.Error("a rule that is cheap for ordinary data can't be published")
		return
	}
	s.named()
	s.ordinary()
	if out, _, _ := s.cli("rules", "list", "--tenant", s.Tenant.ID, "-o", "json"); !noneTripped(out) {
		s.t.Errorf("data tripped the rule for everybody: %s", out)
	}
}

func noneTripped(list string) bool {
	var rows []struct{ Tripped []string }
	return json.Unmarshal([]byte(list), &rows) == nil && len(rows) == 1 && len(rows[0].Tripped) == 0
}

func (s *struck) cli(args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	return s.c.CLI(ctx, args...)
}

func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
