package advance

import (
	"slices"
	"time"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// freeMembers is how many members and exceptions a pick goes through without a charge to the budget of its activation. Each one over that costs a unit:
// an activation has up to 200 tasks, an event starts up to 100 workflows, and a pool of thousands in each of them takes seconds.
const freeMembers = 500

// pick assigns a member of a pool to the instance's key.
func (m *machine) pick(t *Token, task *flow.Task, s *flow.Assign, vars map[string]any, locals []string) error {
	p, changed := m.res.Pools[s.Pool]
	if !changed {
		var known bool
		if p, known = m.env.Pools[s.Pool]; !known {
			return &fault{code: errData, detail: task.Path + ": there is no pool " + s.Pool}
		}
	}
	var except []string
	if s.Except != nil {
		v, err := m.eval(task.Path+" except", s.Except, vars)
		if err != nil {
			return err
		}
		list, ok := v.([]any)
		if !ok {
			return &fault{code: errData, detail: task.Path + ": except must give a list of members", varies: varies(s.Except)}
		}
		for _, x := range list {
			if name, ok := x.(string); ok {
				except = append(except, name)
			}
		}
	}
	through := len(p.Members) + len(except)
	m.count(uint64(min(through, freeMembers)))
	if err := m.pay(uint64(max(0, through-freeMembers))); err != nil {
		return err
	}
	before, personal := p, false
	members := p.At(m.now, m.env.Calendars)
	member, p, claims, ok := p.Pick(members, m.now, except)
	switch {
	case claims:
		if m.res.Pools == nil {
			m.res.Pools = map[string]Pool{}
		}
		m.res.Pools[s.Pool] = p
	case ok: // the key has a member already
	case s.Or != nil:
		var err error
		if member, err = m.text(task.Path+" or", s.Or, vars, ""); err != nil {
			return err
		}
		personal = m.isPersonal(s.Or, "", locals)
	default:
		m.watchPick(task, s, before, members, except, "")
		return faultf(errNoCapacity, "%s: nobody of pool %s is open and has room", task.Path, s.Pool)
	}
	told, names := member, []string(nil)
	if personal { // or says a personal value, which stands in no event
		told, names = "personal", []string{s.As}
	}
	m.watchPick(task, s, before, members, except, told)
	m.decide(task.Path, "assign", s.Pool, told)
	if s.As != "" {
		if err := m.set(State{s.As: member}, names); err != nil {
			return err
		}
	}
	return m.finish(t, task)
}

// watchPick tells a watcher whom the pick was among.
func (m *machine) watchPick(task *flow.Task, s *flow.Assign, p Pool, members []pool.Member, except []string, member string) {
	if m.env.Watch != nil {
		m.env.Watch.Picked(m.in, task.Path, p.Tell(s.Pool, members, except, member, m.now, m.env.Calendars))
	}
}

// At are the members at a time: who is outside its hours is closed. A calendar that does not exist is never open.
func (p Pool) At(now time.Time, calendars reach.Calendars) []pool.Member {
	members := slices.Clone(p.Members)
	closed := map[string]bool{} // by calendar: thousands of members share a few
	for i := range members {
		if i >= len(p.Hours) || p.Hours[i] == "" {
			continue
		}
		name := p.Hours[i]
		if _, asked := closed[name]; !asked {
			h, known := calendars.Hours(name, nil)
			closed[name] = !known || !h.Open(now)
		}
		members[i].Closed = closed[name]
	}
	return members
}

// Pick picks one of the members for the pool's key. after is the pool with that claim, if it is a new one; ok is false when nobody is eligible.
func (p Pool) Pick(members []pool.Member, now time.Time, except []string) (member string, after Pool, claims, ok bool) {
	member, state, ok := pool.Pick(members, p.State, p.Claim, now, except)
	if !ok || p.Claim.Living(now) && p.Claim.Member == member {
		return member, p, false, ok
	}
	p = p.claimed(member, state)
	if p.After > 0 {
		p.Claim.Until = now.Add(p.After)
	}
	return member, p, true, true
}

// Tell is a pick of a member, with all that it was made among.
func (p Pool) Tell(name string, members []pool.Member, except []string, member string, now time.Time, calendars reach.Calendars) Pick {
	opens := func(i int) (t time.Time) {
		if members[i].Closed {
			if h, known := calendars.Hours(p.Hours[i], nil); known {
				t, _ = h.NextOpen(now)
			}
		}
		return t
	}
	return Pick{Pool: name, Members: members, Opens: opens, Except: except, State: p.State, Claim: p.Claim, Member: member, Now: now}
}

// claimed is the pool after a member took the key.
func (p Pool) claimed(member string, state pool.State) Pool {
	before := p.Claim.Member
	p.State, p.Claim = state, pool.Claim{Member: member}
	p.Members = slices.Clone(p.Members)
	for i := range p.Members {
		switch p.Members[i].Name {
		case member:
			p.Members[i].Claims++
		case before:
			p.Members[i].Claims = max(0, p.Members[i].Claims-1)
		}
	}
	return p
}
