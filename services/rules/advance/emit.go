package advance

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/reach"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const (
	maxBody   = 512 << 10 // bytes of the body of one event
	requested = ".requested"

	// How long an adapter tries a command that says nothing else, and how long after that its outcome is waited for.
	commandLife = 24 * time.Hour
	outcomeWait = time.Hour
)

// derivation is an event that a task derives.
type derivation struct {
	task     *flow.Task
	visit    int64
	index    string
	emit     *flow.Emit
	vars     map[string]any
	reserved int64
}

// answer says what became of it.
type answer struct {
	reach.Answer
	out Output
}

// derive evaluates an event and asks whether it may reach its person. Nothing is kept unless it is emitted; only the slot of the pace that a
// deferral reserved.
func (m *machine) derive(d derivation) (answer, error) {
	e, where := d.emit, d.task.Path+" emit "+d.emit.Type
	schema, known := m.env.Schemas[e.Type]
	if !known || schema.Avro == nil {
		return answer{}, &fault{code: errData, detail: where + ": no schema has this type"}
	}
	reaches := e.Channel != nil || schema.reach != ""
	if reaches && m.ending {
		return answer{}, &fault{code: errData, detail: where + ": what runs at the end of an instance reaches nobody"}
	}
	if len(m.res.Outputs) >= m.room {
		return answer{}, over("%s: the activation derives more than %d events; a loop needs a wait in it", where, MaxOutputs)
	}
	ans := answer{out: Output{ID: m.id(d.task.Path, strconv.FormatInt(d.visit, 10), d.index), Type: e.Type, Task: d.task.Path, Visit: d.visit, Hops: m.in.Hops}}
	ans.Kind = reach.Send
	subject := m.in.Subject
	if reaches {
		subject = "lead/" + m.lead()
	}
	var err error
	if ans.out.Subject, err = m.text(where+" subject", e.Subject, d.vars, subject); err != nil {
		return answer{}, err
	}
	depends := false
	data := make(map[string]any, len(e.Data)+4)
	for _, a := range e.Data {
		if data[a.Key], err = m.eval(where+" data."+a.Key, a.Expr, d.vars); err != nil {
			return answer{}, err
		}
		depends = depends || varies(a.Expr)
	}
	if reaches {
		if ans, err = m.ask(d, ans, data, schema.reach); err != nil || ans.Kind != reach.Send {
			return ans, err
		}
	}
	m.fill(schema, data, &ans)
	body, err := schema.Avro.EncodeMap(data)
	if err != nil {
		return answer{}, &fault{code: errData, detail: where + ": " + cut(err.Error()), varies: depends}
	}
	if len(body) > maxBody {
		return answer{}, over("%s: the data has %d bytes, more than %d", where, len(body), maxBody)
	}
	ans.out.Value = event.Frame(schema.ID, body)
	if envelope := Envelope(m.in, m.on.Event, ans.out); envelope.CheckAttributes() != nil {
		return answer{}, &fault{code: errData, detail: where + ": the subject is not one: empty, too long, or with control characters", varies: e.Subject == nil || varies(e.Subject)}
	}
	if err := m.pay(ruleset.OutputCost + uint64(len(body))/bytesPerUnit); err != nil {
		return answer{}, err
	}
	m.res.Outputs = append(m.res.Outputs, ans.out)
	if reaches {
		m.reached(d.task, ans)
	}
	return ans, nil
}

// ask puts a command that reaches a person before the contact policy. The channel is that of its data, by the field that the schema names.
func (m *machine) ask(d derivation, ans answer, data map[string]any, field string) (answer, error) {
	where := d.task.Path + " " + d.emit.Type
	channel, _ := data[field].(string)
	if field == "" {
		var err error
		if channel, err = m.text(where+" channel", d.emit.Channel, d.vars, ""); err != nil {
			return ans, err
		}
	}
	if channel == "" || channel == reach.AnyChannel || hasNUL(channel) || len(channel) > reach.MaxChannel {
		return ans, faultf(errData, "%s: the channel must be one, such as sms, of %d bytes at most", where, reach.MaxChannel)
	}
	if m.in.Contact == "" {
		return ans, faultf(errData, "%s: the instance has no contact whom it could reach; the event that started it had no data.lead_id, or start.contact gave none", where)
	}
	if m.env.Contact.Lead != m.in.Contact {
		return ans, errContact(m.in.ID)
	}
	purpose, _ := data["purpose"].(string)
	ans.out.Channel = channel
	ans.Answer = reach.Decide(m.env.Policy, m.contact(), m.pace(channel), reach.Ask{
		Channel: channel, Transactional: purpose == "transactional", Zone: m.in.Zone, Now: m.now, Reserved: d.reserved,
		Key: m.in.ID + "/" + d.task.Path + "/" + strconv.FormatInt(d.visit, 10),
	}, m.env.Calendars)
	return ans, nil
}

