package simulate

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// event reads an event that the test puts into the log; nil: it can't be read.
func (r *reader) event(n *yaml.Node, where string) *Event {
	m := r.Entries(n, where, 2, "type", "data", "subject", "origin", "time")
	e := &Event{Line: n.Line}
	if v, ok := r.Scalar(m["origin"], "origin"); ok {
		if e.Origin = event.Origin(v); !e.Origin.Valid() || e.Origin == event.OriginEcho {
			r.Problem(m["origin"].Line, rulefile.CodeUnknownOrigin, "no origin %q; there are live, import, backfill and redrive", rulefile.Cut(v))
		}
	}
	if m["time"] != nil {
		e.Time, _ = r.time(m["time"], "time")
	}
	typ, ok := r.Scalar(m["type"], "type")
	if !ok || m["data"] == nil {
		return nil
	}
	if e.Type = typ; strings.HasPrefix(typ, "engine.") || strings.HasPrefix(typ, "rules.") {
		r.Problem(m["type"].Line, rulefile.CodeReservedTrigger, "a test does not send %s: the engine makes it itself", rulefile.Cut(typ))
		return nil
	}
	s := r.find(m["type"], typ)
	if s == nil {
		return nil
	}
	body, ok := r.encode(s, typ, m["data"])
	if !ok {
		return nil
	}
	e.body = event.Frame(s.id, body)
	prefix, id := s.avro.Subject(typ, body)
	e.Subject = prefix + string(id)
	if v, ok := r.Scalar(m["subject"], "subject"); ok {
		if e.Subject = v; v == "" {
			r.Problem(m["subject"].Line, rulefile.CodeEmpty, "the subject is empty; leave it out, or name one such as lead/7")
		}
	}
	if err := (&event.Event{TenantID: tenant, ID: "1", Source: source, Type: typ, Subject: e.Subject}).CheckAttributes(); err != nil {
		r.Problem(n.Line, codeInvalidValue, "no event can be like that: %v", err)
	}
	return e
}

// encode makes a body of data. What does not fit the schema is told by its line.
func (r *reader) encode(s *schema, typ string, n *yaml.Node) ([]byte, bool) {
	text, ok := r.json(n)
	if !ok {
		return nil, false
	}
	body, err := s.avro.EncodeJSON(text)
	if err == nil {
		return body, true
	}
	for _, p := range problemsOf(err) {
		at, _ := follow(n, p.Location)
		r.Problem(at.Line, codeInvalidValue, "the data does not fit %s: %s", typ, told(p))
	}
	return nil, false
}

func problemsOf(err error) []avro.Problem {
	var invalid *avro.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Problems
	}
	return []avro.Problem{{Message: err.Error()}}
}

func told(p avro.Problem) string {
	if p.Location == "" {
		return p.Message
	}
	return strings.ReplaceAll(strings.TrimPrefix(p.Location, "/"), "/", ".") + " " + p.Message
}

// follow is the node that a JSON pointer names, or the nearest one around it; whole tells which.
func follow(n *yaml.Node, pointer string) (at *yaml.Node, whole bool) {
	at = n
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		next := entry(at, step)
		if next == nil {
			return at, false
		}
		at = next
	}
	return at, true
}

// entry is an entry of a map or list; nil: there is none.
func entry(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// json writes the data of an event as JSON; false when it is no map, or holds what JSON has no form for.
func (r *reader) json(n *yaml.Node) ([]byte, bool) {
	if n.Kind != yaml.MappingNode {
		r.Problem(n.Line, rulefile.CodeWrongKind, "data must be a map from fields to values; data without fields is {}")
		return nil, false
	}
	before := len(r.Problems)
	text := r.appendJSON(nil, n)
	return text, len(r.Problems) == before
}

func (r *reader) appendJSON(b []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Kind != yaml.ScalarNode {
				r.Problem(n.Content[i].Line, rulefile.CodeWrongKind, "the name of a field must be a text")
				continue
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, quoted(n.Content[i].Value)...), ':')
			b = r.appendJSON(b, n.Content[i+1])
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, c := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			b = r.appendJSON(b, c)
		}
		return append(b, ']')
	}
	v, err := scalarOf(n)
	if err != nil {
		r.Problem(n.Line, codeInvalidValue, "%v", err)
		return append(b, "null"...)
	}
	return append(b, v.json()...)
}

