package fold

import (
	"fmt"
	"maps"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// Row is one row: every declared column, and "sequence", that of the last event that touched it.
type Row map[string]any

// Touch is an event on its way into one table: which row, and what to do to it.
type Touch struct {
	Spec *Spec
	Key  map[string]any
	Left Left // why the event touches no row; empty when it touches one
	rule Rule
	vars map[string]any
	at   event.Recorded
}

// Touches finds the row that an event touches in a table; none when the projection does not care for the type. data are the event's
// fields in the forms of avro.Schema.Decode.
func (s *Spec) Touches(r event.Recorded, data map[string]any) (*Touch, error) {
	rule, ok := s.On[r.Type]
	if !ok {
		return nil, nil
	}
	t := &Touch{Spec: s, Key: make(map[string]any, len(s.Key)), rule: rule, at: r,
		vars: map[string]any{"event": expr.EventVars(r), "data": data}}
	size := 0
	for _, k := range s.Key {
		v, err := rule.Key[k].Eval(t.vars)
		if err == nil {
			v, err = convert(s.types[k], v)
		}
		switch why, judged := judge(err); {
		case !judged:
			return nil, fmt.Errorf("projection %s, %s, key %s: %w", s.Name, r.Type, k, err)
		case why == LeftValue || why == LeftRange:
			t.Left = LeftKeyValue
			return t, nil
		case why != "":
			t.Left = why
			return t, nil
		case v == nil:
			t.Left = LeftKeyNull
			return t, nil
		}
		if text, ok := v.(string); ok {
			size += len(text)
		}
		t.Key[k] = v
	}
	if size > MaxKey {
		t.Left = LeftKeyLong
	}
	return t, nil
}

// Sequence is that of the event.
func (t *Touch) Sequence() int64 { return t.at.Sequence }

// ID is the key as one comparable value, for maps.
func (t *Touch) ID() string { return KeyID(t.Spec, t.Key) }

// KeyID writes the key columns of a row as one comparable value.
func KeyID(s *Spec, row map[string]any) string {
	var id []byte
	for _, k := range s.Key {
		v := format(row[k])
		id = fmt.Appendf(id, "%d:%s", len(v), v)
	}
	return string(id)
}

// Apply returns the row after the event. row is nil when there is none yet; it is not changed. lefts are the reasons for which a column was
// left as it was, one a column.
func (t *Touch) Apply(row Row) (_ Row, lefts []Left, _ error) {
	s := t.Spec
	next := maps.Clone(row)
	if next == nil {
		next = s.empty(t.Key)
	}
	t.vars["row"] = s.visible(row)
	for _, a := range t.rule.Set {
		v, err := t.eval(a)
		switch why, judged := judge(err); {
		case !judged:
			return nil, nil, fmt.Errorf("projection %s, %s, set %s: %w", s.Name, t.at.Type, a.Column, err)
		case why != "":
			lefts = append(lefts, why)
		case v != nil:
			next[a.Column] = v
		}
	}
	for _, a := range t.rule.Add {
		v, err := t.eval(a)
		if err == nil && v != nil {
			v, err = sum(s.types[a.Column], next[a.Column], v)
		}
		switch why, judged := judge(err); {
		case !judged:
			return nil, nil, fmt.Errorf("projection %s, %s, add %s: %w", s.Name, t.at.Type, a.Column, err)
		case why != "":
			lefts = append(lefts, why)
		case v != nil:
			next[a.Column] = v
		}
	}
	next["sequence"] = t.at.Sequence
	return next, lefts, nil
}

func (t *Touch) eval(a Assignment) (any, error) {
	v, err := a.Program.Eval(t.vars)
	if err != nil {
		return nil, err
	}
	return convert(t.Spec.types[a.Column], v)
}

// empty is a row before its first event.
func (s *Spec) empty(key map[string]any) Row {
	row := make(Row, len(s.Columns)+1)
	for _, c := range s.Columns {
		switch {
		case s.added[c.Name] && c.Type == Numeric:
			row[c.Name] = zeroNumeric
		case s.added[c.Name]:
			row[c.Name] = int64(0)
		default:
			row[c.Name] = nil
		}
	}
	maps.Copy(row, key)
	return row
}

// visible is what expressions see as row: all columns, null where there is no row.
func (s *Spec) visible(row Row) map[string]any {
	out := make(map[string]any, len(s.Columns))
	for _, c := range s.Columns {
		v := row[c.Name]
		if list, ok := v.([]string); ok {
			items := make([]any, len(list))
			for i, x := range list {
				items[i] = x
			}
			v = items
		}
		out[c.Name] = v
	}
	return out
}

// Decode reads the fields of an event. *consumer.Decoder does it by the registry.
type Decode func(r *event.Recorded) (map[string]any, error)

// Tables folds events, those of each tenant in the order of their sequences, into every table, the plain way: one event, one row, in
// memory. It returns rows by "<schema>.<table>" and, within it, by tenant and key ("<tenant>/<KeyID>").
func Tables(specs []*Spec, events []event.Recorded, decode Decode) (map[string]map[string]Row, error) {
	out := make(map[string]map[string]Row, len(specs))
	for _, s := range specs {
		out[s.Schema+"."+s.Table] = map[string]Row{}
	}
	for i := range events {
		r := &events[i]
		var data map[string]any
		for _, s := range specs {
			if _, ok := s.On[r.Type]; !ok {
				continue
			}
			if data == nil {
				var err error
				if data, err = decode(r); err != nil {
					return nil, fmt.Errorf("sequence %d of %s: %w", r.Sequence, r.TenantID, err)
				}
			}
			t, err := s.Touches(*r, data)
			if err != nil {
				return nil, fmt.Errorf("sequence %d of %s: %w", r.Sequence, r.TenantID, err)
			}
			if t == nil || t.Left != "" {
				continue
			}
			rows, id := out[s.Schema+"."+s.Table], r.TenantID+"/"+t.ID()
			row, _, err := t.Apply(rows[id])
			if err != nil {
				return nil, fmt.Errorf("sequence %d of %s: %w", r.Sequence, r.TenantID, err)
			}
			rows[id] = row
		}
	}
	return out, nil
}
