package typecheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// Catalogue finds the newest schema of an event type; registry.ErrUnknown says that there is none. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// Schemas reads the records of a catalogue, each once.
type Schemas struct {
	catalogue Catalogue
	known     map[string]*Record
}

// NewSchemas reads from a catalogue.
func NewSchemas(catalogue Catalogue) *Schemas {
	return &Schemas{catalogue, map[string]*Record{}}
}

// Find is the record of a type; nil: no schema has it. The error is one of the catalogue.
func (s *Schemas) Find(ctx context.Context, typ string) (*Record, error) {
	if rec, ok := s.known[typ]; ok {
		return rec, nil
	}
	_, schema, err := s.catalogue.ByType(ctx, typ)
	switch {
	case errors.Is(err, registry.ErrUnknown):
		s.known[typ] = nil
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	rec, err := readRecord(schema.Text())
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", typ, err)
	}
	for _, p := range schema.Personal() {
		top, _, _ := strings.Cut(p.Path, ".")
		rec.personal = append(rec.personal, strings.TrimSuffix(top, "[]"))
	}
	s.known[typ] = rec
	return rec, nil
}

// Hint is what to do about a type that no schema has. A catalogue that can't be listed suggests no other one.
func (s *Schemas) Hint(ctx context.Context, typ string) string {
	all, ok := s.catalogue.(interface {
		Types(context.Context) ([]string, error)
	})
	if ok {
		if types, err := all.Types(ctx); err == nil { // only for the suggestion
			if near := expr.Nearest(typ, types); near != "" {
				return fmt.Sprintf("did you mean %s?", near)
			}
		}
	}
	return "is it spelled right, was its schema pushed? docs/rules.md lists the types of the catalogue"
}

// Record is as much of an Avro schema as the check needs.
type Record struct {
	Fields  []Field         `json:"fields"`
	Reach   string          `json:"reach"`         // field that names the channel over which a command reaches a person; empty: it reaches nobody
	Subject json.RawMessage `json:"event_subject"` // a text such as lead/{lead_id}, or a list of them

	personal []string // fields in which personal data stands
}

// PersonalRead is a personal field that an expression reads of the data; empty: it reads none. An expression that reads the data as a whole reads
// all of it.
func (r *Record) PersonalRead(p *expr.Program) string {
	if p == nil || len(r.personal) == 0 {
		return ""
	}
	if p.ReadsWhole("data") {
		return "data"
	}
	for _, f := range p.Fields("data") {
		if slices.Contains(r.personal, f) {
			return "data." + f
		}
	}
	return ""
}

// Field is one field of a record.
type Field struct {
	Name    string           `json:"name"`
	Type    json.RawMessage  `json:"type"`
	Default *json.RawMessage `json:"default"`

	kinds []string // branches: Avro primitive, or array, record, enum; a logical type stands for itself
}

func readRecord(text []byte) (*Record, error) {
	r := &Record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	for i := range r.Fields {
		r.Fields[i].kinds = kinds(r.Fields[i].Type)
	}
	return r, nil
}

func kinds(raw json.RawMessage) []string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return []string{name}
	}
	var branches []json.RawMessage
	if json.Unmarshal(raw, &branches) == nil {
		var out []string
		for _, b := range branches {
			out = append(out, kinds(b)...)
		}
		return out
	}
	var complex struct {
		Type    json.RawMessage `json:"type"`
		Logical string          `json:"logicalType"`
	}
	if json.Unmarshal(raw, &complex) != nil {
		return []string{"unknown"}
	}
	if complex.Logical != "" {
		return []string{complex.Logical}
	}
	return kinds(complex.Type)
}

// Field finds a field by its name; nil: there is none.
func (r *Record) Field(name string) *Field {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return &r.Fields[i]
		}
	}
	return nil
}

// Names lists the fields in the order of the schema.
func (r *Record) Names() []string {
	names := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		names[i] = f.Name
	}
	return names
}

// Nullable reports whether the field takes null.
func (f *Field) Nullable() bool { return slices.Contains(f.kinds, "null") }

// Required reports whether an event must have the field.
func (f *Field) Required() bool { return f.Default == nil && !f.Nullable() }

// Describe spells the types of the field out.
func (f *Field) Describe() string { return strings.Join(f.kinds, " or ") }

// Takes reports whether a field can hold a result of a CEL type. What only a run can tell passes.
func (f *Field) Takes(cel string) bool {
	if inner, nullable := strings.CutPrefix(cel, "wrapper("); nullable {
		cel = strings.TrimSuffix(inner, ")") // that it may be null is told apart
	}
	if cel == "dyn" || strings.Contains(cel, "any") {
		return true
	}
	for _, k := range f.kinds {
		if kindTakes(k, cel) {
			return true
		}
	}
	return false
}

func kindTakes(kind, cel string) bool {
	base, _, _ := strings.Cut(cel, "(")
	switch kind {
	case "null":
		return base == "null_type" || base == "null"
	case "string", "uuid", "enum":
		return base == "string"
	case "decimal":
		return base == "decimal" || base == "string" || base == "int" || base == "uint"
	case "int", "long":
		return base == "int" || base == "uint"
	case "float", "double":
		return base == "double" || base == "int" || base == "uint"
	case "boolean":
		return base == "bool"
	case "bytes", "fixed":
		return base == "bytes"
	case "timestamp-micros", "timestamp-millis", "date":
		return base == "timestamp" || base == "google.protobuf.Timestamp" || base == "string"
	case "array":
		return base == "list"
	case "record", "map":
		return base == "map" || strings.HasPrefix(base, "neuronx.")
	}
	return true
}
