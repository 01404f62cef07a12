package fold

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/projector/projections"
)

// Type of a column.
type Type string

// The types. Numeric has four decimals.
const (
	Text        Type = "text"
	BigInt      Type = "bigint"
	Numeric     Type = "numeric"
	Boolean     Type = "boolean"
	Timestamptz Type = "timestamptz"
	Date        Type = "date"
	TextArray   Type = "text[]"
)

// Column of a table.
type Column struct {
	Name string
	Type Type
}

// Spec is one declared projection, compiled. It is immutable and safe for concurrent use.
type Spec struct {
	Name    string
	Schema  string // of the view: read, or neuronx for what the engine itself reads
	Table   string // projection.<Table> holds the generations, <Schema>.<Table> shows the active one
	Key     []string
	Columns []Column // without tenant_id, generation and sequence, in the order declared
	On      map[string]Rule

	types map[string]Type
	added map[string]bool
}

// Rule is what one event type does to a row.
type Rule struct {
	Key map[string]*expr.Program
	Set []Assignment // sorted by column
	Add []Assignment
}

// Assignment is one column's expression.
type Assignment struct {
	Column  string
	Program *expr.Program
}

type file struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Schema  string              `yaml:"schema"`
		Table   string              `yaml:"table"`
		Key     []string            `yaml:"key"`
		Columns yaml.Node           `yaml:"columns"`
		On      map[string]fileRule `yaml:"on"`
	} `yaml:"spec"`
}

type fileRule struct {
	Key map[string]string `yaml:"key"`
	Set map[string]string `yaml:"set"`
	Add map[string]string `yaml:"add"`
}

// Declared compiles the projections of this build, sorted by name.
func Declared() ([]*Spec, error) {
	files, err := projections.Files()
	if err != nil {
		return nil, err
	}
	var specs []*Spec
	var problems []error
	for _, f := range files {
		s, err := Parse(f.Path, f.Text)
		specs, problems = append(specs, s), append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	slices.SortFunc(specs, func(a, b *Spec) int { return strings.Compare(a.Name, b.Name) })
	return specs, nil
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Parse compiles one declaration. The error names every problem that it has; each is an *event.Refusal.
func Parse(path string, text []byte) (*Spec, error) {
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, refuse(path, "%v", err)
	}
	p := parser{path: path, spec: &Spec{Name: f.Metadata.Name, Schema: f.Spec.Schema, Table: f.Spec.Table, Key: f.Spec.Key,
		On: map[string]Rule{}, types: map[string]Type{}, added: map[string]bool{}}}
	p.head(f)
	p.columns(f.Spec.Columns)
	for _, k := range f.Spec.Key {
		if p.spec.types[k] == "" {
			p.problem("spec.key: %q is not a column", k)
		}
	}
	for _, typ := range sortedKeys(f.Spec.On) {
		p.rule(typ, f.Spec.On[typ])
	}
	return p.spec, errors.Join(p.problems...)
}

type parser struct {
	path     string
	spec     *Spec
	problems []error
}

func refuse(path, format string, args ...any) error {
	return event.Refuse(event.CodeInvalidProjection, format, args...).At(path)
}

func (p *parser) problem(format string, args ...any) {
	p.problems = append(p.problems, refuse(p.path, format, args...))
}

func (p *parser) head(f file) {
	if f.APIVersion != "neuronx/v1" {
		p.problem("apiVersion is %q, not neuronx/v1", f.APIVersion)
	}
	if f.Kind != "Projection" {
		p.problem("kind is %q, not Projection", f.Kind)
	}
	if p.spec.Schema == "" {
		p.spec.Schema = "read"
	}
	if p.spec.Schema != "read" && p.spec.Schema != "neuronx" {
		p.problem("spec.schema is %q, not read or neuronx", p.spec.Schema)
	}
	for name, v := range map[string]string{"metadata.name": p.spec.Name, "spec.table": p.spec.Table} {
		if !identifier.MatchString(v) {
			p.problem("%s %q is not a name of a-z, 0-9 and _", name, v)
		}
	}
	if len(f.Spec.Key) == 0 {
		p.problem("spec.key is empty: rows need a key")
	}
	if len(f.Spec.On) == 0 {
		p.problem("spec.on is empty: no event makes rows")
	}
}

func (p *parser) columns(n yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.problem("spec.columns is not a map of column to type")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		c := Column{n.Content[i].Value, Type(n.Content[i+1].Value)}
		switch {
		case !identifier.MatchString(c.Name):
			p.problem("spec.columns: %q is not a name of a-z, 0-9 and _", c.Name)
		case c.Name == "tenant_id" || c.Name == "generation" || c.Name == "sequence":
			p.problem("spec.columns: every table has %s, it is not declared", c.Name)
		case !slices.Contains([]Type{Text, BigInt, Numeric, Boolean, Timestamptz, Date, TextArray}, c.Type):
			p.problem("spec.columns.%s: unknown type %q", c.Name, c.Type)
		case p.spec.types[c.Name] != "":
			p.problem("spec.columns.%s is there twice", c.Name)
		default:
			p.spec.types[c.Name] = c.Type
			p.spec.Columns = append(p.spec.Columns, c)
		}
	}
}

func (p *parser) rule(typ string, f fileRule) {
	if !event.ValidType(typ) {
		p.problem("spec.on: %q is not an event type", typ)
	}
	at := "spec.on." + typ
	r := Rule{Key: map[string]*expr.Program{}}
	for _, k := range p.spec.Key {
		src, ok := f.Key[k]
		if !ok {
			p.problem("%s.key lacks %s", at, k)
			continue
		}
		r.Key[k] = p.compile(at+".key."+k, src, "event", "data")
	}
	for _, k := range sortedKeys(f.Key) {
		if !slices.Contains(p.spec.Key, k) {
			p.problem("%s.key.%s is not in spec.key", at, k)
		}
	}
	for _, c := range sortedKeys(f.Set) {
		p.assignable(at+".set", c)
		r.Set = append(r.Set, Assignment{c, p.compile(at+".set."+c, f.Set[c], "event", "data", "row")})
	}
	for _, c := range sortedKeys(f.Add) {
		p.assignable(at+".add", c)
		if t := p.spec.types[c]; t != BigInt && t != Numeric {
			p.problem("%s.add.%s: only bigint and numeric can be added to", at, c)
		}
		if _, ok := f.Set[c]; ok {
			p.problem("%s: %s is both set and added to", at, c)
		}
		p.spec.added[c] = true
		r.Add = append(r.Add, Assignment{c, p.compile(at+".add."+c, f.Add[c], "event", "data", "row")})
	}
	p.spec.On[typ] = r
}

func (p *parser) assignable(at, column string) {
	if p.spec.types[column] == "" {
		p.problem("%s.%s is not a declared column", at, column)
	}
	if slices.Contains(p.spec.Key, column) {
		p.problem("%s.%s is part of the key", at, column)
	}
}

func (p *parser) compile(at, src string, vars ...string) *expr.Program {
	prg, err := expr.Compile(src, vars...)
	if err != nil {
		p.problem("%s: %v", at, err)
	}
	return prg
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Added reports whether a column is one that events add to; it begins at 0 instead of null.
func (s *Spec) Added(column string) bool { return s.added[column] }