// outcome reads what the adapter says of a command.
func (r *reader) outcome(n *yaml.Node) *Outcome {
	m := r.Entries(n, "outcome", 2, "of", "result", "data")
	o := &Outcome{Line: n.Line}
	of, ok := r.Scalar(m["of"], "of")
	if result, is := r.Scalar(m["result"], "result"); is {
		o.Succeeded, o.None = result == "succeeded", result == "none"
		if !o.Succeeded && !o.None && result != "failed" {
			r.Problem(m["result"].Line, rulefile.CodeUnknownValue, "result is %q; there are succeeded, failed, and none for an outcome that never comes", rulefile.Cut(result))
		}
		if o.None && m["data"] != nil {
			r.Problem(m["data"].Line, rulefile.CodeNoEffect, "an outcome that never comes has no data; leave it out")
		}
	}
	if !ok {
		return nil
	}
	if o.Of = strings.TrimSuffix(of, ".requested"); o.Of != of || !strings.HasPrefix(of, "crm.") {
		r.Problem(m["of"].Line, codeInvalidValue, "of is %q; name the command without its ending, as in crm.note.add", rulefile.Cut(of))
		return nil
	}
	if r.find(m["of"], o.Of+".requested") == nil {
		return nil
	}
	if s := r.find(m["of"], o.Type()); s != nil && m["data"] != nil && r.fits(s, o.Type(), m["data"]) {
		o.data = r.scalars(m["data"])
	}
	return o
}

// scalars reads a map whose values are scalars.
func (r *reader) scalars(n *yaml.Node) map[string]any {
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v, err := scalarOf(n.Content[i+1])
		if err != nil || n.Content[i+1].Kind != yaml.ScalarNode {
			r.Problem(n.Content[i+1].Line, rulefile.CodeWrongKind, "%s must be one value", rulefile.Cut(n.Content[i].Value))
			continue
		}
		out[n.Content[i].Value] = v.value()
	}
	return out
}

// Type is the type of the event that tells the outcome.
func (o *Outcome) Type() string {
	if o.Succeeded {
		return o.Of + ".succeeded"
	}
	return o.Of + ".failed"
}

func (r *reader) expected(n *yaml.Node) Expected {
	e := Expected{Line: n.Line}
	m := r.Entries(n, "each entry of expect", 1, "type", "subject", "data")
	e.Type, _ = r.Scalar(m["type"], "type")
	if v, ok := r.Scalar(m["subject"], "subject"); ok {
		if e.Subject = v; v == "" {
			r.Problem(m["subject"].Line, rulefile.CodeEmpty, "the subject is empty; leave it out, or name one such as lead/7")
		}
	}
	if m["type"] == nil || e.Type == "" {
		return e
	}
	if s := r.find(m["type"], e.Type); s != nil && m["data"] != nil {
		if r.fits(s, e.Type, m["data"]) {
			e.data = m["data"]
		}
	}
	return e
}

// fits checks some fields of a type: a name that the schema has not, or a value that its field can't hold, never comes. Fields that are left
// out are not compared.
func (r *reader) fits(s *schema, typ string, n *yaml.Node) bool {
	text, ok := r.json(n)
	if !ok {
		return false
	}
	before := len(r.Problems)
	if len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeEmpty, "data is an empty map; leave it out, or name the fields that are compared")
	}
	_, err := s.avro.EncodeJSON(text)
	if err == nil {
		return len(r.Problems) == before
	}
	for _, p := range problemsOf(err) {
		if at, whole := follow(n, p.Location); whole && p.Location != "" {
			r.Problem(at.Line, codeInvalidValue, "no %s has such data: %s", typ, told(p))
		}
	}
	return len(r.Problems) == before
}

// state reads what must be remembered of a subject.
func (r *reader) state(n *yaml.Node) Stated {
	m := r.Entries(n, "state", 2, "subject", "values")
	s := Stated{Line: n.Line, values: m["values"]}
	s.Subject, _ = r.Scalar(m["subject"], "subject")
	switch v := s.values; {
	case v == nil:
	case v.Kind != yaml.MappingNode:
		r.Problem(v.Line, rulefile.CodeWrongKind, "values must be a map from keys to values; null says that a key is not set")
		s.values = nil
	case len(v.Content) == 0:
		r.Problem(v.Line, rulefile.CodeEmpty, "values is an empty map; name the keys that are compared, with null for one that must not be set")
	default:
		r.json(v)
	}
	return s
}

var errNotFinite = errors.New("there is no such number in an event; write it out")
