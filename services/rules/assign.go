package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/window"
	"github.com/neuronx/engine/services/rules/workflows"
)

// From semantics 7 on a rule may give its key to a member of a pool, and count what happened about a subject lately. Pools, claims and counts are
// kept where workflows keep theirs, so rules and workflows that assign from one pool share its turns and its claims.
//
// The order in one event is fixed: workflows that start on it assign first, then windows count it, then rules run by name, each of which sees
// the picks of those before it. What a rule picked is kept if the rule does not fail.

// Pooled is a pool as it stands for a key.
type Pooled struct {
	advance.Pool
	By    workflows.Claimant
	Known bool // the bundle has the pool
}

// Picked is a new claim of a member, which a rule made.
type Picked struct {
	Rule  string
	Pool  string
	By    workflows.Claimant
	Was   pool.Claim // of the key, before
	Claim pool.Claim
	State pool.State
}

// over is a pool after picks that are not kept yet.
func (p *Picked) over(to *Pooled, now time.Time) {
	to.State = p.State
	if p.By.Key == to.By.Key {
		to.Claim = p.Claim
	}
	to.Members = slices.Clone(to.Members)
	for i := range to.Members {
		m := &to.Members[i]
		if p.Was.Living(now) && p.Was.Member == m.Name {
			m.Claims--
		}
		if p.Claim.Living(now) && p.Claim.Member == m.Name {
			m.Claims++
		}
	}
}

func positionTime(e *event.Recorded) time.Time {
	return time.UnixMilli(event.PositionTime(e.Position)).UTC()
}

// assign picks a member for the key of a rule that fires. Expressions that run after it see the member.
func (e *evaluation) assign() error {
	a := e.rule.Assign
	if a == nil {
		return nil
	}
	key, err := e.key()
	if err != nil {
		return err
	}
	var except []string
	if a.Except != nil {
		v, cost, err := a.Except.Run(e.ctx, e.vars)
		if err := e.paid(place{part: "assign.except"}, a.Except, cost, err); err != nil {
			return err
		}
		list, ok := v.([]any)
		if !ok {
			failure := fail(codeInvalidData, "assign.except: it must give a list of members")
			failure.data = varies(a.Except)
			return failure
		}
		for _, x := range list {
			if name, ok := x.(string); ok {
				except = append(except, name)
			}
		}
	}
	if e.in.Pool == nil {
		return fmt.Errorf("assign from %s: nothing keeps pools here", a.Pool)
	}
	p, err := e.in.Pool(a.Pool, key)
	if err != nil {
		return fmt.Errorf("read the pool %s: %w", a.Pool, err)
	}
	if !p.Known {
		return fail(codeUnknownPool, "assign: the bundle has no pool %s", a.Pool)
	}
	now := positionTime(e.in.effective())
	for i := range e.picks {
		if e.picks[i].Pool == a.Pool {
			e.picks[i].over(&p, now)
		}
	}
	if err := e.spent.pay(uint64(len(p.Members) + len(except))); err != nil {
		return err
	}
	calendars := reach.Local(e.in.Set.Calendars)
	members := p.At(now, calendars)
	member, after, claims, ok := p.Pick(members, now, except)
	switch {
	case claims:
		e.pick = &Picked{Rule: e.rule.Name, Pool: a.Pool, By: p.By, Was: p.Claim, Claim: after.Claim, State: after.State}
	case !ok && a.Or != nil:
		v, cost, err := a.Or.Run(e.ctx, e.vars)
		if err := e.paid(place{part: "assign.or"}, a.Or, cost, err); err != nil {
			return err
		}
		if member, ok = v.(string); !ok {
			failure := fail(codeInvalidData, "assign.or: it must give a text")
			failure.data = varies(a.Or)
			return failure
		}
	}
	if e.in.Picked != nil {
		e.in.Picked(e.rule.Name, p.Tell(a.Pool, members, except, member, now, calendars))
	}
	if !ok {
		failure := fail(codeNoCapacity, "assign: nobody of the pool %s is open and has room; write or: who takes it then", a.Pool)
		failure.data = true // it depends on the hour and on who has what, and the next event may find somebody
		return failure
	}
	e.vars["vars"] = map[string]any{a.As: member}
	return nil
}

// key is what a member is picked for.
func (e *evaluation) key() (string, error) {
	if e.rule.Key == nil {
		if e.in.Event.Subject == "" {
			failure := fail(codeInvalidKey, "assign: the event has no subject; say by key what gets a member")
			failure.data = true
			return "", failure
		}
		return e.in.Event.Subject, nil
	}
	v, cost, err := e.rule.Key.Run(e.ctx, e.vars)
	if err := e.paid(place{part: "key"}, e.rule.Key, cost, err); err != nil {
		return "", err
	}
	key, ok := v.(string)
	if !ok || key == "" || len(key) > longSubject || strings.ContainsRune(key, 0) { // Postgres has no text with a NUL, and the batch is everybody's
		failure := fail(codeInvalidKey, "key: it must give a text of 1 to %d bytes, without the character NUL", longSubject)
		failure.data = varies(e.rule.Key)
		return "", failure
	}
	return key, nil
}

