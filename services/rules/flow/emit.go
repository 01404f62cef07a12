package flow

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// emit reads an event that is derived.
func (p *parser) emit(n *yaml.Node, where string) *Emit {
	m := p.Entries(n, where, 2, "type", "data", "subject", "undo", "on_suppressed")
	e := &Emit{line: n.Line}
	if t, ok := p.Scalar(m["type"], where+".type"); ok {
		e.Type = t
		p.mayEmit(t, m["type"].Line)
	}
	p.fields(e, m, "data", where)
	return e
}

// mayEmit refuses types that are the engine's own.
func (p *parser) mayEmit(typ string, line int) {
	switch {
	case !event.ValidType(typ):
		p.Problem(line, rulefile.CodeUnknownType, "%q is not an event type such as lead.qualified", rulefile.Cut(typ))
	case strings.HasPrefix(typ, "crm.") && strings.HasSuffix(typ, ".requested"):
	case event.Reserved(typ), slices.ContainsFunc([]string{"crm.", "workflow.", "subject."}, func(prefix string) bool { return strings.HasPrefix(typ, prefix) }):
		p.Problem(line, rulefile.CodeReservedEmit, "a workflow may not emit %s, which only the engine or an adapter does; of the reserved types only crm.*.requested are for workflows", typ)
	}
}

// fields reads what an event or command holds, which stands under key, and what undoes it.
func (p *parser) fields(e *Emit, m map[string]*yaml.Node, key, where string) {
	e.Subject = p.step(m["subject"], where+".subject", "string")
	if d := m[key]; d != nil {
		e.Data = p.assignments(d, where+"."+key, maxFields, slices.Concat(task, p.scope)...)
		e.broken = p.Broken
	}
	if u := m["undo"]; u != nil {
		e.Undo = p.undo(u, where+".undo")
	}
	e.End = p.word(m["on_suppressed"], where+".on_suppressed", "continue", "end") == "end"
	if p.reach == nil { // as published: what the schema says is asked when the command is derived
		return
	}
	field := ""
	if e.Type != "" {
		field = p.reach(e.Type)
	}
	if field == "" {
		if s := m["on_suppressed"]; s != nil && e.Type != "" {
			p.Problem(s.Line, rulefile.CodeNoEffect, "%s.on_suppressed: %s reaches nobody, so it is never suppressed; leave it out", where, rulefile.Cut(e.Type))
		}
		return
	}
	p.reaching(e, field, key, where)
}

// reaching checks a command that reaches a person over the channel that a field names.
func (p *parser) reaching(e *Emit, field, key, where string) {
	if p.quick != "" {
		p.Problem(e.line, rulefile.CodeReaches, "%s: %s reaches a person, and the tasks of %s may not: the instance has ended when they run; emit an event on which another workflow starts", where, e.Type, p.quick)
	}
	for _, a := range e.Data {
		switch a.Key {
		case field:
			e.Channel = a.Expr
		case "lead_id":
			p.Problem(a.Line, rulefile.CodeFilled, "%s.%s.lead_id: %s reaches a person, so the engine fills lead_id by the contact that the instance is bound to; take it out, and name another contact by start.contact",
				where, key, e.Type)
		}
	}
	if e.Channel == nil && !slices.Contains(e.broken, field) {
		p.Problem(e.line, rulefile.CodeMissingField, "%s: %s needs the field %q, the channel over which it reaches a person", where, e.Type, field)
	}
}

// undo reads the events that compensate for one.
func (p *parser) undo(n *yaml.Node, where string) []*Emit {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		p.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a list of maps with type and data", where)
		return nil
	}
	if len(n.Content) > MaxUndo {
		p.Problem(n.Line, rulefile.CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content), MaxUndo)
		return nil
	}
	var out []*Emit
	quick := p.quick
	p.quick = where
	for _, c := range n.Content {
		m := p.Entries(c, "each entry of "+where, 2, "type", "data", "subject")
		if m == nil {
			continue
		}
		e := &Emit{line: c.Line}
		if t, ok := p.Scalar(m["type"], where+".type"); ok {
			e.Type = t
			p.mayEmit(t, m["type"].Line)
		}
		p.fields(e, m, "data", where)
		out = append(out, e)
	}
	p.quick = quick
	return out
}

// call reads a command whose outcome is waited for.
func (p *parser) call(m map[string]*yaml.Node, path string) *Call {
	where := path + " call"
	c := &Call{As: p.variable(m["as"], path+" as")}
	c.Emit.line = m["call"].Line
	if name, ok := p.Scalar(m["call"], where); ok {
		switch {
		case strings.HasSuffix(name, ".requested"):
			p.Problem(m["call"].Line, rulefile.CodeUnknownType, "%s is %s; leave .requested out, or emit the command without waiting for its outcome", where, rulefile.Cut(name))
		case !strings.HasPrefix(name, "crm.") || !event.ValidType(name+".requested"):
			p.Problem(m["call"].Line, rulefile.CodeUnknownType, "%s is %q; it takes a command of an adapter, such as crm.note.add", where, rulefile.Cut(name))
		default:
			c.Emit.Type = name + ".requested"
		}
	}
	if m["with"] == nil {
		p.Problem(m["call"].Line, rulefile.CodeMissingKey, "the task %s needs the key %q alongside call", path, "with")
	}
	if t := m["timeout"]; t != nil {
		c.Timeout = p.deadline(t, path+" timeout")
	}
	p.fields(&c.Emit, m, "with", path)
	if c.As != "" {
		p.set(c.As)
	}
	p.waits(m["call"].Line, where)
	return c
}
