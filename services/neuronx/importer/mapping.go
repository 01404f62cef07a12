package importer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
)

// Event is an event as it is sent: CloudEvents' JSON format.
type Event struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        string         `json:"time,omitempty"`
	Origin      event.Origin   `json:"origin,omitempty"` // always import, but for events that are sent by other means
	Data        map[string]any `json:"data"`

	key     string   // that the id follows from
	implied bool     // the subject follows from the data
	guessed bool     // a time of it has no offset, and the spec names no zone
	mapping *Mapping // that made it
	stored  []byte   // the data as they would be stored, in JSON; nil without a schema
}

// Row is one row of an input.
type Row struct {
	Number int64 // from 1, the header not counted
	Line   int   // in the file, from 1
	Blank  bool  // nothing but empty fields
	Values map[string]any
}

// size is about what the row takes in memory, in bytes.
func (r Row) size() int { return sizeOf(r.Values) }

func sizeOf(v any) int {
	n := 16
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, x := range v {
			n += sizeOf(x)
		}
	case map[string]any:
		for k, x := range v {
			n += len(k) + sizeOf(x)
		}
	}
	return n
}

// Map makes the events of a row. It is pure: the same tenant, spec and row give
// the same events, ids included. An error refuses the row as a whole, so that a
// deal is never half imported.
func (s *Spec) Map(tenant string, in Input, row Row) ([]Event, error) {
	if row.Blank {
		return nil, nil // what spreadsheets export below the last row
	}
	vars := map[string]any{"row": row.Values}
	var out []Event
	for i := range in.Events {
		m := &in.Events[i]
		if m.when != nil {
			ok, err := m.when.Bool(vars)
			if err != nil {
				return nil, fmt.Errorf("%s: when: %w", m.Type, lacking(err, m.when, row))
			}
			if !ok {
				continue
			}
		}
		e, err := s.mapOne(tenant, in, m, row, vars)
		if err == nil && m.contract != nil {
			e.stored, err = m.contract.check(tenant, &e)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Type, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// lacking names the columns that an expression reads and the row does not have.
func lacking(err error, p *expr.Program, row Row) error {
	var failed *expr.EvalError
	if !errors.As(err, &failed) || failed.Code != expr.CodeMissingKey {
		return err
	}
	has := slices.Sorted(maps.Keys(row.Values))
	for _, name := range p.Fields("row") {
		if _, ok := row.Values[name]; !ok {
			return fmt.Errorf("the row has no %q%s (%w)", name, didYouMean(name, has), err)
		}
	}
	return err
}

func (s *Spec) mapOne(tenant string, in Input, m *Mapping, row Row, vars map[string]any) (Event, error) {
	e := Event{SpecVersion: "1.0", Source: "/import/" + s.Name, Type: m.Type, Origin: event.OriginImport, Data: map[string]any{}, mapping: m}
	key, err := m.id.Eval(vars)
	if err != nil {
		return e, fmt.Errorf("id: %w", lacking(err, m.id, row))
	}
	text, err := keyText(key)
	if err != nil {
		return e, fmt.Errorf("id: %w", err)
	}
	e.key = text
	e.ID = event.DerivedID(tenant, s.Name, m.Type, text)
	if m.subject != nil {
		v, err := m.subject.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("subject: %w", lacking(err, m.subject, row))
		}
		var ok bool
		if e.Subject, ok = v.(string); !ok && v != nil {
			return e, fmt.Errorf("subject: must be text, not %T", v)
		}
	}
	if m.time != nil {
		v, err := m.time.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("time: %w", lacking(err, m.time, row))
		}
		t, err := parseTime(v, in.Zone)
		if err != nil {
			return e, fmt.Errorf("time: %w", err)
		}
		if r := (&event.Event{Time: t}).CheckTime(); r != nil {
			return e, fmt.Errorf("time: %s (%s)", r.Detail, r.Next)
		}
		if !t.IsZero() {
			e.Time = event.FormatTime(t)
			e.guessed = in.Unzoned && offsetless(v)
		}
	}
	var fields *shape
	if m.contract != nil {
		fields = m.contract.root
	}
	for _, f := range m.data {
		v, err := f.value.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("data.%s: %w", f.name, lacking(err, f.value, row))
		}
		field := fields.field(f.name)
		e.guessed = e.guessed || in.Unzoned && field != nil && field.time && offsetless(v)
		if v, err = field.value(v, in.Zone); err != nil {
			return e, fmt.Errorf("data.%s: %w", f.name, err)
		}
		if err := damaged(f.name, v); err != nil {
			return e, fmt.Errorf("data.%s: %w", f.name, err)
		}
		if v != nil { // null and absent are the same for a nullable field
			e.Data[f.name] = v
		}
	}
	return e, nil
}

func keyText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "", fmt.Errorf("is empty")
		}
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	}
	return "", fmt.Errorf("must be text or an integer, not %T", v)
}
