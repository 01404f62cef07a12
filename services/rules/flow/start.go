package flow

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/rulefile"
)

const (
	day      = 24 * time.Hour
	shortest = time.Minute // of a timer
)

// spec reads the whole workflow.
func (p *parser) spec(n *yaml.Node) {
	spec := p.Entries(n, "spec", 2, "start", "do", "concurrency", "until", "timeout", "finally", "loops")
	prog := p.prog
	if s := spec["start"]; s != nil {
		p.start(s)
	}
	if c := spec["concurrency"]; c != nil {
		m := p.Entries(c, "concurrency", 2, "group", "on_conflict")
		prog.Concurrency = &Concurrency{Group: named(p.Reader, m["group"], "concurrency.group")}
		prog.Concurrency.Replace = p.word(m["on_conflict"], "concurrency.on_conflict", "refuse", "replace") == "replace"
	}
	if t := spec["timeout"]; t != nil {
		prog.Timeout = p.ending(t)
	}
	prog.Loops = p.word(spec["loops"], "loops", "allowed") == "allowed"
	if d := spec["do"]; d != nil {
		prog.Do = p.list(d, place{where: "do"})
		p.parallel(prog.Do)
	}
	if u := spec["until"]; u != nil {
		p.untils(u)
	}
	if f := spec["finally"]; f != nil {
		p.quick = "finally"
		prog.Finally = p.list(f, place{where: "finally", prefix: "finally/"})
		p.quick = ""
	}
	prog.Link()
	p.sinceTasks()
	p.unset()
}

func (p *parser) start(n *yaml.Node) {
	m := p.Entries(n, "start", 2, "on", "key", "origins", "when", "set", "zone", "contact", "fresh", "reentry")
	s := &p.prog.Start
	s.On = types(p.Reader, m["on"], "start.on")
	s.Origins = []event.Origin{event.OriginLive}
	if names, ok := p.Texts(m["origins"], "start.origins", 5); ok {
		s.Origins = nil
		for i, name := range names {
			line := m["origins"].Content[i].Line
			switch o := event.Origin(name); {
			case !o.Valid() || o == event.OriginEcho:
				p.Problem(line, rulefile.CodeUnknownOrigin, "no origin %q; there are live, import, backfill and redrive", rulefile.Cut(name))
			case slices.Contains(s.Origins, o):
				p.Problem(line, rulefile.CodeDuplicateKey, "%s stands twice in start.origins; keep one", name)
			default:
				s.Origins = append(s.Origins, o)
			}
		}
	}
	s.When = p.in(m["when"], "start.when", "bool", heard...)
	s.Key = p.in(m["key"], "start.key", "string", heard...)
	s.Set = p.assignments(m["set"], "start.set", MaxVars, heard...)
	if m["set"] != nil {
		p.setAll(s.Set)
	}
	s.Zone = p.in(m["zone"], "start.zone", "string", heard...)
	s.Contact = p.in(m["contact"], "start.contact", "string", heard...)
	if f := m["fresh"]; f != nil {
		if d, ok := length(p.Reader, f, "start.fresh"); ok {
			s.Fresh = &d
		}
	}
	s.Reentry.Policy = AfterEnd
	if r := m["reentry"]; r != nil {
		p.reentry(r, &s.Reentry)
	}
}

func (p *parser) reentry(n *yaml.Node, r *Reentry) {
	m := p.Entries(n, "start.reentry", 1, "policy", "cooldown", "max")
	if policy := p.word(m["policy"], "start.reentry.policy", string(Once), string(AfterEnd), string(Restart), string(Concurrent)); policy != "" {
		r.Policy = ReentryPolicy(policy)
	}
	if c := m["cooldown"]; c != nil {
		r.Cooldown, _ = length(p.Reader, c, "start.reentry.cooldown")
	}
	r.Max = integer(p.Reader, m["max"], "start.reentry.max", 1, 1_000_000)
	if r.Policy == Once && (m["cooldown"] != nil || m["max"] != nil) {
		p.Problem(n.Line, rulefile.CodeNoEffect, "start.reentry: a key starts once, so cooldown and max mean nothing; leave them out, or write another policy")
	}
}

// ending reads the timeout of the workflow.
func (p *parser) ending(n *yaml.Node) *Deadline {
	m := p.Entries(n, "timeout", 2, "after", "then", "in")
	d := &Deadline{}
	d.After, _ = p.timer(m["after"], "timeout.after")
	d.In = named(p.Reader, m["in"], "timeout.in")
	d.Cancelled = p.word(m["then"], "timeout.then", "cancelled", "completed") == "cancelled"
	return d
}

// untils reads the named ends, in the order of the file.
func (p *parser) untils(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.Problem(n.Line, rulefile.CodeWrongKind, "until must be a map from names to events, as in contacted: {on: [lead.contacted], status: completed}")
		return
	}
	switch count := len(n.Content) / 2; {
	case count == 0:
		p.Problem(n.Line, rulefile.CodeEmpty, "until is an empty map; leave it out or name an end")
	case count > MaxListens:
		p.Problem(n.Line, rulefile.CodeTooLarge, "until has %d entries, more than %d; put types with the same status into one", count, MaxListens)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, where := n.Content[i].Value, "until."+rulefile.Cut(n.Content[i].Value)
		if !rulefile.ValidName(name) {
			p.Problem(n.Content[i].Line, rulefile.CodeInvalidName, "the name %q of until is not 1 to 63 of a-z, 0-9 and single hyphens", rulefile.Cut(name))
			continue
		}
		switch name {
		case "end", "timeout", "replaced", "cancel", "erased", "merged":
			p.Problem(n.Content[i].Line, rulefile.CodeInvalidName, "until.%s: the engine has an outcome of that name; choose another", name)
		}
		m := p.Entries(n.Content[i+1], where, 2, "on", "status", "when", "correlate", "do")
		if m == nil {
			continue
		}
		u := Until{Name: name, line: n.Content[i].Line}
		u.Match = p.match(m, where, n.Content[i].Line)
		u.Cancelled = p.word(m["status"], where+".status", "completed", "cancelled") == "cancelled"
		if d := m["do"]; d != nil {
			p.quick = where + ".do"
			u.Do = p.list(d, place{where: where + ".do", prefix: "until/" + name + "/"})
			p.quick = ""
		}
		p.prog.Until = append(p.prog.Until, u)
	}
}

// match reads an event that is waited for.
func (p *parser) match(m map[string]*yaml.Node, where string, line int) Match {
	out := Match{On: types(p.Reader, m["on"], where+".on"), line: line}
	out.When = p.in(m["when"], where+".when", "bool", joined...)
	if c := m["correlate"]; c != nil {
		e := p.Entries(c, where+".correlate", 1, "from", "expect")
		out.From = p.in(e["from"], where+".correlate.from", "string", heard...)
		out.Expect = p.in(e["expect"], where+".correlate.expect", "string", kept...)
		out.correlated = true
	}
	return out
}
