package ruleset

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

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Catalogue finds the newest schema of an event type; registry.ErrUnknown says that there is none. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// Validate checks a bundle as it must be before it is published: everything that Compile checks, and against the schemas that
// types and fields exist and that expressions fit the fields. All problems are answered at once; Problems.Err tells whether any
// is more than a warning. The error is one of the catalogue, not of the bundle.
func Validate(ctx context.Context, files []File, catalogue Catalogue) (rulefile.Problems, error) {
	set, problems := Compile(files)
	texts := map[string]string{}
	for _, f := range files {
		texts[f.Name] = f.Text
	}
	whole := set != nil
	if set == nil {
		// What could be read is checked against the schemas all the same: all problems at once.
		set = &Set{byType: map[string][]*Rule{}}
		if len(bounds(files)) == 0 {
			left := rulefile.MaxExpressions
			for _, f := range files {
				if r, _ := parseFile(f, editionOf(Semantics), &left); r != nil {
					set.Rules = append(set.Rules, r)
				}
			}
		}
	}
	known := map[string]*record{}
	lookup := func(typ string) (*record, error) {
		if rec, ok := known[typ]; ok {
			return rec, nil
		}
		_, schema, err := catalogue.ByType(ctx, typ)
		switch {
		case errors.Is(err, registry.ErrUnknown):
			known[typ] = nil
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("find the schema of %s: %w", typ, err)
		}
		rec, err := readRecord(schema.Text())
		if err != nil {
			return nil, fmt.Errorf("read the schema of %s: %w", typ, err)
		}
		known[typ] = rec
		return rec, nil
	}
	state := stateType(set.Rules, whole)
	for _, r := range set.Rules {
		v := &validator{rule: r, lookup: lookup, text: texts[r.File], state: state, like: func(typ string) string { return nearestType(ctx, catalogue, typ) }}
		if err := v.check(); err != nil {
			return nil, err
		}
		problems = append(problems, v.problems...)
	}
	// A rule that was checked with the types of its events tells it by line and column.
	problems = slices.DeleteFunc(problems, func(p rulefile.Problem) bool { return p.Code == rulefile.CodeStateUnset && p.Warning })
	problems = append(problems, budgets(set)...)
	return problems.Sorted(), nil
}

// nearestType is the type of the catalogue that one was probably meant to be. A catalogue that can't be listed suggests none.
func nearestType(ctx context.Context, catalogue Catalogue, typ string) string {
	all, ok := catalogue.(interface {
		Types(context.Context) ([]string, error)
	})
	if !ok {
		return ""
	}
	types, err := all.Types(ctx)
	if err != nil {
		return "" // only for the suggestion
	}
	return expr.Nearest(typ, types)
}

type validator struct {
	rule     *Rule
	lookup   func(string) (*record, error)
	text     string                  // of the rule's file
	state    expr.Type               // what the bundle's rules set
	like     func(typ string) string // the type that a misspelt one was probably meant to be; empty: none
	problems rulefile.Problems
	typed    map[*expr.Program][]expr.Typed // what the check against each event's types found; empty where it could not be made
}

