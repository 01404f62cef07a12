package advance

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
)

// errContact is the machine's: what Env holds is another person's.
func errContact(id string) error {
	return fmt.Errorf("the contact given to instance %s is not that of the lead whom it reaches", id)
}

// hear lets an event move the instance: an until first, so that what ends it resumes nothing; then the call whose command it answers, then what
// listens for it, and what will.
func (m *machine) hear() (string, error) {
	ended, err := m.goals()
	if err != nil || ended {
		return "", err
	}
	heard, err := m.outcome()
	if err != nil {
		return "", err
	}
	if m.listens() {
		for _, t := range slices.Clone(m.in.Tokens) {
			if t.Rest == AtListen && m.find(t.ID) == t {
				one, err := m.hears(t)
				if err != nil {
					return "", err
				}
				heard = heard || one
			}
		}
		for _, s := range m.in.Slots {
			one, err := m.remember(s)
			if err != nil {
				return "", err
			}
			heard = heard || one
		}
	}
	if !heard && len(m.incidents) == 0 {
		return Unheard, nil
	}
	return "", nil
}

// goals looks whether an until ends the instance. Live events do, and those that an import or a backfill brings if they happened since the
// start; corrections of history and echoes never do. Whether a goal was reached that can't be evaluated is a question for a person: the
// instance is held until one answers it.
func (m *machine) goals() (bool, error) {
	ev := &m.on.Event
	switch ev.EffectiveOrigin() {
	case event.OriginEcho:
		return false, nil
	case event.OriginImport, event.OriginBackfill:
		if ev.Time.IsZero() || ev.Time.Before(m.in.Started) {
			return false, nil
		}
	}
	if m.env.Corrects != nil && m.env.Corrects(ev) {
		return false, nil
	}
	for i := range m.p.Until {
		u := &m.p.Until[i]
		path := "until/" + u.Name
		holds, err := m.matches(path, &u.Match)
		var f *fault
		if errors.As(err, &f) {
			m.note(path, f, false)
			if m.in.Held == nil {
				m.in.Held = &Incident{ID: m.id(path, strconv.FormatInt(m.in.Activation+1, 10), "incident"), Task: path, Code: f.code, Detail: f.told(), Attempt: 1}
				m.incidents = append(m.incidents, *m.in.Held)
			}
			continue // another until may end it
		}
		if err != nil {
			return false, err
		}
		if holds {
			m.incidents = nil
			status := Completed
			if u.Cancelled {
				status = Cancelled
			}
			return true, m.end(status, u.Name, u.Do)
		}
	}
	return false, nil
}

// listens reports whether events of this origin are heard by listens: those that could have started the instance.
func (m *machine) listens() bool {
	origin := m.on.Event.EffectiveOrigin()
	if origin == event.OriginEcho || m.on.Event.Quiet != "" {
		return false
	}
	return firesOn(m.p.Start.Origins, origin)
}

// firesOn reports whether origins name one; none name live alone.
func firesOn(origins []event.Origin, o event.Origin) bool {
	if len(origins) == 0 {
		return o == event.OriginLive
	}
	return o != event.OriginEcho && slices.Contains(origins, o)
}

// said are the variables of an event besides those of every expression.
func (m *machine) said() map[string]any {
	return merged(m.base(), State{"event": expr.EventVars(m.on.Event), "data": expr.Visible(m.on.Data)})
}

