package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
)

// Schemas finds the schemas of event types. *registry.Client is one. ByType's error is registry.ErrUnknown where there is none.
type Schemas interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
	Types(ctx context.Context) ([]string, error)
}

// Builtin are the schemas that this program was built with.
type Builtin struct{}

// ByType implements Schemas.
func (Builtin) ByType(_ context.Context, eventType string) (int32, *avro.Schema, error) {
	all, err := builtin()
	if err != nil {
		return 0, nil, err
	}
	if s := all[eventType]; s != nil {
		return 0, s, nil
	}
	return 0, nil, registry.ErrUnknown
}

// Types implements Schemas.
func (Builtin) Types(context.Context) ([]string, error) {
	all, err := builtin()
	return slices.Sorted(maps.Keys(all)), err
}

var builtin = sync.OnceValues(func() (map[string]*avro.Schema, error) {
	files, err := schemas.Files()
	if err != nil {
		return nil, err
	}
	out := map[string]*avro.Schema{}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", f.Path, err)
		}
		out[s.EventType()] = s
	}
	return out, nil
})

// contract is an event type's schema, and what of it is needed before encoding.
type contract struct {
	schema *avro.Schema
	root   *shape
}

// shape is a part of a schema.
type shape struct {
	time     bool // a timestamp
	nullable bool
	text     bool
	fields   map[string]*shape // of a record
	names    []string          // of its fields
	needed   []string          // of its fields without a default
	items    *shape            // of an array
}

// Bind looks the types of the spec up, so that its rows can be checked and local times be found in their data. Every type or field that
// does not exist, and every required field without an expression, is named. Where known is false, types without a schema are left to
// the receiver of the events.
func (s *Spec) Bind(ctx context.Context, from Schemas, known bool) error {
	p := &problems{}
	for i := range s.Inputs {
		for j := range s.Inputs[i].Events {
			m, at := &s.Inputs[i].Events[j], fmt.Sprintf("spec.inputs[%d].events[%d]", i, j)
			var err error
			if m.contract, err = p.find(ctx, from, at+".type", m.Type, known); err != nil {
				return err
			}
			update, named := m.Update, m.Update != ""
			if thing, ok := strings.CutSuffix(m.Type, ".created"); ok && !named {
				update = thing + ".updated"
			}
			if update != "" {
				if m.updated, err = p.find(ctx, from, at+".update", update, known && named); err != nil {
					return err
				}
				if m.updated != nil {
					m.Update = update
				}
			}
			if m.contract != nil {
				p.fields(at, m)
			}
		}
	}
	return errors.Join(p.errs...)
}

func (p *problems) find(ctx context.Context, from Schemas, at, eventType string, known bool) (*contract, error) {
	_, schema, err := from.ByType(ctx, eventType)
	if errors.Is(err, registry.ErrUnknown) {
		if known {
			types, _ := from.Types(ctx) // only for the suggestion
			p.add(at, "no schema is registered for the type %q%s", eventType, didYouMean(eventType, types))
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the schema of %s: %w", eventType, err)
	}
	var tree any
	if err := json.Unmarshal(schema.Text(), &tree); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", eventType, err)
	}
	return &contract{schema, shapeOf(tree, map[string]*shape{})}, nil
}

func (p *problems) fields(at string, m *Mapping) {
	root := m.contract.root
	mapped := map[string]bool{}
	for _, f := range m.data {
		if mapped[f.name] = true; !slices.Contains(root.names, f.name) {
			p.add(at+".data."+f.name, "%s has no such field%s; it has: %s", m.Type, didYouMean(f.name, root.names), strings.Join(root.names, ", "))
		}
	}
	for _, name := range root.needed {
		if !mapped[name] {
			p.add(at+".data."+name, "required by %s", m.Type)
		}
	}
}

// shapeOf reads a schema's JSON, which pkg/avro has parsed before.
func shapeOf(tree any, named map[string]*shape) *shape {
	out := &shape{}
	switch t := tree.(type) {
	case string:
		if known := named[t]; known != nil {
			return known
		}
		out.text = t == "string"
	case []any:
		for _, branch := range t {
			if branch == "null" {
				out.nullable = true
			}
		}
		for _, branch := range t {
			if branch != "null" {
				inner := *shapeOf(branch, named)
				inner.nullable = out.nullable
				return &inner // the catalogue's unions are of null and one more
			}
		}
	case map[string]any:
		logical, _ := t["logicalType"].(string)
		out.time = strings.HasPrefix(logical, "timestamp-")
		out.text = t["type"] == "string"
		if name, ok := t["name"].(string); ok {
			named[name] = out
			if space, ok := t["namespace"].(string); ok {
				named[space+"."+name] = out
			}
		}
		switch inner := t["type"].(type) {
		case map[string]any, []any:
			return shapeOf(inner, named)
		}
		if elements, ok := t["items"]; ok {
			out.items = shapeOf(elements, named)
		}
		fields, _ := t["fields"].([]any)
		for _, f := range fields {
			f, _ := f.(map[string]any)
			name, _ := f["name"].(string)
			if out.fields == nil {
				out.fields = map[string]*shape{}
			}
			out.fields[name] = shapeOf(f["type"], named)
			out.names = append(out.names, name)
			if _, has := f["default"]; !has {
				out.needed = append(out.needed, name)
			}
		}
	}
	return out
}

// value gives a value of CEL its JSON form. Text where the schema has a time is read as a time of the zone; nil is to leave it out.
func (s *shape) value(v any, zone *time.Location) (any, error) {
	switch x := v.(type) {
	case time.Time:
		t, err := parseTime(x, zone)
		return event.FormatTime(t), err
	case string:
		if s == nil || !s.time {
			return x, nil
		}
		t, err := parseTime(x, zone)
		if err != nil || t.IsZero() {
			return nil, err
		}
		return event.FormatTime(t), nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			var err error
			if out[i], err = s.item().value(x[i], zone); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k := range x {
			var err error
			if out[k], err = s.field(k).value(x[k], zone); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return out, nil
	case nil, bool, int64, float64, []byte:
		return v, nil
	}
	return nil, fmt.Errorf("%T has no JSON form", v)
}

func (s *shape) item() *shape {
	if s == nil {
		return nil
	}
	return s.items
}

func (s *shape) field(name string) *shape {
	if s == nil {
		return nil
	}
	return s.fields[name]
}

// check judges an event as the HTTP role will, gives it the subject that follows from its data where the spec names none, and returns its
// data as it would be stored, in JSON.
func (c *contract) check(tenant string, e *Event) (stored []byte, err error) {
	full := event.Event{TenantID: tenant, ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Origin: e.Origin}
	if err := full.CheckAttributes(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("encode the data: %w", err)
	}
	body, err := c.schema.EncodeJSON(data)
	if err != nil {
		return nil, err
	}
	if err := c.schema.CheckBounds(body); err != nil {
		return nil, err
	}
	if r := full.Adopt(c.schema, body); r != nil {
		return nil, r
	}
	if e.Subject == "" {
		e.Subject, e.implied = full.Subject, true
	}
	return c.schema.RenderJSON(body)
}
