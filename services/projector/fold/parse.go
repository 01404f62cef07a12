package fold

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
)

type file struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Schema  string               `yaml:"schema"`
		Table   string               `yaml:"table"`
		Order   string               `yaml:"order"`
		Key     []string             `yaml:"key"`
		Subject string               `yaml:"subject" json:",omitempty"` // left out where it is empty: definitions of before it stay the same
		Columns yaml.Node            `yaml:"columns"`
		Hidden  yaml.Node            `yaml:"hidden"`
		On      map[string]fileRule  `yaml:"on"`
		Show    map[string]string    `yaml:"show"`
		Counts  map[string]fileCount `yaml:"counts"`
	} `yaml:"spec"`
}

type fileRule struct {
	Key   map[string]string `yaml:"key"`
	Set   map[string]string `yaml:"set"`
	First map[string]string `yaml:"first"`
	Last  map[string]string `yaml:"last"`
}

type fileCount struct {
	Of   string            `yaml:"of"`
	At   string            `yaml:"at"`
	When map[string]string `yaml:"when"`
	By   string            `yaml:"by"`
	Sum  string            `yaml:"sum"`
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
	p := parser{path: path, spec: &Spec{Name: f.Metadata.Name, Schema: f.Spec.Schema, Table: f.Spec.Table, Key: f.Spec.Key, Subject: f.Spec.Subject,
		BySequence: f.Spec.Order == "sequence", On: map[string]Rule{}, types: map[string]Type{}, slots: map[string]int{}},
		merges: map[string]string{}}
	p.head(f)
	p.spec.Columns = p.columns("spec.columns", f.Spec.Columns)
	if f.Spec.Hidden.Kind != 0 {
		p.spec.Hidden = p.columns("spec.hidden", f.Spec.Hidden)
	}
	for _, k := range f.Spec.Key {
		if p.spec.types[k] == "" {
			p.problem("spec.key: %q is not a column", k)
		}
	}
	p.subject()
	for _, c := range sortedKeys(f.Spec.Show) {
		p.merge("spec.show", c, "show")
		a := Assignment{c, p.compile("spec.show."+c, f.Spec.Show[c], "row")}
		p.spec.Show = append(p.spec.Show, a)
		p.spec.deps = append(p.spec.deps, a.value.fields("row")...)
		if slices.Contains(p.spec.deps, columnMergedInto) {
			p.problem("spec.show.%s reads %s, which changes without an event of the row", c, columnMergedInto)
		}
	}
	for _, c := range sortedKeys(f.Spec.Counts) {
		p.count(c, f.Spec.Counts[c])
	}
	for _, typ := range sortedKeys(f.Spec.On) {
		p.rule(typ, f.Spec.On[typ])
	}
	set := make([]string, 0, len(p.merges))
	for _, c := range sortedKeys(p.merges) {
		if p.merges[c] == "set" {
			set = append(set, c)
		}
	}
	for i, c := range set {
		p.spec.slots[c] = i
	}
	p.spec.stored = append(slices.Clone(p.spec.Columns), p.spec.Hidden...)
	f.Spec.Columns, f.Spec.Hidden = yaml.Node{}, yaml.Node{}
	var err error
	if p.spec.canonical, err = json.Marshal([]any{f, p.spec.stored}); err != nil {
		return nil, fmt.Errorf("write %s without its layout: %w", path, err)
	}
	return p.spec, errors.Join(p.problems...)
}

type parser struct {
	path     string
	spec     *Spec
	merges   map[string]string // column → how its values are merged: a column is merged in one way only
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
	if o := f.Spec.Order; o != "" && o != "time" && o != "sequence" {
		p.problem("spec.order is %q, not time or sequence", o)
	}
	if (len(f.Spec.On) == 0) == (len(f.Spec.Counts) == 0) {
		p.problem("one of spec.on and spec.counts is needed: nothing else makes rows")
	}
}

// subject checks that rows of subjects can say which one they were merged into, and that no others do.
func (p *parser) subject() {
	s := p.spec
	switch has := s.types[columnMergedInto] != ""; {
	case s.Subject == "" && has:
		p.problem("spec.columns.%s: only a table with spec.subject has it", columnMergedInto)
	case s.Subject == "":
	case !identifier.MatchString(s.Subject):
		p.problem("spec.subject %q is not a kind of subject, such as lead", s.Subject)
	case len(s.Key) != 1 || s.types[s.Key[0]] != Text:
		p.problem("spec.subject: the key is not one text, the id of a subject")
	case !slices.Contains(s.Columns, Column{columnMergedInto, Text}):
		p.problem("spec.subject: spec.columns lacks %s: text", columnMergedInto)
	case len(s.On) == 0 && len(s.Counts) > 0:
		p.problem("spec.subject: rows that count are of no subject")
	}
}