// matches reports whether the event is one that a match waits for. An event whose key can't be evaluated is about something else.
func (m *machine) matches(where string, match *flow.Match) (bool, error) {
	if !slices.Contains(match.On, m.on.Event.Type) {
		return false, nil
	}
	vars := m.said()
	from, expect := match.From, m.in.Key
	if from == nil {
		from = m.p.Start.Key
	}
	if from != nil {
		v, err := m.eval(where+" correlate.from", from, vars)
		var f *fault
		if errors.As(err, &f) && !f.final {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if match.Expect != nil {
			if expect, err = m.text(where+" correlate.expect", match.Expect, m.base(), ""); err != nil {
				return false, err
			}
		}
		same, err := m.env.same(v, expect)
		if err != nil || !same {
			return false, err
		}
	}
	return m.holds(where+" when", match.When, vars)
}

// same reports whether what an event is about is what an instance is about. Either may have been merged into another.
func (e *Env) same(event any, own string) (bool, error) {
	key, is := event.(string)
	if !is || key == own || e.EventKey == nil || e.OwnKey == nil {
		return is && key == own, nil
	}
	key, err := e.EventKey(key)
	if err != nil {
		return false, err
	}
	own, err = e.OwnKey(own)
	return key == own, err
}

// listen rests until its events come, unless they came already since the point from which the listen counts.
func (m *machine) listen(t *Token, task *flow.Task, s *flow.Listen) error {
	if m.ending {
		return &fault{code: errData, detail: task.Path + ": what runs at the end of an instance does not listen"}
	}
	t.Heard = nil
	for i := range s.Matches {
		slot := m.slot(task.Path, i)
		if slot == nil || !slot.Filled {
			continue
		}
		set, personal, failed := slot.Set, slot.Personal, slot.Failed
		slot.clear()
		if failed != nil {
			return &fault{code: failed.Type, detail: failed.Detail, varies: true}
		}
		if err := m.set(set, personal); err != nil {
			return err
		}
		if t.Heard = append(t.Heard, i); s.To != flow.All {
			break
		}
	}
	if complete(s, t.Heard) {
		return m.finish(t, task)
	}
	t.Rest = AtListen
	if s.Timeout == nil {
		return nil
	}
	due, f := m.dueOf(s.Timeout.After, s.Timeout.In)
	if f != nil {
		return f
	}
	if due.Sub(m.now) < ShortestTimer {
		return m.timedOut(t, task, s.Timeout)
	}
	t.Timer = m.timer(t.ID, task.Path, t.Visit, due)
	return nil
}

func complete(s *flow.Listen, heard []int) bool {
	if s.To == flow.All {
		return len(heard) == len(s.Matches)
	}
	return len(heard) > 0
}

// hears gives the event to a token that listens.
func (m *machine) hears(t *Token) (bool, error) {
	task, err := m.task(t.Task)
	if err != nil {
		return false, err
	}
	s, ok := task.Step.(*flow.Listen)
	if !ok {
		return false, fmt.Errorf("token %d of instance %s listens at %s, which does not", t.ID, m.in.ID, task.Path)
	}
	heard := false
	for i := range s.Matches {
		if slices.Contains(t.Heard, i) {
			continue
		}
		holds, err := m.matches(task.Path+" listen", &s.Matches[i])
		if err == nil && holds {
			var set State
			var personal []string
			if set, personal, err = m.assigned(task.Path+" set", s.Set, m.said(), m.on.Event.Type, nil); err == nil {
				err = m.set(set, personal)
			}
		}
		if err != nil {
			return true, m.handle(t, task, err)
		}
		if !holds {
			continue
		}
		heard = true
		t.Heard = append(t.Heard, i)
		slices.Sort(t.Heard)
		if complete(s, t.Heard) {
			return true, m.handle(t, task, m.finish(t, task))
		}
	}
	return heard, nil
}

// open lets the slots of a listen remember what comes from now on, and forget what came before.
func (m *machine) open(task *flow.Task) {
	for i := range task.Step.(*flow.Listen).Matches {
		if s := m.slot(task.Path, i); s != nil {
			s.clear()
			continue
		}
		m.in.Slots = append(m.in.Slots, &Slot{Task: task.Path, Match: i})
	}
}

func (m *machine) slot(path string, match int) *Slot {
	for _, s := range m.in.Slots {
		if s.Task == path && s.Match == match {
			return s
		}
	}
	return nil
}

func (s *Slot) clear() { s.Filled, s.Set, s.Personal, s.Failed = false, nil, nil, nil }

// remember fills a slot, the newest event wins, unless its listen listens already. What can't be evaluated is remembered as an error of
// the listen, and not forgotten: it may be the answer that nobody should be messaged after.
func (m *machine) remember(slot *Slot) (bool, error) {
	if slices.ContainsFunc(m.in.Tokens, func(t *Token) bool { return t.Task == slot.Task && (t.Rest == AtListen || t.Rest == AtIncident) }) {
		return false, nil
	}
	task, err := m.task(slot.Task)
	if err != nil {
		return false, err
	}
	s, ok := task.Step.(*flow.Listen)
	if !ok || slot.Match >= len(s.Matches) {
		return false, fmt.Errorf("a slot of instance %s is of %s, which does not listen for so much", m.in.ID, slot.Task)
	}
	if slices.Contains(m.done, slot.Task) {
		return false, nil // it was heard
	}
	holds, err := m.matches(task.Path+" listen", &s.Matches[slot.Match])
	var set State
	var personal []string
	if err == nil && holds {
		set, personal, err = m.assigned(task.Path+" set", s.Set, m.said(), m.on.Event.Type, nil)
		if err == nil {
			var size int
			if size, err = sizeOf(set); err != nil {
				err = faultf(errData, "%v", err)
			} else if size > MaxVarsBytes {
				err = over("%s would set more than %d bytes", task.Path, MaxVarsBytes)
			}
		}
	}
	var f *fault
	switch {
	case errors.As(err, &f):
		m.note(task.Path, f, true)
		slot.clear()
		slot.Filled, slot.Failed = true, &Error{Type: f.code, Detail: f.told(), Task: task.Path}
		return true, nil
	case err != nil || !holds:
		return false, err
	}
	slot.clear()
	slot.Filled, slot.Set, slot.Personal = true, set, personal
	return true, nil
}