// lead is the id of the lead whom the instance reaches.
func (m *machine) lead() string { return cmp.Or(m.env.Lead, m.in.Contact) }

func (m *machine) contact() reach.Contact {
	if m.res.Contact != nil {
		return *m.res.Contact
	}
	return m.env.Contact
}

func (m *machine) pace(channel string) reach.Slot {
	if s, changed := m.res.Pace[channel]; changed {
		return s
	}
	return m.env.Pace[channel]
}

func (m *machine) keepPace(channel string, s reach.Slot) {
	if s == m.pace(channel) {
		return
	}
	if m.res.Pace == nil {
		m.res.Pace = map[string]reach.Slot{}
	}
	m.res.Pace[channel] = s
}

// reached keeps what a command that reaches a person changes: the contact, the pace, and what listens hear from now on.
func (m *machine) reached(task *flow.Task, ans answer) {
	c := ans.Contact
	m.res.Contact = &c
	m.keepPace(ans.out.Channel, ans.Pace)
	for _, l := range m.p.Listening {
		if l.Step.(*flow.Listen).Since == "" && !l.Parallel(task) {
			m.open(l)
		}
	}
}

// fill gives a command the fields that the engine answers for, where its schema has them.
func (m *machine) fill(s Schema, data map[string]any, ans *answer) {
	if !strings.HasSuffix(ans.out.Type, requested) {
		return
	}
	put := func(field string, v any) {
		if s.fields[field] {
			data[field] = v
		}
	}
	put("instance_id", m.in.ID)
	for _, own := range []string{"message_id", "task_id", "call_id"} {
		if data[own] == nil {
			put(own, ans.out.ID)
		}
	}
	if ans.out.Channel == "" {
		if t, ok := data["not_after"].(time.Time); ok {
			ans.out.NotAfter = t
		}
		return
	}
	put("lead_id", m.lead())
	put("consent_basis", ans.Basis)
	if data["purpose"] == nil {
		put("purpose", "marketing")
	}
	ans.out.NotAfter = ans.NotAfter
	if t, ok := data["not_after"].(time.Time); ok && t.Before(ans.NotAfter) {
		ans.out.NotAfter = t
	}
	put("not_after", ans.out.NotAfter)
}

func (m *machine) emitTask(t *Token, task *flow.Task, s *flow.Emit, vars map[string]any, locals []string) error {
	_, gone, err := m.emit(t, task, s, vars, locals, false)
	if err != nil || gone {
		return err
	}
	return m.finish(t, task)
}

// emit derives the event of a task; gone means that the token rests or went on already.
func (m *machine) emit(t *Token, task *flow.Task, s *flow.Emit, vars map[string]any, locals []string, call bool) (out Output, gone bool, err error) {
	if len(s.Undo) > 0 && len(m.in.Undo) >= MaxUndo && !m.ending {
		return Output{}, false, over("%s: the instance has %d tasks with undo, and keeps no more", task.Path, MaxUndo)
	}
	ans, err := m.derive(derivation{task: task, visit: t.Visit, index: "0", emit: s, vars: vars, reserved: t.Reserved})
	if err != nil {
		return Output{}, false, err
	}
	switch ans.Kind {
	case reach.Defer:
		m.keepPace(ans.out.Channel, ans.Pace)
		m.decide(task.Path, "defer", ans.out.Channel, ans.Reason)
		t.Rest, t.Reserved = AtDeferral, ans.Reserved
		t.Timer = m.timer(t.ID, task.Path, t.Visit, ans.Until)
		return Output{}, true, nil
	case reach.Suppress, reach.Skip:
		m.decide(task.Path, string(ans.Kind), ans.out.Channel, ans.Reason)
		if ans.Kind == reach.Suppress && s.End {
			return Output{}, true, m.end(Completed, outcomeSuppressed, nil)
		}
		if c, is := task.Step.(*flow.Call); is && c.As != "" {
			if err := m.set(State{c.As: map[string]any{string(ans.Kind): ans.Reason}}, nil); err != nil {
				return Output{}, false, err
			}
		}
		return Output{}, true, m.finish(t, task)
	}
	if len(s.Undo) > 0 && !m.ending {
		u := Undo{Task: task.Path, Visit: t.Visit}
		if call {
			u.Command = ans.out.ID
		}
		base := m.base()
		for k, v := range vars {
			if _, common := base[k]; !common {
				if u.Locals == nil {
					u.Locals = State{}
				}
				u.Locals[k] = v
				u.Personal = u.Personal || slices.Contains(locals, k)
			}
		}
		m.in.Undo = append(m.in.Undo, u)
	}
	return ans.out, false, nil
}

