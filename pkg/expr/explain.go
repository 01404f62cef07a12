package expr

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

var (
	undefinedField = regexp.MustCompile(`^undefined field '(.*)'$`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)
	operatorName   = regexp.MustCompile(`^!?_?([^_a-zA-Z]+)_$`)
	numeral        = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
)

// explain turns what the checker says into what is wrong and what to write instead.
func (c *typing) explain(tree *ast.AST, issues *cel.Issues) *CompileError {
	nodes := map[int64]ast.Expr{}
	if tree != nil {
		ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) { nodes[e.ID()] = e }))
	}
	for _, e := range issues.Errors() {
		e.Message = c.sentence(e, nodes[e.ExprID])
	}
	return compileError(issues)
}

func (c *typing) sentence(e *common.Error, node ast.Expr) string {
	if m := undefinedField.FindStringSubmatch(e.Message); m != nil {
		return c.noField(m[1], node)
	}
	m := noOverload.FindStringSubmatch(e.Message)
	if m == nil || node == nil || node.Kind() != ast.CallKind {
		return e.Message
	}
	name := m[1]
	if op := operatorName.FindStringSubmatch(name); op != nil {
		name = op[1]
	} else if name = strings.TrimPrefix(name, "@"); name == "_?_:_" {
		name = "? :"
	}
	if function, table, of := strings.Cut(m[1], " "); of && strings.HasPrefix(function, "@lookup") {
		key, _, _ := strings.Cut(strings.Trim(m[2], "()"), ", ")
		return fmt.Sprintf("the key of the lookup %s is %s and is given %s", table, c.kinds(keyType(c.reference.lookups[table])), c.kinds(key))
	}
	call := node.AsCall()
	given := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(m[2], "("), ")"), ").(", ", ")
	given = strings.TrimPrefix(given, referenceType.TypeName()+", ")
	text := fmt.Sprintf("%s does not take %s", name, c.kinds(given))
	if hint := c.hint(name, given, call); hint != "" {
		text += "; " + hint
	}
	return text
}

func (c *typing) noField(field string, node ast.Expr) string {
	text := fmt.Sprintf("there is no field %q", clip(field))
	if node == nil || node.Kind() != ast.SelectKind {
		return text
	}
	path := c.spelled(node.AsSelect().Operand())
	t, ok := c.typeOf(node.AsSelect().Operand())
	if !ok || t.Kind != Object {
		return text
	}
	of := t.Name
	if of == "" {
		of = path
	}
	lacks := t.Lacks
	if lacks == "" {
		lacks = of + " has no such field"
	}
	names := slices.Sorted(maps.Keys(t.Fields))
	if near := Nearest(field, names); near != "" {
		return fmt.Sprintf("%s.%s: %s; did you mean %s.%s?", path, clip(field), lacks, path, near)
	}
	if len(names) == 0 {
		return fmt.Sprintf("%s.%s: %s", path, clip(field), lacks)
	}
	return fmt.Sprintf("%s.%s: %s; it has %s", path, clip(field), lacks, strings.Join(names, ", "))
}

var spelled = strings.NewReplacer("string", "a text", "int", "an integer", "uint", "an unsigned integer", "double", "a double", "bool", "a boolean", "decimal", "a decimal",
	"timestamp", "a time", "duration", "a duration", "bytes", "bytes", "null", "null")

// kinds spells the checker's types out.
func (c *typing) kinds(given string) string {
	parts := strings.Split(given, ", ")
	if strings.ContainsAny(given, "[") || strings.Count(given, "(") != strings.Count(given, "wrapper(") {
		return given // lists and maps: the checker's words are the clearest
	}
	for i, p := range parts {
		inner, nullable := strings.CutPrefix(p, "wrapper(")
		inner = strings.TrimSuffix(inner, ")")
		switch {
		case strings.HasPrefix(inner, "neuronx."):
			inner = "the record " + strings.TrimPrefix(inner, "neuronx.")
		case inner == "uint":
			inner = "an unsigned integer"
		default:
			inner = spelled.Replace(inner)
		}
		if nullable {
			inner += " (or null)"
		}
		parts[i] = inner
	}
	return strings.Join(parts, " and ")
}

// hint says what to write instead.
func (c *typing) hint(name, given string, call ast.CallExpr) string {
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	has := func(kind string) bool { return strings.Contains(given, kind) }
	compares := slices.Contains([]string{"<", "<=", ">", ">=", "==", "!="}, name)
	number := has("int") || has("double") || has("decimal")
	for i, o := range operands {
		if o.Kind() != ast.LiteralKind || len(operands) != 2 {
			continue
		}
		other := pathOf(operands[1-i])
		if other == "" {
			other = "the other side"
		}
		switch v := o.AsLiteral().(type) {
		case types.String:
			if (compares || name != "+") && number && numeral.MatchString(string(v)) {
				return fmt.Sprintf("%s is a number: write %s without quotes", other, v)
			}
		case types.Int, types.Uint, types.Double:
			if compares && has("string") {
				return fmt.Sprintf("%s is a text: write \"%v\" in quotes, or make a number of it, as in int(%s)", other, v.Value(), other)
			}
		}
	}
	switch {
	case name == "+" && has("string"):
		return "join texts by string(x), as in \"score \" + string(data.score)"
	case name == "in" && number && has("string"):
		return "what is looked for and what is in the list must be of one kind"
	case compares && has("string") && number:
		return "make both of one kind by int(x), decimal(x) or string(x)"
	case compares && has("timestamp") && has("string"):
		return `write a time as timestamp("2026-01-31T00:00:00Z")`
	case has("int") && has("double"):
		return "make both of one kind by double(x) or int(x), or write 1.0 for 1"
	case name == "? :":
		return "both sides of the colon must be of one kind, and what stands before ? must be true or false"
	case slices.Contains([]string{"&&", "||", "!"}, name):
		return "it takes true and false; compare first, as in data.x != null"
	case has("duration"):
		return `write a duration as duration("48h")`
	}
	return ""
}
