package ruleset

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// types checks every expression against each type of event that the rule hears: an expression that fits one need not fit the other. What
// is found on all of them is told once.
func (v *validator) types(triggers map[string]*record) error {
	v.typed = map[*expr.Program][]expr.Typed{}
	if len(triggers) == 0 || len(triggers) < len(v.rule.On) {
		return nil
	}
	found := map[rulefile.Problem][]string{} // the types of events it was found on
	for _, typ := range v.rule.On {
		vars := map[string]expr.Type{"data": dataType(typ, triggers), "event": eventType(typ, v.rule.On), "state": v.state}
		proven, err := v.one(v.rule.When, vars, nil, true, typ, found)
		if err != nil {
			return err
		}
		for _, p := range v.rule.programs() {
			if p != v.rule.When {
				if _, err := v.one(p, vars, proven, false, typ, found); err != nil {
					return err
				}
			}
		}
	}
	for p, on := range found {
		if len(on) < len(v.rule.On) {
			p.Message += " (on " + strings.Join(on, ", ") + ")"
		}
		v.problems = append(v.problems, p)
	}
	for _, p := range v.rule.programs() {
		want := ""
		switch v.rule.locations[p].Where {
		case "when":
			want = "bool"
		case "subject":
			want = "string"
		}
		for _, t := range v.results(p) {
			if inner := strings.TrimSuffix(strings.TrimPrefix(t, "wrapper("), ")"); want != "" && inner != want && t != "dyn" && p.ResultType() == "dyn" {
				v.problem(v.rule.locations[p].Line, rulefile.CodeNotAssignable, "%s gives %s and must give %s", v.rule.locations[p].Where, describe(t), describe(want))
				break
			}
		}
	}
	return nil
}

// one checks one expression on one type of event.
func (v *validator) one(p *expr.Program, vars map[string]expr.Type, proven []string, truth bool, typ string, found map[rulefile.Problem][]string) ([]string, error) {
	if p == nil {
		return nil, nil
	}
	location := v.rule.locations[p]
	tell := func(problem expr.Problem, code string, warning bool) {
		line, column := location.Find(v.text, p.Source(), problem)
		told := rulefile.Problem{File: v.rule.File, Line: line, Column: column, Rule: v.rule.Name, Code: code, Warning: warning, Message: location.Where + ": " + problem.Message}
		found[told] = append(found[told], typ)
	}
	typed, err := expr.CheckTypes(editionOf(Semantics), p.Source(), vars, proven, truth)
	var wrong *expr.CompileError
	switch {
	case errors.As(err, &wrong):
		for _, problem := range wrong.Problems {
			tell(problem, codeOf(problem.Message), false)
		}
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("check %s of rule %s: %w", location.Where, v.rule.Name, err)
	}
	for _, w := range typed.Warnings {
		tell(w, rulefile.CodeNullable, true)
	}
	if why := constant(p); why != "" {
		tell(expr.Problem{Message: "it fails whatever the event holds: " + why}, rulefile.CodeInvalidExpression, false)
	}
	v.typed[p] = append(v.typed[p], typed)
	return typed.Proven, nil
}

// constant tells why an expression that reads nothing of the event and the state fails; "" when it does not, or reads something.
func constant(p *expr.Program) string {
	for _, variable := range []string{"data", "event", "state"} {
		if p.Reads(variable) {
			return ""
		}
	}
	_, err := p.Eval(nil)
	var failed *expr.EvalError
	if !errors.As(err, &failed) || failed.Code == expr.CodeDeadline || failed.Code == expr.CodeCost {
		return "" // a slow machine says nothing about the expression, and costs are told where the budgets are
	}
	return failed.Error()
}

func codeOf(message string) string {
	switch {
	case strings.Contains(message, "division by zero"):
		return rulefile.CodeInvalidExpression
	case strings.Contains(message, unset):
		return rulefile.CodeStateUnset
	case strings.Contains(message, " has no such field"):
		return rulefile.CodeUnknownField
	}
	return rulefile.CodeTypeMismatch
}

const unset = "no rule of the bundle sets it"

