package expr

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Kind is the kind of a value that is known before a run.
type Kind int

// Kinds of values. Any is what only a run can tell.
const (
	Any Kind = iota
	Bool
	Int
	Double
	Text
	Bytes
	Time
	Amount // a Decimal
	List
	Map    // from texts
	Object // with the fields that it names and no others
)

// Type is what is known of a value before a run.
type Type struct {
	Kind     Kind
	Nullable bool
	Maybe    bool            // the field may be absent: reading it without has() fails then
	Elem     *Type           // of a list or map; nil: any
	Fields   map[string]Type // of an object
	Name     string          // of an object in messages, such as lead.created
	Lacks    string          // what is wrong with a field that an object has not; empty: it has no such field
	Symbols  []string        // the only texts there are; nil: any text
	Known    string          // the text it is sure to be; empty: not known

	reference *Reference // of the variable that Reference.Declare declares
}

// Typed is what a typed check found out.
type Typed struct {
	Result   string    // the type of the result as Program.ResultType has it
	MayBe    []string  // the paths, such as data.phone, whose null the result may be
	Warnings []Problem // what fails for some values: null operands, absent fields
	Proven   []string  // the paths that are sure to be there and not null when the result is true
}

// CheckTypes checks a source, which CompileIn accepts, against the types of its variables. Programs run over maps whatever is found here:
// only the check is typed, so that what was published keeps its meaning. Proven are paths that are known to be there and not null, and
// truth says that the source is a condition, which must be true or false. The error is *CompileError.
func CheckTypes(edition Edition, src string, vars map[string]Type, proven []string, truth bool) (Typed, error) {
	c := &typing{vars: vars, structs: map[string]Type{}, reference: vars[referenceVar].reference}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(vars)), func(name string) bool { return name == referenceVar })
	env, err := envOf(edition, nil)
	if err != nil {
		return Typed{}, err
	}
	options := []cel.EnvOption{cel.CustomTypeProvider(provider{env.CELTypeProvider(), c})}
	for _, name := range names {
		options = append(options, cel.Variable(name, c.cel(vars[name], name)))
	}
	if edition >= Edition3 {
		options = append(options, c.functions(src)...)
	}
	if env, err = env.Extend(options...); err != nil {
		return Typed{}, fmt.Errorf("extend CEL environment: %w", err)
	}
	var tree *ast.AST
	checked, issues := check(env, src, func(t *ast.AST) {
		tree = t
		c.bound, c.wrong = map[string]Type{}, nil // a source is read again where a decimal equals a number
		(&selections{typing: c, tree: t, next: ast.MaxID(t), factory: ast.NewExprFactory()}).rewrite(t.Expr(), false)
	})
	if issues.Err() != nil {
		e := c.explain(tree, issues)
		e.Problems = append(c.wrong, e.Problems...)
		return Typed{}, e
	}
	w := &nulls{typing: c, tree: tree, told: map[string]bool{}, wrong: c.wrong}
	known := paths{}
	for _, p := range proven {
		known[p] = true
	}
	w.walk(tree.Expr(), known)
	out := Typed{Result: checked.OutputType().String(), MayBe: w.mayBeNull(tree.Expr(), known)}
	if truth && len(out.MayBe) > 0 {
		w.unsafe(tree.Expr(), known)
	}
	if len(w.wrong) > 0 {
		return Typed{}, &CompileError{w.wrong}
	}
	out.Warnings, out.Proven = w.warnings, slices.Sorted(maps.Keys(w.whenTrue(tree.Expr())))
	return out, nil
}

// typing knows the types of variables and objects.
type typing struct {
	vars    map[string]Type
	structs map[string]Type // by the name that the checker knows an object by

	reference *Reference      // nil: names of lookups and calendars are not checked
	results   map[string]Type // of functions that give an object, by the names that the check knows them by
	bound     map[string]Type // of names that cel.bind binds to an object
	wrong     []Problem       // names that the reference lacks, columns that a default lacks
}

// cel is a type for the checker.
func (c *typing) cel(t Type, path string) *cel.Type {
	elem := func() *cel.Type {
		if t.Elem == nil {
			return cel.DynType
		}
		return c.cel(*t.Elem, path+"[]")
	}
	var out *cel.Type
	switch t.Kind {
	case Bool:
		out = cel.BoolType
	case Int:
		out = cel.IntType
	case Double:
		out = cel.DoubleType
	case Text:
		out = cel.StringType
	case Bytes:
		out = cel.BytesType
	case Time:
		out = cel.TimestampType
	case Amount:
		out = decimalType
	case List:
		out = cel.ListType(elem())
	case Map:
		out = cel.MapType(cel.StringType, elem())
	case Object:
		name := "neuronx." + path
		c.structs[name] = t
		out = cel.ObjectType(name)
	default:
		return cel.DynType
	}
	if t.Nullable {
		return cel.NullableType(out)
	}
	return out
}

