package advance

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/zone"
	"github.com/neuronx/engine/services/rules/flow"
)

// lastDue is the last moment that an event, and an instance as it is kept, can hold. The life of an instance ends long before; a later timer could not
// be told, however often that is tried, and the tenant would stand at its cause for ever.
var lastDue = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// timer makes a timer. Its id is that of the place in the workflow and of the event that armed it, so a replay makes the same.
func (m *machine) timer(token int64, task string, visit int64, due time.Time) *Timer {
	if due.After(lastDue) {
		due = lastDue
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return &Timer{
		ID:    event.DerivedID(m.in.Tenant, "timer", m.in.ID, number(token), task, number(visit), number(m.on.Event.Sequence)),
		Token: token, Task: task, Due: due.UTC().Truncate(time.Microsecond), Armed: m.on.Event.Sequence,
	}
}

// zone is that of the instance, else of the first of the calendars, else UTC.
func (m *machine) zone(calendars ...string) *time.Location {
	if m.in.Zone != "" {
		if loc, err := zone.Load(m.in.Zone); err == nil {
			return loc
		}
	}
	for _, c := range calendars {
		if c == "" {
			continue
		}
		if loc, ok := m.env.Calendars.Zone(c); ok {
			return loc
		}
	}
	return time.UTC
}

// opening moves a time to the next opening of a calendar.
func (m *machine) opening(t time.Time, name string) (time.Time, *fault) {
	if name == "" {
		return t, nil
	}
	hours, known := m.env.Calendars.Hours(name, nil)
	if !known {
		return t, &fault{code: errData, detail: "there is no calendar " + name}
	}
	opens, ever := hours.NextOpen(t)
	if !ever {
		return t, &fault{code: errData, detail: "the calendar " + name + " does not open within 400 days"}
	}
	return opens, nil
}

func (m *machine) dueOf(after calendar.Duration, in string) (time.Time, *fault) {
	return m.opening(m.env.Calendars.Add(m.now, after, m.zone(in)), in)
}

// wait lets a token rest until a time; what is due within a minute goes on at once.
func (m *machine) wait(t *Token, task *flow.Task, s *flow.Wait, vars map[string]any) error {
	if m.ending {
		return &fault{code: errData, detail: task.Path + ": what runs at the end of an instance does not wait"}
	}
	loc := m.zone(s.In, s.Counting)
	var due time.Time
	switch {
	case s.Until != nil:
		v, err := m.eval(task.Path+" until", s.Until, vars)
		if err != nil {
			return err
		}
		at, ok := v.(time.Time)
		if !ok {
			return &fault{code: errData, detail: task.Path + ": until must give a time", varies: varies(s.Until)}
		}
		due = at
	case s.For == nil:
		return &fault{code: errData, detail: task.Path + ": there is nothing to wait for"}
	case s.Counting != "":
		hours, known := m.env.Calendars.Hours(s.Counting, nil)
		if !known {
			return &fault{code: errData, detail: "there is no calendar " + s.Counting}
		}
		if s.For.Months != 0 || s.For.Days != 0 {
			return &fault{code: errData, detail: task.Path + ": counting open time takes hours and minutes, not days"}
		}
		var ever bool
		if due, ever = hours.After(m.now, s.For.Elapsed); !ever {
			return &fault{code: errData, detail: "the calendar " + s.Counting + " is not open that long within 400 days"}
		}
	default:
		due = m.env.Calendars.Add(m.now, *s.For, loc)
	}
	if s.At != nil {
		onDay := s.Until == nil && s.Counting == "" && s.For.Elapsed == 0
		if onDay && t.Visit > 1 {
			due = unspread(due, *s.At, s.Spread.Elapsed, loc)
		}
		due = m.at(due, *s.At, loc, onDay)
	}
	due, f := m.opening(due, s.In)
	if f != nil {
		return f
	}
	if most := s.Spread.Elapsed; most > 0 {
		due = due.Add(m.env.Calendars.Spread(m.in.ID+"/"+task.Path+"/"+strconv.FormatInt(t.Visit, 10), most).Truncate(time.Millisecond))
	}
	if due.After(m.env.Calendars.Add(m.now, lifetime, loc)) {
		return over("%s waits longer than %d days, which no instance lives", task.Path, MaxLifeDays)
	}
	if due.Sub(m.now) < ShortestTimer {
		return m.waited(t, task, s, due)
	}
	t.Rest, t.Timer = AtWait, m.timer(t.ID, task.Path, t.Visit, due)
	return nil
}

// at moves a time on to a local time. After whole days that is on the day itself, also if it is earlier than now is today: a week after
// Monday 10:12, at 10:00, is Monday. Moved on, a weekly message that was spread over half an hour would come a day later each week.
func (m *machine) at(due time.Time, at calendar.TimeOfDay, loc *time.Location, onDay bool) time.Time {
	if !onDay {
		return m.env.Calendars.Next(due, at, loc)
	}
	date := func(t time.Time) string { return t.In(loc).Format(time.DateOnly) }
	t := m.env.Calendars.Next(due.Add(-26*time.Hour), at, loc)
	for range 3 {
		if date(t) >= date(due) {
			break
		}
		t = m.env.Calendars.Next(t.Add(time.Second), at, loc)
	}
	return t
}

// unspread takes a moment back that lies past midnight, and within the spread of the day before: it is of that day. What the round before was spread to
// would otherwise be counted from the next one, and what runs daily at 23:50, spread over half an hour, would leave a day out after each run past midnight.
func unspread(t time.Time, at calendar.TimeOfDay, spread time.Duration, loc *time.Location) time.Time {
	l := t.In(loc)
	clock := func(hour, minute int) time.Duration {
		return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	}
	past := clock(at.Hour, at.Minute) + spread - 24*time.Hour
	if clock(l.Hour(), l.Minute()) < past {
		return t.Add(-past)
	}
	return t
}

// waited goes on after a wait, elsewhere if that is too late to be of use.
func (m *machine) waited(t *Token, task *flow.Task, s *flow.Wait, due time.Time) error {
	if s.Late != nil && m.env.Calendars.Add(due, s.Late.After, m.zone(s.In, s.Counting)).Before(m.now) {
		m.decide(task.Path, "late", "due", due.UTC().Format(time.RFC3339))
		m.done = append(m.done, task.Path)
		return m.leave(t, task, s.Late.Then)
	}
	return m.finish(t, task)
}

// fire lets a timer resume its token. One that is not there was cancelled, replaced or fired before, and changes nothing.
func (m *machine) fire() (string, error) {
	t, timer := (*Token)(nil), m.in.Deadline
	if timer == nil || timer.ID != m.on.Timer {
		timer = nil
		for _, o := range m.in.Tokens {
			if o.Timer != nil && o.Timer.ID == m.on.Timer {
				t, timer = o, o.Timer
			}
		}
	}
	switch {
	case timer == nil:
		return Stale, nil
	case timer.Due.After(m.now.Add(Tolerance)):
		return Early, nil
	}
	if timer.Due.After(m.now) {
		m.now = timer.Due
	}
	m.fired, m.in.Hops, m.in.Path, m.in.Resumed = timer.ID, 1, nil, true
	if t == nil {
		if timer.Task == outcomeTimeout && m.p.Timeout != nil && !m.p.Timeout.Cancelled {
			return "", m.end(Completed, outcomeTimeout, nil)
		}
		return "", m.end(Cancelled, timer.Task, nil)
	}
	task, err := m.task(t.Task)
	if err != nil {
		return "", err
	}
	return "", m.handle(t, task, m.resume(t, task, timer.Due))
}

// refused stands a token in an incident whose timer does not get into the log: a person is asked, instead of nobody being told that the task waits for
// ever. No catch may have it, because what it would run may wait for a timer, too. The deadline of the instance is fired on: it has no task.
func (m *machine) refused() (string, error) {
	i := slices.IndexFunc(m.in.Tokens, func(t *Token) bool { return t.Timer != nil && t.Timer.ID == m.on.Timer })
	if i < 0 {
		return Stale, nil
	}
	t := m.in.Tokens[i]
	task, err := m.task(t.Task)
	if err != nil {
		return "", err
	}
	if t.Rest == AtRetry {
		t.Frames = t.Frames[:len(t.Frames)-1] // who resolves the incident begins the try from its first task
	}
	code, _ := m.on.Data["code"].(string)
	return "", m.handle(t, task, &fault{code: errTimer, detail: fmt.Sprintf("%s: the firing of its timer was refused %d times, the last time as %.64s", task.Path, m.on.Data["times"], code),
		varies: true, final: true})
}

func (m *machine) resume(t *Token, task *flow.Task, due time.Time) error {
	rest := t.Rest
	t.Rest, t.Timer = Ready, nil
	switch s := task.Step.(type) {
	case *flow.Wait:
		return m.waited(t, task, s, due)
	case *flow.Try:
		return m.enter(t, task, s.Tasks)
	case *flow.Listen:
		return m.timedOut(t, task, s.Timeout)
	case *flow.Call:
		if rest == AtCall {
			return m.timedOut(t, task, s.Timeout)
		}
		return nil // a deferral is over, everything is asked again
	case *flow.Emit:
		return nil
	}
	return fmt.Errorf("token %d of instance %s has a timer at %s, which waits for nothing", t.ID, m.in.ID, task.Path)
}

func (m *machine) timedOut(t *Token, task *flow.Task, d *flow.Deadline) error {
	if d != nil && d.Then != nil {
		m.done = append(m.done, task.Path)
		return m.leave(t, task, *d.Then)
	}
	return faultf(errTimeout, "%s: nothing came in time", task.Path)
}
