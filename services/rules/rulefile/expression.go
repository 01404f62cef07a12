package rulefile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
)

var namePattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// ValidName reports whether s can be the name of a file's rule.
func ValidName(s string) bool { return len(s) <= 63 && namePattern.MatchString(s) }

var keyPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// ValidKey reports whether s can be the key of a map of expressions, or a variable.
func ValidKey(s string) bool { return keyPattern.MatchString(s) }

// Assignment is a key or field and the expression that gives its value.
type Assignment struct {
	Key  string
	Expr *expr.Program

	Line int
}

// Assignments reads a map from names to expressions.
func (r *Reader) Assignments(n *yaml.Node, where string, most int) []Assignment {
	if n.Kind != yaml.MappingNode {
		r.Problem(n.Line, CodeWrongKind, "%s must be a map from names to expressions", where)
		return nil
	}
	if len(n.Content)/2 > most {
		r.Problem(n.Line, CodeTooLarge, "%s has %d entries, more than %d", where, len(n.Content)/2, most)
		return nil
	}
	if len(n.Content) == 0 {
		r.Problem(n.Line, CodeEmpty, "%s is an empty map; name at least one key", where)
	}
	var out []Assignment
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || !keyPattern.MatchString(k.Value) {
			r.Problem(k.Line, CodeInvalidName, "the key %q of %s is not 1 to 63 of a-z, 0-9 and _, a letter first", Cut(k.Value), where)
			continue
		}
		if p := r.Expression(v, where+"."+k.Value, ""); p != nil {
			out = append(out, Assignment{k.Value, p, k.Line})
		} else {
			r.Broken = append(r.Broken, k.Value)
		}
	}
	slices.SortFunc(out, func(a, b Assignment) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Expression compiles a scalar; where the reader has Templates, a map {text: …} too. want is the type that the result must have, if it is
// known before a run.
func (r *Reader) Expression(n *yaml.Node, where, want string) *expr.Program {
	if r.Templates && n.Kind == yaml.MappingNode {
		return r.template(n, where, want)
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!timestamp" || n.Tag == "!!binary" {
		r.Problem(n.Line, CodeWrongKind, "%s must be one CEL expression; write a literal time as timestamp('2026-01-31T00:00:00Z')", where)
		return nil
	}
	return r.compile(n, n.Value, where, want)
}

// compile compiles a source that stands in a node.
func (r *Reader) compile(n *yaml.Node, src, where, want string) *expr.Program {
	// Counted before it is compiled: half a megabyte holds fifty thousand expressions, which take long to compile and do not fit in memory.
	if *r.Left--; *r.Left < 0 {
		if *r.Left == -1 {
			r.Problem(n.Line, CodeTooLarge, "the bundle has more than %d expressions; fewer rules or fields", MaxExpressions)
		}
		return nil
	}
	at := Location{where, n.Line, n.Column}
	p, err := expr.CompileIn(r.Edition, src, r.Variables...)
	if ce := (*expr.CompileError)(nil); errors.As(err, &ce) {
		for _, problem := range ce.Problems {
			hint := ""
			if strings.HasPrefix(problem.Message, "undeclared reference") {
				hint = fmt.Sprintf("; expressions see %s, and a literal text needs quotes of its own, as in '\"hot\"'", listed(r.Variables))
			}
			line, column := at.Find(r.Text, src, problem)
			r.ProblemAt(line, column, CodeInvalidExpression, "%s: %s%s", where, problem.Message, hint)
		}
		return nil
	} else if err != nil {
		r.Problem(n.Line, CodeInvalidExpression, "%s: %v", where, err)
		return nil
	}
	if t := p.ResultType(); want != "" && t != want && t != "dyn" {
		r.Problem(n.Line, CodeNotAssignable, "%s gives %s and must give %s", where, t, strings.Replace(want, "google.protobuf.Timestamp", "a time", 1))
	}
	r.Locations[p] = at
	for _, f := range p.Fields("event") {
		if !slices.Contains(expr.EventFields(), f) {
			r.Problem(n.Line, CodeUnknownField, "%s: event has no field %q; it has %s", where, f, strings.Join(expr.EventFields(), ", "))
		}
	}
	return p
}

// Cut keeps hostile names out of terminals.
func Cut(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// listed is "a, b and c".
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
