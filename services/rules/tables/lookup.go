package tables

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
)

// Limits of a lookup.
const (
	MaxRows    = 5_000
	MaxColumns = 50
	MaxCell    = 4 << 10 // bytes of a text
)

// Lookup is a table that expressions read by a key, and that workflows assign from if it is a pool. It is immutable.
type Lookup struct {
	Name    string
	File    string
	Key     string           // the column that rows are found by: of texts or integers
	Columns []Column         // in the order of the file
	Rows    []map[string]any // in the order of the file; a value for each column, of the types that expr.Program.Eval gives
	Pool    *Pool            // nil: nobody is assigned from it

	Line  int    // of the file at which it begins
	Table string // file of the bundle that holds the rows; empty: they stand in the file itself

	lines     []int // of the rows
	table     *expr.Lookup
	text      string
	locations map[*expr.Program]rulefile.Location
}

// Column is a column of a lookup, and the kind of its values.
type Column struct {
	Name string
	Kind expr.Kind
}

func (l *Lookup) column(name string) (Column, bool) {
	i := slices.IndexFunc(l.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return l.Columns[i], true
}

func (l *Lookup) names() []string {
	names := make([]string, len(l.Columns))
	for i, c := range l.Columns {
		names[i] = c.Name
	}
	return names
}

// columnKinds are the kinds of columns as files name them.
var columnKinds = []struct {
	name    string
	kind    expr.Kind
	example string
}{
	{"string", expr.Text, `a text; in YAML, in quotes if it looks like something else: "0123"`}, {"int", expr.Int, "an integer such as 25"},
	{"double", expr.Double, "a number such as 0.5"}, {"bool", expr.Bool, "true or false"}, {"decimal", expr.Amount, "a decimal such as 1250.75"},
	{"time", expr.Time, "a time such as 2026-01-31T09:00:00Z"},
}

// ReadLookup reads a lookup. texts are the files of its bundle, of which it may name one as its table; what is wrong with that one is in problems.
// The lookup is nil if anything is wrong with it.
func ReadLookup(r *rulefile.Reader, root *yaml.Node, texts map[string]string) (l *Lookup, name string, problems rulefile.Problems) {
	l = &Lookup{File: r.File, Line: root.Line, text: r.Text, locations: r.Locations}
	var spec *yaml.Node
	l.Name, spec = r.Head(root)
	if spec != nil {
		problems = l.read(r, spec, texts)
	}
	problems = append(problems, r.Problems...)
	if problems.Err() == nil {
		kinds := make(map[string]expr.Kind, len(l.Columns))
		for _, c := range l.Columns {
			kinds[c.Name] = c.Kind
		}
		var err error
		if l.table, err = expr.NewLookup(l.Key, kinds, l.Rows); err != nil {
			problems = append(problems, rulefile.Problem{File: r.File, Line: root.Line, Rule: l.Name, Code: rulefile.CodeWrongKind, Message: err.Error()})
		}
	}
	if problems.Err() != nil {
		return nil, l.Name, problems
	}
	return l, l.Name, problems
}

func (l *Lookup) read(r *rulefile.Reader, spec *yaml.Node, texts map[string]string) (problems rulefile.Problems) {
	s := r.Entries(spec, "spec", 2, "key", "columns", "rows", "csv", "pool")
	if s["columns"] != nil {
		l.readColumns(r, s["columns"])
	}
	key, hasKey := r.Scalar(s["key"], "key")
	if c, is := l.column(key); hasKey && s["columns"] != nil && len(r.Problems) == 0 && (!is || c.Kind != expr.Text && c.Kind != expr.Int) {
		r.Problem(s["key"].Line, rulefile.CodeUnknownField, "the key %q is no column of texts or integers; the columns are %s", rulefile.Cut(key), strings.Join(l.names(), ", "))
	}
	l.Key = key
	readable := len(r.Problems) == 0
	switch {
	case s["rows"] != nil && s["csv"] != nil:
		r.Problem(s["csv"].Line, rulefile.CodeDuplicateKey, "the rows stand in the file or in a table, not in both; leave rows or csv out")
	case s["rows"] == nil && s["csv"] == nil:
		r.Problem(spec.Line, rulefile.CodeMissingKey, "a lookup needs its rows; write rows, or csv with the name of a file next to this one")
	case s["csv"] != nil:
		problems = l.readCSV(r, s["csv"], texts, readable)
	case readable:
		l.readRows(r, s["rows"])
	}
	if s["pool"] != nil {
		l.Pool = readPool(r, l, s["pool"])
	}
	return problems
}

// Rowset is what expressions read of the lookup.
func (l *Lookup) Rowset() *expr.Lookup { return l.table }

// Cells counts the values of all rows.
func (l *Lookup) Cells() int { return len(l.Rows) * len(l.Columns) }

var columnPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func (l *Lookup) readColumns(r *rulefile.Reader, n *yaml.Node) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeWrongKind, "columns must be a map from names to kinds, as in {rep: string, weight: int}")
		return
	}
	if len(n.Content)/2 > MaxColumns {
		r.Problem(n.Line, rulefile.CodeTooLarge, "a lookup has %d columns, more than %d", len(n.Content)/2, MaxColumns)
		return
	}
	var known []string
	for _, k := range columnKinds {
		known = append(known, k.name)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, kind := n.Content[i], n.Content[i+1]
		if !columnPattern.MatchString(name.Value) || slices.Contains([]string{"true", "false", "null", "in"}, name.Value) {
			r.Problem(name.Line, rulefile.CodeInvalidName, "the column %q is not 1 to 63 of a-z, 0-9 and _, a letter first, and no word of CEL", rulefile.Cut(name.Value))
			continue
		}
		at := slices.Index(known, kind.Value)
		if kind.Kind != yaml.ScalarNode || at < 0 {
			hint := "there are " + strings.Join(known, ", ")
			if near := expr.Nearest(kind.Value, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			r.Problem(kind.Line, rulefile.CodeWrongKind, "the column %s has no kind %q; %s", name.Value, rulefile.Cut(kind.Value), hint)
			continue
		}
		l.Columns = append(l.Columns, Column{name.Value, columnKinds[at].kind})
	}
}