// call emits a command and rests until its outcome.
func (m *machine) call(t *Token, task *flow.Task, s *flow.Call, vars map[string]any, locals []string) error {
	if m.ending {
		return &fault{code: errData, detail: task.Path + ": what runs at the end of an instance waits for nothing"}
	}
	out, gone, err := m.emit(t, task, &s.Emit, vars, locals, true)
	if err != nil || gone {
		return err
	}
	due := out.NotAfter
	if due.IsZero() {
		due = m.now.Add(commandLife)
	}
	due = due.Add(outcomeWait)
	if s.Timeout != nil {
		var f *fault
		if due, f = m.dueOf(s.Timeout.After, s.Timeout.In); f != nil {
			return f
		}
	}
	if soonest := m.now.Add(ShortestTimer); due.Before(soonest) {
		due = soonest // an outcome is never there at once
	}
	t.Rest, t.Command = AtCall, out.ID
	t.Timer = m.timer(t.ID, task.Path, t.Visit, due)
	return nil
}

// outcome lets a call go on by the outcome of its command, at any status of it that the log is told.
func (m *machine) outcome() (bool, error) {
	data, typ := m.on.Data, m.on.Event.Type
	base, succeeded, is := commandOf(typ)
	if !is && typ != typeRecorded {
		return false, nil
	}
	id := CommandOf(&m.on.Event, data)
	code, _ := data["code"].(string)
	mode, _ := data["mode"].(string)
	known := false
	for i := range m.in.Undo {
		if u := &m.in.Undo[i]; u.Command == id {
			known = true
			if is && !succeeded && code != codeUnknown || mode == modeOff {
				m.in.Undo = slices.Delete(m.in.Undo, i, i+1)
			} else {
				u.Command = ""
			}
			break
		}
	}
	i := slices.IndexFunc(m.in.Tokens, func(t *Token) bool { return t.Rest == AtCall && t.Command == id })
	if i < 0 {
		return known, nil
	}
	t := m.in.Tokens[i]
	task, err := m.task(t.Task)
	if err != nil {
		return false, err
	}
	s, is := task.Step.(*flow.Call)
	if !is || typ != typeRecorded && s.Emit.Type != base+requested {
		return known, nil
	}
	switch {
	case typ == typeRecorded && mode == modeOff:
		return true, m.handle(t, task, faultf("command/off", "%s: the connection is off", task.Path))
	case typ == typeRecorded && mode == modeRecord:
		return true, m.handle(t, task, m.took(t, task, s, map[string]any{"recorded": true}, false))
	case typ == typeRecorded:
		return true, m.handle(t, task, faultf("command/"+codeUnknown, "%s: nobody knows whether the command was carried out", task.Path))
	case succeeded:
		personal := len(m.env.Schemas[typ].personal) > 0 || m.env.Schemas[typ].Avro == nil
		return true, m.handle(t, task, m.took(t, task, s, maps.Clone(data), personal))
	}
	if code == "" {
		code = "failed"
	}
	detail, _ := data["detail"].(string)
	f := faultf("command/"+code, "%s", cut(detail))
	f.personal = detail != "" || len(m.env.Schemas[typ].personal) > 0 // what a CRM answers may repeat what was sent to it
	return true, m.handle(t, task, f)
}

// What engine.effect.recorded says of a command that was not sent.
const (
	typeRecorded = "engine.effect.recorded"
	modeRecord   = "record"
	modeOff      = "off"
	codeUnknown  = "unknown"
)

func (m *machine) took(t *Token, task *flow.Task, s *flow.Call, result map[string]any, personal bool) error {
	if s.As != "" {
		var names []string
		if personal {
			names = []string{s.As}
		}
		if err := m.set(State{s.As: result}, names); err != nil {
			return err
		}
	}
	return m.finish(t, task)
}
