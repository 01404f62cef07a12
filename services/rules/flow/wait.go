package flow

import (
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// wait reads a task that lets time pass.
func (p *parser) wait(n *yaml.Node, where string) *Wait {
	m := p.Entries(n, where, 0, "for", "until", "counting", "at", "in", "spread", "late")
	w := &Wait{}
	if m == nil {
		return w
	}
	switch {
	case m["for"] == nil && m["until"] == nil:
		p.Problem(n.Line, rulefile.CodeMissingKey, "%s needs one of the keys for and until, as in {for: P1D}", where)
	case m["for"] != nil && m["until"] != nil:
		p.Problem(n.Line, rulefile.CodeStep, "%s has for and until; keep one", where)
	}
	if f := m["for"]; f != nil {
		if d, ok := p.timer(f, where+".for"); ok {
			w.For = &d
			if m["counting"] != nil && (d.Months > 0 || d.Days > 0) {
				p.Problem(f.Line, rulefile.CodeDuration, "%s.for is %s and counting counts open hours, of which a day has no fixed number; write hours, such as PT8H", where, f.Value)
			}
		}
	}
	w.Until = p.step(m["until"], where+".until", "google.protobuf.Timestamp")
	w.Counting = named(p.Reader, m["counting"], where+".counting")
	if c := m["counting"]; c != nil && m["until"] != nil && m["for"] == nil {
		p.Problem(c.Line, rulefile.CodeNoEffect, "%s.counting says which time of for counts, and a wait until a moment has none; leave it out", where)
	}
	w.At = p.timeOfDay(m["at"], where+".at")
	w.In = named(p.Reader, m["in"], where+".in")
	if s := m["spread"]; s != nil {
		w.Spread, _ = length(p.Reader, s, where+".spread")
		if w.Spread.Months > 0 || w.Spread.Days > 0 || w.Spread.Elapsed > day {
			p.Problem(s.Line, rulefile.CodeDuration, "%s.spread is %s; write hours and minutes, PT24H at most", where, s.Value)
		}
	}
	if l := m["late"]; l != nil {
		k := p.Entries(l, where+".late", 2, "after", "then")
		w.Late = &Late{}
		w.Late.After, _ = length(p.Reader, k["after"], where+".late.after")
		p.then(k["then"], where+".late.then", &w.Late.Then)
	}
	p.waits(n.Line, where)
	return w
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

func (p *parser) timeOfDay(n *yaml.Node, where string) *calendar.TimeOfDay {
	if n == nil {
		return nil
	}
	found := clock.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || found == nil {
		p.Problem(n.Line, rulefile.CodeWrongKind, `%s must be a time of day from "00:00" to "23:59", in quotes`, where)
		return nil
	}
	hour, _ := strconv.Atoi(found[1]) // digits by the pattern
	minute, _ := strconv.Atoi(found[2])
	return &calendar.TimeOfDay{Hour: hour, Minute: minute}
}

// deadline reads the bound of a wait for an event or an outcome.
func (p *parser) deadline(n *yaml.Node, where string) *Deadline {
	m := p.Entries(n, where, 1, "after", "in", "then")
	d := &Deadline{}
	d.After, _ = p.timer(m["after"], where+".after")
	d.In = named(p.Reader, m["in"], where+".in")
	if t := m["then"]; t != nil {
		d.Then = &Then{}
		p.then(t, where+".then", d.Then)
	}
	return d
}

// listen reads a task that waits for events.
func (p *parser) listen(n, timeout *yaml.Node, path string) *Listen {
	where := path + " listen"
	l := &Listen{}
	if timeout != nil {
		l.Timeout = p.deadline(timeout, path+" timeout")
	}
	m := p.Entries(n, where, 1, "to", "set", "since")
	if m == nil {
		return l
	}
	if to := m["to"]; to != nil {
		p.matches(l, to, where+".to")
	}
	if s := m["set"]; s != nil {
		l.Set = p.assignments(s, where+".set", MaxVars, slices.Concat(joined, []string{"now"})...)
		p.setAll(l.Set)
	}
	if s, ok := p.Scalar(m["since"], where+".since"); ok {
		if l.Since = s; s != "step" && s != "start" {
			p.sinces = append(p.sinces, since{l, path, m["since"].Line})
		}
	}
	p.waits(n.Line, where)
	return l
}

func (p *parser) matches(l *Listen, n *yaml.Node, where string) {
	m := p.Entries(n, where, 0, string(One), string(Any), string(All))
	if len(m) != 1 {
		p.Problem(n.Line, rulefile.CodeMissingKey, "%s must have exactly one of the keys one, any and all", where)
		return
	}
	for _, gather := range []Gather{One, Any, All} {
		v := m[string(gather)]
		if v == nil {
			continue
		}
		l.To = gather
		where += "." + string(gather)
		events := []*yaml.Node{v}
		if gather != One {
			if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
				p.Problem(v.Line, rulefile.CodeWrongKind, "%s must be a list of events, as in [{on: lead.contacted}, {on: lead.lost}]", where)
				return
			}
			events = v.Content
		}
		if len(events) > MaxListens {
			p.Problem(v.Line, rulefile.CodeTooLarge, "%s has %d events, more than %d; put types with the same conditions into one", where, len(events), MaxListens)
			return
		}
		for _, e := range events {
			if k := p.Entries(e, where, 1, "on", "when", "correlate"); k != nil {
				l.Matches = append(l.Matches, p.match(k, where, e.Line))
			}
		}
	}
}