func (v *validator) problem(line int, code, format string, args ...any) {
	v.problems = append(v.problems, rulefile.Problem{File: v.rule.File, Line: line, Rule: v.rule.Name, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) check() error {
	triggers := map[string]*record{}
	for _, t := range v.rule.On {
		rec, err := v.lookup(t)
		if err != nil {
			return err
		}
		if rec == nil {
			v.problem(v.rule.line, rulefile.CodeUnknownType, "on: no schema has the type %s; %s", rulefile.Cut(t), v.typeHint(t))
			continue
		}
		triggers[t] = rec
	}
	if err := v.types(triggers); err != nil {
		return err
	}
	for _, e := range v.rule.Emit {
		if e.Type == "" {
			continue
		}
		rec, err := v.lookup(e.Type)
		if err != nil {
			return err
		}
		if rec == nil {
			v.problem(e.line, rulefile.CodeUnknownType, "emit: no schema has the type %s; %s", rulefile.Cut(e.Type), v.typeHint(e.Type))
			continue
		}
		v.emit(e, rec)
		v.subject(e, rec, triggers)
	}
	return nil
}

// typeHint is what to do about a type that no schema has.
func (v *validator) typeHint(typ string) string {
	if near := v.like(typ); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "is it spelled right, was its schema pushed? docs/rules.md lists the types of the catalogue"
}

func (v *validator) emit(e Emit, rec *record) {
	given := map[string]bool{}
	for _, name := range e.broken {
		given[name] = true // what is wrong with it is told already
	}
	if e.Subject != nil {
		for _, path := range v.mayBe(e.Subject) {
			v.problems = append(v.problems, rulefile.Problem{File: v.rule.File, Line: v.rule.locations[e.Subject].Line, Rule: v.rule.Name, Code: rulefile.CodeNullable, Warning: true, Message: fmt.Sprintf(
				"the subject of %s must be a text and %s may be null: the rule fails on the event then; test it first, or give another value, as in %s == null ? … : %s", e.Type, path, path, path)})
		}
	}
	for _, a := range e.Data {
		given[a.Key] = true
		f := rec.field(a.Key)
		if f == nil {
			hint := "it has " + strings.Join(rec.names(), ", ")
			if near := expr.Nearest(a.Key, rec.names()); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			v.problem(a.Line, rulefile.CodeUnknownField, "%s has no field %q; %s", e.Type, a.Key, hint)
			continue
		}
		for _, t := range v.results(a.Expr) {
			if !f.takes(t) {
				v.problem(a.Line, rulefile.CodeNotAssignable, "%s.%s is %s and can't take %s", e.Type, a.Key, f.describe(), describe(t))
				break
			}
		}
		if slices.Contains(f.kinds, "decimal") && slices.Contains(v.results(a.Expr), "string") && a.Expr.Reads("data") {
			v.problems = append(v.problems, rulefile.Problem{File: v.rule.File, Line: a.Line, Rule: v.rule.Name, Code: rulefile.CodeNotAssignable, Warning: true, Message: fmt.Sprintf(
				"%s.%s is a decimal and is given a text, which fails when it has too many digits; give the number, which is rounded, as in data.value * 1.1", e.Type, a.Key)})
		}
		if f.nullable() {
			continue
		}
		for _, path := range v.mayBe(a.Expr) {
			v.problems = append(v.problems, rulefile.Problem{File: v.rule.File, Line: a.Line, Rule: v.rule.Name, Code: rulefile.CodeNullable, Warning: true, Message: fmt.Sprintf(
				"%s.%s must not be null and %s may be: the rule fails on the event then; give another value, as in %s == null ? … : %s", e.Type, a.Key, path, path, path)})
		}
	}
	for _, f := range rec.Fields {
		if !given[f.Name] && f.Default == nil && !f.nullable() {
			v.problem(e.line, rulefile.CodeMissingField, "%s needs the field %q (%s)", e.Type, f.Name, f.describe())
		}
	}
}

// results are the types that an expression gives, on each type of event that was checked.
func (v *validator) results(p *expr.Program) []string {
	var out []string
	for _, t := range v.typed[p] {
		if !slices.Contains(out, t.Result) {
			out = append(out, t.Result)
		}
	}
	if out == nil {
		out = []string{p.ResultType()}
	}
	return out
}

func (v *validator) mayBe(p *expr.Program) []string {
	var out []string
	for _, t := range v.typed[p] {
		for _, path := range t.MayBe {
			if !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	return out
}

// record is as much of an Avro schema as the check needs.
type record struct {
	Fields  []field         `json:"fields"`
	Subject json.RawMessage `json:"event_subject"` // a text such as lead/{lead_id}, or a list of them
}

type field struct {
	Name    string           `json:"name"`
	Type    json.RawMessage  `json:"type"`
	Default *json.RawMessage `json:"default"`

	kinds []string // branches: Avro primitive, or array, record, enum; a logical type stands for itself
}

func readRecord(text []byte) (*record, error) {
	r := &record{}
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

func (r *record) field(name string) *field {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return &r.Fields[i]
		}
	}
	return nil
}

func (r *record) names() []string {
	names := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		names[i] = f.Name
	}
	return names
}

func (f *field) nullable() bool { return slices.Contains(f.kinds, "null") }

func (f *field) describe() string { return strings.Join(f.kinds, " or ") }

// takes reports whether a field can hold a result of a CEL type. What only a run can tell passes.
func (f *field) takes(cel string) bool {
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
