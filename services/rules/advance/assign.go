package advance

import (
	"slices"
	"time"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
)

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
	members := slices.Clone(p.Members)
	for i := range members {
		members[i].Closed = !m.isOpen(p.Hours, i)
	}
	before, personal := p, false
	member, state, ok := pool.Pick(members, p.State, p.Claim, m.now, except)
	switch {
	case ok:
		if !p.Claim.Living(m.now) || p.Claim.Member != member {
			p = p.claimed(member, state)
			if p.After > 0 {
				p.Claim.Until = m.now.Add(p.After)
			}
			if m.res.Pools == nil {
				m.res.Pools = map[string]Pool{}
			}
			m.res.Pools[s.Pool] = p
		}
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
	if m.env.Watch == nil {
		return
	}
	pick := Pick{Pool: s.Pool, Members: members, Opens: make([]time.Time, len(members)), Except: except, State: p.State, Claim: p.Claim, Member: member, Now: m.now}
	for i := range members {
		if !members[i].Closed {
			continue
		}
		if h, known := m.env.Calendars.Hours(p.Hours[i], nil); known {
			pick.Opens[i], _ = h.NextOpen(m.now)
		}
	}
	m.env.Watch.Picked(m.in, task.Path, pick)
}

// isOpen asks the calendar of a member; a calendar that does not exist is never open.
func (m *machine) isOpen(hours []string, i int) bool {
	if i >= len(hours) || hours[i] == "" {
		return true
	}
	h, known := m.env.Calendars.Hours(hours[i], nil)
	return known && h.Open(m.now)
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