// at is the type of a path from a variable.
func (c *typing) at(path string) (Type, bool) {
	parts := strings.Split(path, ".")
	t, ok := c.vars[parts[0]]
	for _, p := range parts[1:] {
		if !ok {
			return Type{}, false
		}
		switch t.Kind {
		case Object:
			t, ok = t.Fields[p]
		case Map:
			if t.Elem == nil {
				return Type{}, true
			}
			t = *t.Elem
		default:
			return Type{}, t.Kind == Any
		}
	}
	return t, ok
}

// provider answers the checker's questions for the fields of objects.
type provider struct {
	types.Provider
	*typing
}

// FindStructType implements types.Provider.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	if _, ours := p.structs[name]; ours {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if t, ours := p.structs[name]; ours {
		return slices.Sorted(maps.Keys(t.Fields)), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	t, ours := p.structs[name]
	if !ours {
		return p.Provider.FindStructFieldType(name, field)
	}
	f, ok := t.Fields[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: p.cel(f, strings.TrimPrefix(name, "neuronx.")+"."+field)}, true
}

// selections rewrites what a run over maps takes and the checker would not: data["x"] is data.x, and an object that is used as a whole,
// as in data.exists(k, …) or data[data.key], is a map.
type selections struct {
	*typing
	tree    *ast.AST
	next    int64
	factory ast.ExprFactory
}

func (s *selections) id(from int64) int64 {
	s.next++
	if r, ok := s.tree.SourceInfo().GetOffsetRange(from); ok {
		s.tree.SourceInfo().SetOffsetRange(s.next, r)
	}
	return s.next
}

// rewrite changes e and what is in it; selected says that a field of it is selected.
func (s *selections) rewrite(e ast.Expr, selected bool) {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if operand, field, ok := literalIndex(e); ok {
			if path := pathOf(operand); path != "" && s.selectable(path) {
				e.SetKindCase(s.factory.NewSelect(e.ID(), operand, field))
				s.rewrite(e, selected)
				return
			}
			s.rewrite(operand, true)
			if t, known := s.typeOf(operand); known && t.Kind == Object {
				e.SetKindCase(s.factory.NewSelect(e.ID(), operand, field))
				return
			}
		}
		if call.IsMemberFunction() {
			s.rewrite(call.Target(), false)
		}
		for _, a := range call.Args() {
			s.rewrite(a, false)
		}
		s.refer(e)
		if t, ok := s.results[e.AsCall().FunctionName()]; ok && t.Kind == Object && !selected {
			s.whole(e)
		}
		return
	case ast.SelectKind:
		s.rewrite(e.AsSelect().Operand(), true)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			s.rewrite(x, false)
		}
		return
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			s.rewrite(entry.AsMapEntry().Key(), false)
			s.rewrite(entry.AsMapEntry().Value(), false)
		}
		return
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			s.rewrite(f.AsStructField().Value(), false)
		}
		return
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, x := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			binds := c.IterVar() == unused && x == c.AccuInit()
			s.rewrite(x, binds)
			if binds {
				s.bind(c.AccuVar(), x)
			}
		}
		return
	}
	path := pathOf(e)
	if selected || path == "" || e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		return
	}
	if t, ok := s.typeOf(e); ok && t.Kind == Object {
		s.whole(e)
	}
}

// whole makes an object that is used as a whole a map.
func (s *selections) whole(e ast.Expr) {
	inner := s.id(e.ID())
	var whole ast.Expr
	switch e.Kind() {
	case ast.SelectKind:
		whole = s.factory.NewSelect(inner, e.AsSelect().Operand(), e.AsSelect().FieldName())
	case ast.CallKind:
		whole = s.factory.NewCall(inner, e.AsCall().FunctionName(), e.AsCall().Args()...)
	default:
		whole = s.factory.NewIdent(inner, e.AsIdent())
	}
	e.SetKindCase(s.factory.NewCall(e.ID(), "dyn", whole))
}

func (s *selections) selectable(path string) bool {
	t, ok := s.at(path)
	return ok && (t.Kind == Object || t.Kind == Map)
}

// literalIndex takes x["field"] apart.
func literalIndex(e ast.Expr) (operand ast.Expr, field string, ok bool) {
	call := e.AsCall()
	if call.FunctionName() != "_[_]" || len(call.Args()) != 2 || call.Args()[1].Kind() != ast.LiteralKind {
		return nil, "", false
	}
	name, ok := call.Args()[1].AsLiteral().(types.String)
	return call.Args()[0], string(name), ok
}

// pathOf is data.address.city for what is selected of a variable, with or without brackets; empty for everything else.
func pathOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if path := pathOf(e.AsSelect().Operand()); path != "" && !strings.Contains(e.AsSelect().FieldName(), ".") {
			return path + "." + e.AsSelect().FieldName()
		}
	case ast.CallKind:
		if call := e.AsCall(); call.FunctionName() == "dyn" && len(call.Args()) == 1 {
			return pathOf(call.Args()[0])
		}
		if operand, field, ok := literalIndex(e); ok && !strings.Contains(field, ".") {
			if path := pathOf(operand); path != "" {
				return path + "." + field
			}
		}
	}
	return ""
}
