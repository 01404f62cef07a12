package backtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/neuronx/engine/services/rules/simulate"
)

// Sides of a comparison.
const (
	against = iota
	candidate
)

// Kinds of what decides.
const (
	kindRule     = "rule"
	kindWorkflow = "workflow"
)

// place is where a decision is made: what is decided there by both timelines is compared. n counts from 1 within the others, or is the visit of a
// task.
type place struct {
	root string // id of the fact that it goes back to
	by   string // rule or workflow
	what string // type of the event, after the task in workflows; or the task and what it decided
	n    int64
}

// decision is what was decided there.
type decision struct {
	at      int64 // ms since 1970
	root    *root
	kind    string
	typ     string // of the event, or suppress, skip, defer, assign, late
	subject string
	value   []byte // of the event; nil: text says what was decided
	text    string
	own     string // id of the event
	cause   string // id of what caused it
}

// matcher compares what two timelines decide. What both have decided is let go, so it holds only what one of them has ahead of the other. It is safe
// for concurrent use, and what it finds does not depend on who comes first.
type matcher struct {
	mu       sync.Mutex
	schemas  *schemas
	personal bool
	waiting  [2]map[place]decision
	rows     map[row]*[2]int // same, changed
	changed  []Example
}

func newMatcher(s *schemas, personal bool) *matcher {
	return &matcher{schemas: s, personal: personal, waiting: [2]map[place]decision{{}, {}}, rows: map[row]*[2]int{}}
}

const (
	same = iota
	differs
)

// put takes in a decision of a side.
func (m *matcher) put(ctx context.Context, side int, p place, d decision) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	other, there := m.waiting[1-side][p]
	if !there {
		m.waiting[side][p] = d
		return nil
	}
	delete(m.waiting[1-side], p)
	old, new := d, other
	if side == candidate {
		old, new = other, d
	}
	fields, err := m.compare(ctx, old, new)
	if err != nil {
		return err
	}
	r := m.row(row{d.kind, p.by, d.typ})
	if len(fields) == 0 {
		r[same]++
		return nil
	}
	r[differs]++
	m.changed = keep(m.changed, m.example(p, new, fields))
	return nil
}

func (m *matcher) row(of row) *[2]int {
	r := m.rows[of]
	if r == nil {
		r = &[2]int{}
		m.rows[of] = r
	}
	return r
}

// compare lists in what two decisions differ. Ids of events are not compared: they come from the place in the log.
func (m *matcher) compare(ctx context.Context, old, new decision) (out []FieldChange, err error) {
	if old.subject != new.subject {
		out = append(out, FieldChange{"subject", old.subject, new.subject})
	}
	if old.text != new.text {
		out = append(out, FieldChange{old.typ, old.text, new.text})
	}
	if bytes.Equal(old.value, new.value) {
		return out, nil
	}
	schema, a, err := m.schemas.decode(ctx, old.value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", old.typ, err)
	}
	_, b, err := m.schemas.decode(ctx, new.value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", new.typ, err)
	}
	names := map[string]bool{}
	for k := range a {
		names[k] = true
	}
	for k := range b {
		names[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(names)) {
		x, y := old.shown(a[k]), new.shown(b[k])
		if x == y || k == "instance_id" {
			continue
		}
		if m.schemas.personal(schema, k) && !m.personal {
			x, y = hidden, hidden
		}
		out = append(out, FieldChange{k, x, y})
	}
	return out, nil
}

// hidden stands for a personal value.
const hidden = "•"

// shown is a value, with the event's own id and that of its cause, which differ between timelines, under one name.
func (d *decision) shown(v any) string {
	if s, is := v.(string); is {
		switch {
		case s == "":
		case s == d.own:
			return "(its own id)"
		case s == d.cause:
			return "(the id of its cause)"
		}
	}
	return simulate.Shown(v)
}

func (m *matcher) example(p place, d decision, fields []FieldChange) Example {
	task, _, some := strings.Cut(p.what, " ")
	if !some {
		task = ""
	}
	return Example{At: stamp(d.at), Fact: d.root.id, FactType: d.root.typ, FactSubject: d.root.subject, Kind: d.kind, Name: p.by, Task: task, Type: d.typ, Subject: d.subject, Fields: fields, n: p.n}
}

// single gives an example of what only one side decided, with its values.
func (m *matcher) single(ctx context.Context, p place, d decision) (Example, error) {
	if d.value == nil {
		return m.example(p, d, []FieldChange{{Field: d.typ, Value: d.text}}), nil
	}
	schema, data, err := m.schemas.decode(ctx, d.value)
	if err != nil {
		return Example{}, err
	}
	var fields []FieldChange
	for _, k := range slices.Sorted(maps.Keys(data)) {
		switch {
		case data[k] == nil || k == "instance_id":
		case m.schemas.personal(schema, k) && !m.personal:
			fields = append(fields, FieldChange{Field: k, Value: hidden})
		default:
			fields = append(fields, FieldChange{Field: k, Value: d.shown(data[k])})
		}
	}
	return m.example(p, d, fields), nil
}

// most is how many examples a report has of each kind.
const most = 10

func compareExamples(a, b Example) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Fact, b.Fact), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Type, b.Type), cmp.Compare(a.n, b.n))
}

// keep keeps the first of examples.
func keep(list []Example, e Example) []Example {
	i, _ := slices.BinarySearchFunc(list, e, compareExamples)
	if i >= most {
		return list
	}
	list = slices.Insert(list, i, e)
	return list[:min(len(list), most)]
}

// left counts what a side alone has decided, with the first examples.
func (m *matcher) left(ctx context.Context, side int) (counts map[row]int, examples []Example, err error) {
	counts = map[row]int{}
	type at struct {
		p place
		d decision
	}
	var first []at
	for p, d := range m.waiting[side] {
		counts[row{d.kind, p.by, d.typ}]++
		first = append(first, at{p, d})
	}
	slices.SortFunc(first, func(a, b at) int { return compareExamples(m.example(a.p, a.d, nil), m.example(b.p, b.d, nil)) })
	for _, x := range first[:min(len(first), most)] {
		e, err := m.single(ctx, x.p, x.d)
		if err != nil {
			return nil, nil, err
		}
		examples = append(examples, e)
	}
	return counts, examples, nil
}
