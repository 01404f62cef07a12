package importer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Event is an event as it is sent: CloudEvents' JSON format.
type Event struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject,omitempty"`
	Time        string         `json:"time,omitempty"`
	Origin      event.Origin   `json:"origin"`
	Data        map[string]any `json:"data"`
}

// Row is one row of an input.
type Row struct {
	Number int64 // from 1, the header not counted
	Line   int   // in the file, from 1
	Values map[string]any
}

// Map makes the events of a row. It is pure: the same tenant, spec and row give
// the same events, ids included. An error refuses the row as a whole, so that a
// deal is never half imported.
func (s *Spec) Map(tenant string, in Input, row Row) ([]Event, error) {
	vars := map[string]any{"row": row.Values}
	var out []Event
	for _, m := range in.Events {
		if m.when != nil {
			ok, err := m.when.Bool(vars)
			if err != nil {
				return nil, fmt.Errorf("%s: when: %w", m.Type, err)
			}
			if !ok {
				continue
			}
		}
		e, err := s.mapOne(tenant, in.Zone, m, vars)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Type, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *Spec) mapOne(tenant string, zone *time.Location, m Mapping, vars map[string]any) (Event, error) {
	e := Event{SpecVersion: "1.0", Source: "/import/" + s.Name, Type: m.Type, Origin: event.OriginImport, Data: map[string]any{}}
	key, err := m.id.Eval(vars)
	if err != nil {
		return e, fmt.Errorf("id: %w", err)
	}
	text, err := keyText(key)
	if err != nil {
		return e, fmt.Errorf("id: %w", err)
	}
	e.ID = event.DerivedID(tenant, s.Name, m.Type, text)
	if m.subject != nil {
		v, err := m.subject.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("subject: %w", err)
		}
		var ok bool
		if e.Subject, ok = v.(string); !ok && v != nil {
			return e, fmt.Errorf("subject: must be text, not %T", v)
		}
	}
	if m.time != nil {
		v, err := m.time.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("time: %w", err)
		}
		t, err := parseTime(v, zone)
		if err != nil {
			return e, fmt.Errorf("time: %w", err)
		}
		if !t.IsZero() {
			e.Time = event.FormatTime(t)
		}
	}
	for _, f := range m.data {
		v, err := f.value.Eval(vars)
		if err != nil {
			return e, fmt.Errorf("data.%s: %w", f.name, err)
		}
		if v == nil {
			continue // null and absent are the same for a nullable field
		}
		if e.Data[f.name], err = jsonValue(v); err != nil {
			return e, fmt.Errorf("data.%s: %w", f.name, err)
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

// layouts of times without a zone, which get the input's.
var layouts = []string{
	"2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02 15:04", "2006-01-02",
}

// parseTime takes CEL timestamps, RFC 3339 text, and local times in the input's
// zone; a date alone is its midnight there. An empty text is no time.
func parseTime(v any, zone *time.Location) (time.Time, error) {
	switch v := v.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return v.UTC(), nil
	case string:
		if v == "" {
			return time.Time{}, nil
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.UTC(), nil
		}
		for _, layout := range layouts {
			if t, err := time.ParseInLocation(layout, v, zone); err == nil {
				return t.UTC(), nil
			}
		}
		return time.Time{}, fmt.Errorf("%.40q is not a time: RFC 3339, yyyy-mm-dd hh:mm:ss, or yyyy-mm-dd", v)
	}
	return time.Time{}, fmt.Errorf("must be a time or text, not %T", v)
}

// jsonValue gives times their JSON form, however deep they are.
func jsonValue(v any) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return event.FormatTime(v), nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = jsonValue(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			var err error
			if out[k], err = jsonValue(v[k]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case nil, bool, int64, float64, string, []byte:
		return v, nil
	}
	return nil, fmt.Errorf("%T has no JSON form", v)
}