func (l *Lookup) readRows(r *rulefile.Reader, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.Problem(n.Line, rulefile.CodeEmpty, "rows must be a list of at least one row, as in [{rep: ann, weight: 3}]")
		return
	}
	if len(n.Content) > MaxRows {
		r.Problem(n.Line, rulefile.CodeTooLarge, "a lookup has %d rows, more than %d", len(n.Content), MaxRows)
		return
	}
	seen := map[any]int{}
	for _, c := range n.Content {
		if c.Kind != yaml.MappingNode {
			r.Problem(c.Line, rulefile.CodeWrongKind, "a row must be a map with the columns %s", strings.Join(l.names(), ", "))
			continue
		}
		row := make(map[string]any, len(l.Columns))
		given := map[string]bool{}
		for i := 0; i+1 < len(c.Content); i += 2 {
			name, cell := c.Content[i], c.Content[i+1]
			column, is := l.column(name.Value)
			if !is {
				r.Problem(name.Line, rulefile.CodeUnknownField, "the lookup has no column %q; %s", rulefile.Cut(name.Value), nearestOf(name.Value, l.names()))
				continue
			}
			given[column.Name] = true
			if v, ok := yamlCell(column.Kind, cell); ok {
				row[column.Name] = v
			} else {
				r.Problem(cell.Line, rulefile.CodeWrongKind, "%s is %q and must be %s", column.Name, rulefile.Cut(cell.Value), exampleOf(column.Kind))
			}
		}
		for _, column := range l.Columns {
			if !given[column.Name] {
				r.Problem(c.Line, rulefile.CodeMissingField, "the row lacks the column %s; every row has all columns", column.Name)
			}
		}
		l.add(r, row, c.Line, seen)
	}
}

// add keeps a row, unless another one has its key.
func (l *Lookup) add(r *rulefile.Reader, row map[string]any, line int, seen map[any]int) {
	key, there := row[l.Key]
	if !there {
		return // told already
	}
	if first, twice := seen[key]; twice {
		r.Problem(line, rulefile.CodeDuplicateKey, "the %s %q stands already in line %d; a key stands in one row", l.Key, rulefile.Cut(fmt.Sprint(key)), first)
		return
	}
	seen[key] = line
	l.Rows, l.lines = append(l.Rows, row), append(l.lines, line)
}

func nearestOf(name string, names []string) string {
	if near := expr.Nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "it has " + strings.Join(names, ", ")
}

func exampleOf(kind expr.Kind) string {
	for _, k := range columnKinds {
		if k.kind == kind {
			return k.example
		}
	}
	return "of another kind"
}

// yamlCell reads a cell of a row. What YAML would take for something else is not taken for a text, nor a text for a number.
func yamlCell(kind expr.Kind, n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return nil, false
	}
	text := n.Tag == "!!str"
	switch kind {
	case expr.Text:
		if !text {
			return nil, false
		}
	case expr.Int:
		if n.Tag != "!!int" {
			return nil, false
		}
	case expr.Double:
		if n.Tag != "!!float" && n.Tag != "!!int" {
			return nil, false
		}
	case expr.Bool:
		if n.Tag != "!!bool" {
			return nil, false
		}
	case expr.Amount:
		if n.Tag != "!!float" && n.Tag != "!!int" && !text {
			return nil, false
		}
	case expr.Time:
		if n.Tag != "!!timestamp" && !text {
			return nil, false
		}
	}
	return cell(kind, n.Value)
}

var (
	integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	numeral = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
)

// cell reads a value as it is written in a table. Everything has one spelling: no 1e3, 0x1F, yes or leading zero.
func cell(kind expr.Kind, text string) (any, bool) {
	if len(text) > MaxCell {
		return nil, false
	}
	switch kind {
	case expr.Text:
		return text, utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' })
	case expr.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && integer.MatchString(text)
	case expr.Double:
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil && numeral.MatchString(text) && !math.IsInf(f, 0)
	case expr.Bool:
		return text == "true", text == "true" || text == "false"
	case expr.Amount:
		d, err := expr.ParseDecimal(text)
		return d, err == nil && numeral.MatchString(text)
	case expr.Time:
		t, err := time.Parse(time.RFC3339Nano, text)
		return t.UTC(), err == nil && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999
	}
	return nil, false
}