// stateType has the keys that rules set. Values are whatever a rule gave them; before the first, a key is absent. With a rule that can't be
// read, any key may be set.
func stateType(rules []*Rule, whole bool) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "state", Lacks: unset, Fields: map[string]expr.Type{}}
	for _, r := range rules {
		for _, a := range r.Set {
			t.Fields[a.Key] = expr.Type{Kind: expr.Any, Maybe: true}
		}
	}
	if !whole {
		return expr.Type{}
	}
	return t
}

// eventType is the envelope of an event of a type, of which on are all that the rule hears.
func eventType(typ string, on []string) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "event", Fields: map[string]expr.Type{}}
	for _, f := range expr.EventFields() {
		t.Fields[f] = expr.Type{Kind: expr.Text}
	}
	for _, f := range []string{"hops", "position", "sequence"} {
		t.Fields[f] = expr.Type{Kind: expr.Int}
	}
	for _, f := range []string{"recorded_time", "time"} {
		t.Fields[f] = expr.Type{Kind: expr.Time}
	}
	t.Fields["type"] = expr.Type{Kind: expr.Text, Known: typ, Symbols: on}
	t.Fields["origin"] = expr.Type{Kind: expr.Text, Symbols: []string{
		string(event.OriginLive), string(event.OriginImport), string(event.OriginBackfill), string(event.OriginRedrive)}}
	return t
}

// dataType is the data of an event of a type. What only other types have that the rule hears is absent from it.
func dataType(typ string, triggers map[string]*record) expr.Type {
	t := triggers[typ].object(typ)
	for _, other := range slices.Sorted(maps.Keys(triggers)) {
		for _, f := range triggers[other].Fields {
			if _, own := t.Fields[f.Name]; !own {
				t.Fields[f.Name] = expr.Type{Kind: expr.Any, Maybe: true}
			}
		}
	}
	return t
}

func (r *record) object(name string) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: name, Fields: map[string]expr.Type{}}
	for _, f := range r.Fields {
		t.Fields[f.Name] = avroType(f.Type)
	}
	return t
}

// avroType is the type of a value that avro.Schema.Decode gives. What can be of several kinds, and a type that stands elsewhere in the
// schema, is any.
func avroType(raw json.RawMessage) expr.Type {
	var branches []json.RawMessage
	if json.Unmarshal(raw, &branches) == nil {
		var t expr.Type
		nullable, others := false, 0
		for _, b := range branches {
			if string(b) == `"null"` {
				nullable = true
				continue
			}
			others++
			t = avroType(b)
		}
		if others != 1 {
			t = expr.Type{}
		}
		t.Nullable = nullable
		return t
	}
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return expr.Type{Kind: map[string]expr.Kind{"boolean": expr.Bool, "int": expr.Int, "long": expr.Int, "float": expr.Double, "double": expr.Double,
			"bytes": expr.Bytes, "string": expr.Text}[name]}
	}
	var complex struct {
		Type    json.RawMessage `json:"type"`
		Logical string          `json:"logicalType"`
		Name    string          `json:"name"`
		Fields  []field         `json:"fields"`
		Items   json.RawMessage `json:"items"`
		Symbols []string        `json:"symbols"`
	}
	if json.Unmarshal(raw, &complex) != nil {
		return expr.Type{}
	}
	switch complex.Logical {
	case "decimal":
		return expr.Type{Kind: expr.Amount}
	case "date", "timestamp-millis", "timestamp-micros":
		return expr.Type{Kind: expr.Time}
	case "time-millis", "time-micros", "uuid":
		return expr.Type{Kind: expr.Text}
	}
	switch string(complex.Type) {
	case `"record"`:
		return (&record{Fields: complex.Fields}).object(complex.Name)
	case `"enum"`:
		return expr.Type{Kind: expr.Text, Symbols: complex.Symbols}
	case `"array"`:
		elem := avroType(complex.Items)
		return expr.Type{Kind: expr.List, Elem: &elem}
	case `"fixed"`:
		return expr.Type{Kind: expr.Bytes}
	}
	return avroType(complex.Type)
}

// describe spells a type of CEL out.
func describe(t string) string {
	inner, nullable := strings.CutPrefix(t, "wrapper(")
	if nullable {
		return describe(strings.TrimSuffix(inner, ")")) + " or null"
	}
	if t == "google.protobuf.Timestamp" {
		return "time"
	}
	return t
}