// counts are what the windows of a rule hold, as its expressions see them.
func counts(r *ruleset.Rule, kept window.States, now time.Time) map[string]any {
	out := make(map[string]any, len(r.Windows))
	for i := range r.Windows {
		w := &r.Windows[i]
		v := kept[ruleset.Counting{Rule: r, Window: w}.Key()].At(w.Def, w.Over, now)
		one := map[string]any{"count": v.Count, "rate": v.Rate}
		if w.Distinct != nil {
			one["distinct"] = v.Distinct
		}
		out[w.Name] = one
	}
	return out
}

// countable reports whether windows count an event: what is imported or corrected tells of what was, and windows go by when it is recorded.
func countable(e *event.Recorded) bool {
	return e.EffectiveOrigin() == event.OriginLive && e.Quiet == "" && e.Deriver != "corrections"
}

// count has windows count the event. failures has the first failure of each rule whose window failed: the event is not counted by it.
func (e *evaluation) count(heard []ruleset.Counting) (next window.States, failures map[string]*ruleFailure, err error) {
	now := positionTime(&e.in.Event)
	for _, c := range heard {
		e.rule = c.Rule
		err := e.spent.begin()
		if err == nil {
			next, err = e.countOne(c, next, now)
		}
		var failure *ruleFailure
		if errors.As(err, &failure) {
			if failures == nil {
				failures = map[string]*ruleFailure{}
			}
			if failures[c.Rule.Name] == nil {
				failures[c.Rule.Name] = failure
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return next, failures, nil
}

func (e *evaluation) countOne(c ruleset.Counting, next window.States, now time.Time) (window.States, error) {
	w, where := c.Window, "windows."+c.Window.Name
	if w.When != nil {
		holds, cost, err := w.When.RunBool(e.ctx, e.vars)
		if err := e.paid(place{part: where + ".when"}, w.When, cost, err); err != nil || !holds {
			return next, err
		}
	}
	var seen []int64
	if w.Distinct != nil {
		v, cost, err := w.Distinct.Run(e.ctx, e.vars)
		if err := e.paid(place{part: where + ".distinct"}, w.Distinct, cost, err); err != nil {
			return next, err
		}
		hash, err := window.Hash(e.in.Event.TenantID, v)
		if err != nil {
			failure := fail(codeInvalidData, "%s.distinct: %v", where, err)
			failure.data = varies(w.Distinct)
			return next, failure
		}
		seen = append(seen, hash)
	}
	if next == nil {
		next = window.States{}
		for key, s := range e.in.Windows {
			if in := e.in.Set.Window(key); in != nil && in.Def == s.Of { // what no rule counts any more goes
				next[key] = s
			}
		}
	}
	s := next[c.Key()]
	if err := e.spent.pay(uint64(len(s.Counts) + len(s.Seen))); err != nil {
		return next, err
	}
	next[c.Key()] = s.Add(w.Def, w.Over, now, seen...)
	return next, nil
}

// keeper is what keeps pools and counts; nil: nothing does.
func (f *fold) keeper() *workflows.Fold {
	if f.lent != nil {
		return f.lent
	}
	return f.flow()
}

// provide gives an evaluation what rules assign from and count, of an event about a subject.
func (f *fold) provide(ctx context.Context, in *Input, subject string) (err error) {
	w := f.keeper()
	if in.Semantics < assignSemantics || w == nil {
		return nil
	}
	of := workflows.Input{Event: in.Event, Data: in.Data}
	now := positionTime(in.effective())
	// Reads go by the batch's time and not by that of one evaluation: a query that ends early ends the transaction.
	in.Pool = func(name, key string) (p Pooled, err error) {
		p.Pool, p.By, p.Known, err = w.Pool(ctx, of, name, key, now, in.Picked != nil)
		return p, err
	}
	if len(f.bundle.Set.Counting(in.Event.Type)) == 0 && !slices.ContainsFunc(f.bundle.Set.For(in.Event.Type), func(r *ruleset.Rule) bool { return len(r.Windows) > 0 }) {
		return nil
	}
	in.Windows, err = w.Windows(ctx, subject)
	return err
}

// keepAssigned keeps what rules picked and counted.
func (f *fold) keepAssigned(subject string, res Result) error {
	for _, p := range res.Picks {
		if err := f.keeper().Claimed(p.Pool, p.By, p.State, p.Claim); err != nil {
			return err
		}
	}
	if res.Windows == nil {
		return nil
	}
	return f.keeper().PutWindows(subject, res.Windows)
}

// hears reports whether rules of a set hear a type, or count it.
func hears(set *ruleset.Set, typ string) bool {
	return len(set.For(typ)) > 0 || len(set.Counting(typ)) > 0
}
