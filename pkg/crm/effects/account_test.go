package effects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
)

// What is remembered of an account (its limits, its breaker, what it owes) is forgotten an hour after it was last used, and no sooner: not
// while its breaker is open, nor while effects are under way.
func TestAccounts_ForgetOnlyWhoWasIdleForAnHour(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	all := accounts{adapter: gohighlevel.Adapter{}, all: map[string]*account{}}
	for _, tenant := range []string{"idle", "used", "open", "flying"} {
		all.get(tenant, now)
	}
	later := now.Add(50 * time.Minute)
	if n := all.get("used", later).room(later); n == 0 {
		t.Error("an account that is well has no room")
	}
	for range 5 {
		all.get("open", now).done(crm.End{Sick: true}, &job{}, now)
		all.get("open", now).take(1)
	}
	all.get("flying", now).take(2)
	known := func() (out []string) {
		for _, tenant := range []string{"idle", "used", "open", "flying"} {
			if all.all[tenant] != nil {
				out = append(out, tenant)
			}
		}
		return out
	}
	all.blocked(now.Add(time.Hour))
	if got := fmt.Sprint(known()); got != "[idle used open flying]" {
		t.Errorf("after an hour %s are known, want all", got)
	}
	all.blocked(now.Add(time.Hour + 1))
	if got := fmt.Sprint(known()); got != "[used open flying]" {
		t.Errorf("a moment later %s are known", got)
	}
	all.blocked(later.Add(time.Hour + 1))
	if got := fmt.Sprint(known()); got != "[open flying]" {
		t.Errorf("an hour after its use %s are known", got)
	}
}

func callsOf(ops ...string) (out []crm.Call) {
	for _, op := range ops {
		out = append(out, crm.Call{Op: op})
	}
	return out
}

func TestAccount_TellsTheLongestRefusalOfTheCallsThatAreAsked(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := newAccount(gohighlevel.Adapter{}, now)
	for op, pause := range map[string]time.Duration{"notes": time.Hour, "tags": time.Minute, "tasks": time.Hour} {
		a.take(1)
		a.done(crm.End{Only: true, Pause: pause, Detail: "no " + op}, &job{asked: op}, now)
	}
	for _, x := range []struct {
		ops  []string
		at   time.Time
		wait time.Duration
		why  string
	}{
		{[]string{"contacts"}, now, 0, ""},
		{[]string{"contacts", "tags"}, now, time.Minute, "no tags"},
		{[]string{"tags", "notes"}, now, time.Hour, "no notes"},
		{[]string{"notes", "tags"}, now, time.Hour, "no notes"},
		{[]string{"notes", "tasks"}, now, time.Hour, "no notes"}, // the first of those that last as long
		{[]string{"tags", "notes"}, now.Add(time.Minute), 59 * time.Minute, "no notes"},
		{[]string{"tags"}, now.Add(time.Minute - 1), 1, "no tags"},
		{[]string{"tags"}, now.Add(time.Minute), 0, ""},
		{nil, now, 0, ""},
	} {
		if wait, why := a.refused(callsOf(x.ops...), x.at); wait != x.wait || why != x.why {
			t.Errorf("%v after %s: %s %q, want %s %q", x.ops, x.at.Sub(now), wait, why, x.wait, x.why)
		}
	}
	if n := a.inFlight(); n != 0 || a.blocked(now) {
		t.Errorf("%d under way, blocked %v: a refused operation holds up no other", n, a.blocked(now))
	}
	// A connection of another number takes the refusals away, the first look does not, and neither does the same again.
	for range 2 {
		if a.connected(grants.Epoch{Connection: 7}) {
			t.Error("the connection that is met first is a new one")
		}
	}
	if wait, _ := a.refused(callsOf("notes"), now); wait != time.Hour {
		t.Errorf("%s: the refusals are forgotten", wait)
	}
	a.deny(time.Hour, now)
	a.deny(time.Minute, now) // a shorter one does not end it earlier
	if !a.blocked(now.Add(time.Hour-1)) || a.blocked(now.Add(time.Hour)) {
		t.Error("the account is not denied for an hour")
	}
	if !a.connected(grants.Epoch{Connection: 8}) || a.blocked(now) {
		t.Error("a new connection is denied what the old one was")
	}
	if wait, _ := a.refused(callsOf("notes"), now); wait != 0 {
		t.Errorf("a new connection waits %s for the old one's refusal", wait)
	}
	a.pause(time.Hour, now)
	a.pause(time.Minute, now)
	if !a.blocked(now.Add(time.Hour-1)) || a.room(now.Add(time.Hour-1)) != 0 || a.blocked(now.Add(time.Hour)) || a.room(now.Add(time.Hour)) == 0 {
		t.Error("the account is not paused for an hour")
	}
}

func answerOf(headers ...string) crm.Answer {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return crm.Answer{Status: http.StatusOK, Header: h}
}

// probes reports whether a second request must wait for the answer to the first.
func probes(a *account) bool {
	for wait := a.turn(); wait > 0; wait = a.turn() {
		<-time.After(wait)
	}
	return a.turn() >= 15*time.Millisecond // between two requests of an account as large as these tests' is one
}

