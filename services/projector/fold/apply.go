package fold

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// Row is one row: every stored column, "sequence", that of the last event that touched it, and "stamps": for each column that is set,
// when the fact happened that it is from (a string of stampSize bytes a column, empty before the first).
type Row map[string]any

const (
	columnSequence   = "sequence"
	columnStamps     = "stamps"
	columnMergedInto = "merged_into"
)

// Touch is an event on its way into one table: which row, and what to do to it.
type Touch struct {
	Spec *Spec
	Key  map[string]any
	Left Left // why the event touches no row; empty when it touches one

	rule  Rule
	vars  map[string]any
	at    event.Recorded
	stamp stamp
	merge *Merge // the event merges the row's subject into another, or takes that back
}

// stampSize is the size of a stamp in bytes.
const stampSize = 16

// stamp orders facts: by when they happened, then by sequence. Its bytes compare as it does.
type stamp [stampSize]byte

func stampOf(at time.Time, sequence int64) (s stamp) {
	binary.BigEndian.PutUint64(s[:], uint64(at.UnixMicro())^1<<63)
	binary.BigEndian.PutUint64(s[8:], uint64(sequence))
	return s
}

// Happened is when a fact happened as far as its order goes: ce_time, but never after the engine recorded it. So a clock that runs
// ahead, or a year that was mistyped, holds a column until then and not for ever. An event without ce_time happened when it was recorded.
func Happened(r *event.Recorded) time.Time {
	at := r.Time
	if at.IsZero() || !r.RecordedTime.IsZero() && at.After(r.RecordedTime) {
		at = r.RecordedTime
	}
	return at.UTC().Truncate(time.Microsecond)
}

// Touches finds the row that an event touches in a table; none when the projection does not care for the type. data are the event's
// fields in the forms of avro.Schema.Decode.
func (s *Spec) Touches(r event.Recorded, data map[string]any) (*Touch, error) {
	rule, ok := s.On[r.Type]
	if !ok {
		return nil, nil
	}
	happened := Happened(&r)
	t := &Touch{Spec: s, Key: make(map[string]any, len(s.Key)), rule: rule, at: r, stamp: stampOf(happened, r.Sequence)}
	envelope := expr.EventVars(r)
	envelope["time"], envelope["order"] = happened, hex.EncodeToString(t.stamp[:])
	t.vars = map[string]any{"event": envelope, "data": data}
	size := 0
	for _, k := range s.Key {
		v, err := rule.Key[k].eval(t.vars)
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

// Apply returns the row after the event. row is nil when there is none yet; it is not changed. The new row is nil when there is none and the
// event makes none (Mark). lefts are the reasons for which a column was left as it was, one a column.
func (t *Touch) Apply(row Row) (_ Row, lefts []Left, _ error) {
	s := t.Spec
	if t.merge != nil {
		return t.mark(row), nil, nil
	}
	next := maps.Clone(row)
	if next == nil {
		next = s.empty(t.Key)
	}
	stamps := t.stamps(row)
	for _, a := range t.rule.Set {
		slot := s.slots[a.Column] * stampSize
		if stamps != nil && string(stamps[slot:slot+stampSize]) > string(t.stamp[:]) {
			continue // the column holds a newer fact
		}
		v, why, err := t.eval("set", a)
		switch {
		case err != nil:
			return nil, nil, err
		case why != "":
			lefts = append(lefts, why)
		case v != nil:
			next[a.Column] = v
			if stamps != nil {
				copy(stamps[slot:], t.stamp[:])
			}
		}
	}
	if stamps != nil {
		next[columnStamps] = string(stamps)
	}
	for i, list := range [][]Assignment{t.rule.First, t.rule.Last} {
		for _, a := range list {
			v, why, err := t.eval([]string{"first", "last"}[i], a)
			if err != nil {
				return nil, nil, err
			}
			if why != "" {
				lefts = append(lefts, why)
				continue
			}
			at, ok := v.(time.Time)
			if held, has := next[a.Column].(time.Time); ok && (!has || i == 0 && at.Before(held) || i == 1 && at.After(held)) {
				next[a.Column] = at
			}
		}
	}
	if len(s.Show) > 0 && (t.rule.shows || row == nil) {
		more, err := t.show(next)
		if err != nil {
			return nil, nil, err
		}
		lefts = append(lefts, more...)
	}
	next[columnSequence] = t.at.Sequence
	return next, lefts, nil
}

// stamps is a copy of a row's stamps; nil when the table has none. A row that was folded before there were any begins without.
func (t *Touch) stamps(row Row) []byte {
	s := t.Spec
	if !s.Stamped() || len(t.rule.Set) == 0 {
		return nil
	}
	out := make([]byte, len(s.slots)*stampSize)
	if held, _ := row[columnStamps].(string); len(held) == len(out) {
		copy(out, held)
	}
	return out
}

// show computes the columns that follow from the others. They all see the row as the event left it.
func (t *Touch) show(next Row) (lefts []Left, _ error) {
	s := t.Spec
	seen := make(map[string]any, len(s.deps))
	for _, c := range s.deps {
		seen[c] = next[c]
	}
	t.vars["row"] = seen
	for _, a := range s.Show {
		v, why, err := t.eval("show", a)
		if err != nil {
			return nil, err
		}
		if why != "" {
			lefts = append(lefts, why)
			continue
		}
		next[a.Column] = v
	}
	return lefts, nil
}

func (t *Touch) eval(how string, a Assignment) (any, Left, error) {
	v, err := a.value.eval(t.vars)
	if err == nil {
		v, err = convert(t.Spec.types[a.Column], v)
	}
	why, judged := judge(err)
	if !judged {
		return nil, "", fmt.Errorf("projection %s, %s, %s %s: %w", t.Spec.Name, t.at.Type, how, a.Column, err)
	}
	return v, why, nil
}

// empty is a row before its first event.
func (s *Spec) empty(key map[string]any) Row {
	row := make(Row, len(s.types)+2)
	for c := range s.types {
		row[c] = nil
	}
	for _, c := range s.Counts {
		row[c.Column] = int64(0)
		if c.Sum != "" {
			row[c.Column] = zeroNumeric
		}
	}
	if s.Stamped() {
		row[columnStamps] = ""
	}
	maps.Copy(row, key)
	return row
}
