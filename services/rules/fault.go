package rules

import (
	"slices"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Whose fault a failure is. Data alone must not trip a rule: five leads without a phone in a row, or five with an employee count of zero,
// must not switch a rule off for all the others.
//
// From semantics 4 on, a failure counts toward a trip only if no value had a part in it: an expression that fails and reads neither data,
// state nor event (1 / 0), a type to emit that has no schema, rules that feed each other. Whatever reads a value is an outcome of that rule
// and event, because on other values it need not fail. What would fail on every value, such as a misspelt field or a text compared with a
// number, is refused when the bundle is published.
//
// Under semantics 3, nulls, parts that are absent and texts that can't be converted are explained by the event's values, and arithmetic,
// operands of kinds that do not go together, state that no rule sets and fields that no schema has count.
//
// Which of the two it is follows from the source, the event and the state alone, so that a replay decides the same.

// explained reports whether the values of the event explain why a program failed.
func (e *evaluation) explained(p *expr.Program, code string) bool {
	switch {
	case e.in.Semantics < 3:
		return false
	case e.in.Semantics >= 4:
		return varies(p)
	}
	switch code {
	case expr.CodeFailed: // a text that is no number, a zone that does not exist
		return varies(p)
	case expr.CodeMissingKey: // an index, or a field that must be asked for with has()
		return varies(p) && !e.unknown(p)
	case expr.CodeType:
		return e.readsNull(p)
	}
	return false
}

// explainedBy reports whether one of the programs that made a value explains why the value was not taken.
func (e *evaluation) explainedBy(since int64, made []rulefile.Assignment) bool {
	return e.in.Semantics >= since && slices.ContainsFunc(made, func(a rulefile.Assignment) bool { return varies(a.Expr) })
}

// varies reports whether a program reads anything that is not the same on every event.
func varies(p *expr.Program) bool {
	return p.Reads("data") || p.Reads("state") || p.Reads("event") || p.Reads("windows") || p.Reads("vars")
}

// unknown reports whether a program reads a field that the event's schema has not, or state that no rule sets.
func (e *evaluation) unknown(p *expr.Program) bool {
	data, _ := e.vars["data"].(map[string]any) // Evaluate put it there
	state, _ := e.vars["state"].(map[string]any)
	lacks := func(fields map[string]any, known func(string) bool) func(string) bool {
		return func(name string) bool {
			_, there := fields[name]
			return !there && !known(name)
		}
	}
	return slices.ContainsFunc(p.Fields("data"), lacks(data, func(string) bool { return false })) ||
		slices.ContainsFunc(p.Fields("state"), lacks(state, e.in.Set.Sets))
}

// readsNull reports whether a program reads a field that is null, or holds one.
func (e *evaluation) readsNull(p *expr.Program) bool {
	if !p.Reads("data") {
		return false
	}
	data, _ := e.vars["data"].(map[string]any)
	if fields := p.Fields("data"); len(fields) > 0 {
		return slices.ContainsFunc(fields, func(name string) bool {
			v, there := data[name]
			return there && holdsNull(v)
		})
	}
	return holdsNull(data)
}

// holdsNull looks for a null in a value that was decoded, which is as deep as its schema at most.
func holdsNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, holdsNull)
	case map[string]any:
		for _, x := range v {
			if holdsNull(x) {
				return true
			}
		}
	}
	return false
}