func (p *parser) columns(at string, n yaml.Node) (out []Column) {
	if n.Kind != yaml.MappingNode {
		p.problem("%s is not a map of column to type", at)
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		c := Column{n.Content[i].Value, Type(n.Content[i+1].Value)}
		switch {
		case !identifier.MatchString(c.Name):
			p.problem("%s: %q is not a name of a-z, 0-9 and _", at, c.Name)
		case slices.Contains([]string{"tenant_id", "generation", "sequence", columnStamps}, c.Name):
			p.problem("%s: every table has %s, it is not declared", at, c.Name)
		case !known(c.Type):
			p.problem("%s.%s: unknown type %q", at, c.Name, c.Type)
		case p.spec.types[c.Name] != "":
			p.problem("%s.%s is there twice", at, c.Name)
		default:
			p.spec.types[c.Name] = c.Type
			out = append(out, c)
		}
	}
	return out
}

func (p *parser) rule(typ string, f fileRule) {
	if !event.ValidType(typ) {
		p.problem("spec.on: %q is not an event type", typ)
	}
	at := "spec.on." + typ
	r := Rule{Key: map[string]*operand{}}
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
	r.Set = p.assign(at, "set", f.Set, &r)
	r.First = p.assign(at, "first", f.First, &r)
	r.Last = p.assign(at, "last", f.Last, &r)
	p.spec.On[typ] = r
}

// assign compiles a rule's assignments that merge in one way. They do not see the row: what it holds depends on the order in which events came.
func (p *parser) assign(at, how string, sources map[string]string, r *Rule) (out []Assignment) {
	for _, c := range sortedKeys(sources) {
		p.merge(at+"."+how, c, how)
		if how != "set" && p.spec.types[c] != Timestamptz {
			p.problem("%s.%s.%s: only a timestamptz has a first and a last", at, how, c)
		}
		out = append(out, Assignment{c, p.compile(at+"."+how+"."+c, sources[c], "event", "data")})
		r.shows = r.shows || slices.Contains(p.spec.deps, c)
	}
	return out
}

func (p *parser) merge(at, column, how string) {
	if p.spec.types[column] == "" {
		p.problem("%s.%s is not a declared column", at, column)
	}
	if slices.Contains(p.spec.Key, column) {
		p.problem("%s.%s is part of the key", at, column)
	}
	if column == columnMergedInto {
		p.problem("%s.%s is set by merges alone", at, column)
	}
	if was := p.merges[column]; was != "" && was != how {
		p.problem("%s.%s: it is merged by %s elsewhere; a column is merged in one way", at, column, was)
	}
	p.merges[column] = how
}

func (p *parser) count(column string, f fileCount) {
	at := "spec.counts"
	p.merge(at, column, "count")
	if want := map[bool]Type{true: BigInt, false: Total}[f.Sum == ""]; p.spec.types[column] != want {
		p.problem("%s.%s: its column is not a %s", at, column, want)
	}
	if !slices.Equal(p.spec.Key, []string{KeyDay, KeyCurrency}) || p.spec.types[KeyDay] != Date || p.spec.types[KeyCurrency] != Text {
		p.problem("%s: the key is not %s, a date, and %s, a text", at, KeyDay, KeyCurrency)
	}
	p.spec.Counts = append(p.spec.Counts, Count{column, f.Of, f.At, f.When, f.By, f.Sum})
}

func (p *parser) compile(at, src string, vars ...string) *operand {
	o, err := compile(src, vars...)
	if err != nil {
		p.problem("%s: %v", at, err)
	}
	return o
}

// checkCounts compares what is counted with the columns of what it is counted in.
func checkCounts(specs []*Spec) error {
	var problems []error
	for _, s := range specs {
		for _, c := range s.Counts {
			i := slices.IndexFunc(specs, func(o *Spec) bool { return o.Name == c.Of && o.Schema == s.Schema && len(o.On) > 0 })
			if i < 0 {
				problems = append(problems, refuse(s.Name, "spec.counts.%s.of: there is no projection %q that events make in schema %s", c.Column, c.Of, s.Schema))
				continue
			}
			want := map[string]Type{c.At: Timestamptz}
			for column := range c.When {
				want[column] = Text
			}
			if c.By != "" {
				want[c.By] = Text
			}
			if c.Sum != "" {
				want[c.Sum] = Numeric
			}
			for _, column := range sortedKeys(want) {
				if got := specs[i].types[column]; got != want[column] {
					problems = append(problems, refuse(s.Name, "spec.counts.%s: %s.%s is not a %s", c.Column, c.Of, column, want[column]))
				}
			}
		}
	}
	return errors.Join(problems...)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
