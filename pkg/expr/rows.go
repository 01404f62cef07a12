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

// The checker of CEL knows one type of the result for a function and the types of its arguments, and no more of a name than that it is a
// text. So for the typed check lookup("sales-team", key) becomes a call of a function of that lookup alone, which takes a key of its kind and
// gives an object with its columns; and local(t, place) gives an object with the parts of a time.

const typedLocal = "@local object"

func typedLookup(function, name string) string { return "@" + function + " " + name }

// functions declares them, for the lookups whose names stand in the source.
func (c *typing) functions(src string) []cel.EnvOption {
	c.results = map[string]Type{typedLocal: {Kind: Object, Name: "a local time", Fields: localFields}}
	options := []cel.EnvOption{cel.Function(typedLocal, cel.Overload("typed_local", []*cel.Type{cel.TimestampType, cel.StringType}, c.cel(c.results[typedLocal], "local")))}
	if c.reference == nil {
		return options
	}
	for _, name := range slices.Sorted(maps.Keys(c.reference.lookups)) {
		if !strings.Contains(src, name) {
			continue
		}
		l := c.reference.lookups[name]
		row := Type{Kind: Object, Name: "the lookup " + name, Lacks: "the lookup " + name + " has no such column", Fields: l.columns}
		orNull := row
		orNull.Nullable = true
		key, object := c.cel(Type{Kind: l.key}, ""), c.cel(row, "lookup "+name)
		plain, or, null := typedLookup("lookup", name), typedLookup("lookup_or", name), typedLookup("lookup_or_null", name)
		c.results[plain], c.results[or], c.results[null] = row, row, orNull
		options = append(options,
			cel.Function(plain, cel.Overload("typed_lookup_"+name, []*cel.Type{key}, object)),
			cel.Function(or, cel.Overload("typed_lookup_or_"+name, []*cel.Type{key, cel.MapType(cel.StringType, cel.DynType)}, object)),
			cel.Function(null, cel.Overload("typed_lookup_or_null_"+name, []*cel.Type{key}, cel.NullableType(object))))
	}
	return options
}

// refer checks the names in a call that reads the reference, and makes it one of the typed functions.
func (s *selections) refer(e ast.Expr) {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case "@lookup", "@lookup_or":
		table, ok := literal(args[1])
		if !ok || s.reference == nil {
			return
		}
		l := s.reference.lookups[table]
		if l == nil {
			s.unknown(args[1], "lookup", table, slices.Collect(maps.Keys(s.reference.lookups)))
			return
		}
		typed := typedLookup(name[1:], table)
		if _, declared := s.results[typed]; !declared {
			return // its name is written with escapes
		}
		given := args[2:]
		if name == "@lookup_or" {
			switch d := args[3]; {
			case d.Kind() == ast.MapKind:
				s.columns(d, table, l)
			case d.Kind() == ast.LiteralKind && d.AsLiteral() == types.NullValue:
				typed, given = typedLookup("lookup_or_null", table), args[2:3]
			default:
				return
			}
		}
		e.SetKindCase(s.factory.NewCall(e.ID(), typed, given...))
	case "@local":
		if place, ok := literal(args[2]); ok && s.reference != nil && s.reference.calendars[place] == nil {
			if _, err := Zone(place); err != nil {
				s.unknownPlace(args[2], place)
			}
		}
		e.SetKindCase(s.factory.NewCall(e.ID(), typedLocal, args[1:]...))
	case "@open", "@next_open", "@open_between":
		at := args[len(args)-1]
		if calendar, ok := literal(at); ok && s.reference != nil && s.reference.calendars[calendar] == nil {
			s.unknown(at, "calendar", calendar, slices.Collect(maps.Keys(s.reference.calendars)))
		}
	}
}

// bind notes what a name is bound to. A name that is bound twice is not known.
func (s *selections) bind(name string, to ast.Expr) {
	t, ok := s.typeOf(to)
	if _, twice := s.bound[name]; twice || !ok {
		t = Type{}
	}
	s.bound[name] = t
}