func TestAccount_SendsOneRequestUntilAnAnswerTellsWhatIsLeft(t *testing.T) {
	large := answerOf("X-RateLimit-Max", "10000", "X-RateLimit-Remaining", "9999")
	a := newAccount(gohighlevel.Adapter{}, time.Now())
	if !probes(a) {
		t.Error("nothing is known of the account, and a second request is let go")
	}
	a.learn(crm.Answer{Err: errors.New("away")}, 0, time.Now())
	a.learn(answerOf("X-RateLimit-Max", "10000"), 0, time.Now())
	if !probes(a) {
		t.Error("no answer told what is left, and a second request is let go")
	}
	a.learn(large, 0, time.Now())
	if probes(a) {
		t.Error("it is known what is left, and the requests go one at a time")
	}
	a.connected(grants.Epoch{Connection: 1})
	a.connected(grants.Epoch{Connection: 2})
	if !probes(a) || a.limits != (gohighlevel.Adapter{}).Limits() {
		t.Errorf("the limits of another connection still hold: %+v", a.limits)
	}
}

func TestAccount_WhatIsLeftForPeopleIsNotSent(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := newAccount(gohighlevel.Adapter{}, now)
	a.learn(answerOf("X-RateLimit-Daily-Remaining", "1000"), 1000, now)
	if !a.blocked(now.Add(30*time.Minute-1)) || a.room(now.Add(29*time.Minute)) != 0 || a.blocked(now.Add(30*time.Minute)) {
		t.Error("the account does not wait for half an hour")
	}
}

// What another process sent in the running interval is not known here.
func TestPass_AnAccountIsProbedAfterAPartitionCame(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	w := r.worker()
	parts := []int32{0, 1}
	w.partitions = func(context.Context) []int32 { return parts }
	pass := func() {
		t.Helper()
		if err := w.pass(t.Context(), t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	a := w.accounts.get(tenant, time.Now())
	known := func() {
		a.learn(answerOf("X-RateLimit-Max", "10000", "X-RateLimit-Remaining", "9999"), 0, time.Now())
	}
	known()
	for _, c := range []struct {
		parts  []int32
		probes bool
	}{{[]int32{1, 0}, false}, {[]int32{1}, false}, {[]int32{1, 2}, true}, {nil, false}, {[]int32{2}, true}} {
		parts = c.parts
		pass()
		if got := probes(a); got != c.probes {
			t.Errorf("now with partitions %v, one request at a time is %v", c.parts, got)
		}
		known()
	}
}

func TestMetrics_ForecastWhenADaysRequestsAreUsedUp(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	r.apply(r.upsert("l1"), r.upsert("l2"), r.note("l1", "hello"))
	w := r.worker()
	w.DailyReserve = 1000
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	sample := func() float64 {
		t.Helper()
		if err := w.metrics.sampleExhausted(t.Context(), r.pool, w, now); err != nil {
			t.Fatal(err)
		}
		return testutil.ToFloat64(w.metrics.exhausted)
	}
	if got := sample(); got != -1 {
		t.Errorf("%f s before any answer", got)
	}
	a := w.accounts.get(tenant, now)
	a.learn(answerOf("X-RateLimit-Daily-Remaining", "1007"), 1000, now)
	if got := sample(); got < 7/a.pacer.Rate()-0.01 || got > 7/a.pacer.Rate()+0.01 {
		t.Errorf("7 requests are pending and 7 are left: %f s, want the time that they take", got)
	}
	a.learn(answerOf("X-RateLimit-Daily-Remaining", "1008"), 1000, now)
	if got := sample(); got != -1 {
		t.Errorf("7 requests are pending and 8 are left: %f s", got)
	}
	a.learn(answerOf("X-RateLimit-Daily-Remaining", "1000"), 1000, now)
	if got := sample(); got != 0 {
		t.Errorf("%f s where only what is kept for people is left", got)
	}
}

// A process that stops, or whose time is over, sends nothing more, whether another request is before it in the line or the account has to wait.
func TestTurn_EndsWithoutASendWhenTheProcessStops(t *testing.T) {
	w := newWorker(workerConfig{Config: Config{Workers: 1}, adapter: gohighlevel.Adapter{}})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan struct{})
	close(stopped)
	for name, ready := range map[string]func(a *account){
		"another is before it": func(a *account) { a.line <- struct{}{} },
		"the account has to wait": func(a *account) {
			for a.turn() == 0 {
			}
		},
	} {
		a := newAccount(gohighlevel.Adapter{}, time.Now())
		ready(a)
		if w.turn(over, nil, a) {
			t.Errorf("%s: it sends after its time", name)
		}
		if w.turn(t.Context(), stopped, a) {
			t.Errorf("%s: it sends though the process stops", name)
		}
	}
}

// An attempt that was under way while the token was refreshed used the one before: that it was refused says nothing about the one in force.
func TestAccount_ARefusalOfASupersededTokenPausesNothing(t *testing.T) {
	a := newAccount(gohighlevel.Adapter{}, time.Now())
	a.connected(grants.Epoch{Connection: 7, Version: 2})
	for version, want := range map[int64]bool{0: false, 1: true, 2: false, 3: false} {
		if got := a.superseded(version); got != want {
			t.Errorf("version %d is superseded: %v", version, got)
		}
	}
}