// columns checks the names in the default of a lookup against its columns.
func (s *selections) columns(d ast.Expr, table string, l *Lookup) {
	names := slices.Sorted(maps.Keys(l.columns))
	given := map[string]bool{}
	for _, entry := range d.AsMap().Entries() {
		key := entry.AsMapEntry().Key()
		name, ok := literal(key)
		if !ok {
			return // what the map holds is known only by a run
		}
		given[name] = true
		if _, is := l.columns[name]; !is {
			s.problem(key, "the lookup %s has no column %q; %s", table, clip(name), oneOf(name, names, "it has"))
		}
	}
	for _, name := range names {
		if !given[name] {
			s.problem(d, "the default of the lookup %s lacks the column %s; a row has %s", table, name, strings.Join(names, ", "))
		}
	}
}

func (s *selections) unknown(e ast.Expr, what, name string, names []string) {
	slices.Sort(names)
	if len(names) == 0 {
		s.problem(e, "there is no %s %q: the bundle has none; add a file of the kind %s", what, clip(name), strings.ToUpper(what[:1])+what[1:])
		return
	}
	s.problem(e, "there is no %s %q in the bundle; %s", what, clip(name), oneOf(name, names, "it has"))
}

func (s *selections) unknownPlace(e ast.Expr, name string) {
	if isZoneName(name) {
		s.problem(e, "there is no time zone %q; %s", clip(name), zoneHint(name))
		return
	}
	names := slices.Sorted(maps.Keys(s.reference.calendars))
	hint := `zones have names such as "Europe/Berlin"`
	if len(names) > 0 {
		hint = oneOf(name, names, "it has") + "; " + hint
	}
	s.problem(e, "there is no calendar or time zone %q in the bundle; %s", clip(name), hint)
}

func oneOf(name string, names []string, has string) string {
	if near := Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s %s and %d more", has, strings.Join(names[:most], ", "), len(names)-most)
	}
	return has + " " + strings.Join(names, ", ")
}

func (s *selections) problem(e ast.Expr, format string, args ...any) {
	s.wrong = append(s.wrong, problemAt(s.tree, e, format, args...))
}

// literal is the text of a literal.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// typeOf is the type of a path, of the row of a lookup, of a local time, or of what is selected of one of those.
func (c *typing) typeOf(e ast.Expr) (Type, bool) {
	if path := pathOf(e); path != "" {
		if t, ok := c.at(path); ok {
			return t, true
		}
	}
	switch e.Kind() {
	case ast.IdentKind:
		t, ok := c.bound[e.AsIdent()]
		return t, ok && t.Kind != Any
	case ast.CallKind:
		t, ok := c.results[e.AsCall().FunctionName()]
		return t, ok
	case ast.SelectKind:
		if t, ok := c.typeOf(e.AsSelect().Operand()); ok && t.Kind == Object {
			f, ok := t.Fields[e.AsSelect().FieldName()]
			return f, ok
		}
	}
	return Type{}, false
}

// keyType is the checker's word for the kind of a lookup's key.
func keyType(l *Lookup) string {
	if l.key == Int {
		return "int"
	}
	return "string"
}

// spelled is what e is in messages: a path, or what it looks up.
func (c *typing) spelled(e ast.Expr) string {
	if e.Kind() == ast.SelectKind {
		if of := c.spelled(e.AsSelect().Operand()); of != "" {
			return of + "." + e.AsSelect().FieldName()
		}
	}
	if e.Kind() == ast.CallKind {
		function, name, _ := strings.Cut(e.AsCall().FunctionName(), " ")
		switch {
		case e.AsCall().FunctionName() == typedLocal:
			return "local(…)"
		case function == "@lookup":
			return fmt.Sprintf("lookup(%q, …)", name)
		case strings.HasPrefix(function, "@lookup_or"):
			return fmt.Sprintf("lookup_or(%q, …)", name)
		}
	}
	return pathOf(e)
}
