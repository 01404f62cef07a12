package crmoracle

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi/*.json operations.yaml deviations.yaml
var files embed.FS

// Operations is operations.yaml: what of the vendor's API there is for us. An operation is "METHOD path Version", the path as the
// vendor's file spells it.
type Operations struct {
	Called  map[string][]string `yaml:"called"`  // file of the vendor → operations that the engine calls
	Served  map[string][]string `yaml:"served"`  // file of the vendor → operations that only the stand-in has
	Missing []Missing           `yaml:"missing"` // called, and in no file
}

// Missing is an operation that the engine calls and none of the vendor's files describes. Its requests are not looked at.
type Missing struct {
	Operation string `yaml:"operation"`
	Reason    string `yaml:"reason"`
	Source    string `yaml:"source"`
}

// Deviation is a known difference between the vendor's file and what we send.
type Deviation struct {
	Operation string `yaml:"operation"`
	Pointer   string `yaml:"pointer"` // as in a Finding
	Reason    string `yaml:"reason"`
	Source    string `yaml:"source"` // who has seen that the file is wrong
}

// Spec is what requests are held against.
type Spec struct {
	operations map[string]*operation
	deviations []Deviation
	missing    []Missing
}

type operation struct {
	name   string // METHOD path Version
	method string
	path   string
	doc    *openapi3.T
	item   *openapi3.PathItem
	op     *openapi3.Operation
	called bool
}

// Vendored is the spec of this repository.
func Vendored() (*Spec, error) {
	var ops Operations
	if err := readYAML("operations.yaml", &ops); err != nil {
		return nil, err
	}
	var devs struct {
		Deviations []Deviation `yaml:"deviations"`
	}
	if err := readYAML("deviations.yaml", &devs); err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "openapi/*.json")
	if err != nil {
		return nil, fmt.Errorf("list the vendor's files: %w", err)
	}
	docs := map[string][]byte{}
	for _, n := range names {
		if docs[path.Base(n)], err = files.ReadFile(n); err != nil {
			return nil, fmt.Errorf("read the vendor's file: %w", err)
		}
	}
	return Load(docs, ops, devs.Deviations)
}

func readYAML(name string, v any) error {
	b, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// Load makes a spec of the vendor's files by name, with all problems at once.
func Load(docs map[string][]byte, ops Operations, deviations []Deviation) (*Spec, error) {
	s := &Spec{operations: map[string]*operation{}, deviations: deviations, missing: ops.Missing}
	var problems []error
	for name, b := range docs {
		problems = append(problems, s.add(name, b))
	}
	listed := map[string]bool{}
	for _, list := range []map[string][]string{ops.Called, ops.Served} {
		for file, names := range list {
			for _, n := range names {
				if s.operations[n] == nil {
					problems = append(problems, fmt.Errorf("operations.yaml: %s is not in openapi/%s; make the slice again", n, file))
				}
				if listed[n] {
					problems = append(problems, fmt.Errorf("operations.yaml: %s is listed twice", n))
				}
				listed[n] = true
			}
		}
	}
	for _, names := range ops.Called {
		for _, n := range names {
			if o := s.operations[n]; o != nil {
				o.called = true
			}
		}
	}
	for n := range s.operations {
		if !listed[n] {
			problems = append(problems, fmt.Errorf("openapi: %s is not listed in operations.yaml; make the slice again", n))
		}
	}
	for _, m := range ops.Missing {
		if m.Reason == "" || m.Source == "" {
			problems = append(problems, fmt.Errorf("operations.yaml: %s needs a reason and a source", m.Operation))
		}
		if s.operations[m.Operation] != nil {
			problems = append(problems, fmt.Errorf("operations.yaml: %s is missing, and a file has it", m.Operation))
		}
	}
	for i, d := range deviations {
		switch {
		case d.Reason == "" || d.Source == "":
			problems = append(problems, fmt.Errorf("deviations.yaml: %s %s needs a reason and a source", d.Operation, d.Pointer))
		case s.operations[d.Operation] == nil:
			problems = append(problems, fmt.Errorf("deviations.yaml: there is no operation %s", d.Operation))
		case slices.ContainsFunc(deviations[:i], func(e Deviation) bool { return e.Operation == d.Operation && e.Pointer == d.Pointer }):
			problems = append(problems, fmt.Errorf("deviations.yaml: %s %s is listed twice", d.Operation, d.Pointer))
		}
	}
	return s, errors.Join(problems...)
}

// add reads one file of the vendor's and files its operations by the Versions that each of them declares.
func (s *Spec) add(name string, b []byte) error {
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return fmt.Errorf("openapi/%s: %w", name, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return fmt.Errorf("openapi/%s: %w", name, err)
	}
	done := map[*openapi3.Schema]bool{}
	for p, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody != nil {
				for _, media := range op.RequestBody.Value.Content {
					shut(media.Schema, done)
				}
			}
			for _, v := range versionsOf(op) {
				n := method + " " + p + " " + v
				if s.operations[n] != nil {
					return fmt.Errorf("openapi/%s: %s is in another file too", name, n)
				}
				s.operations[n] = &operation{name: n, method: method, path: p, doc: doc, item: item, op: op}
			}
		}
	}
	return nil
}

// versionsOf are the Versions that an operation declares; any fits one that declares none, which is called "-".
func versionsOf(op *openapi3.Operation) []string {
	var out []string
	declared := false
	for _, p := range op.Parameters {
		if p.Value.In != openapi3.ParameterInHeader || p.Value.Name != "Version" || p.Value.Schema == nil {
			continue
		}
		declared = true
		for _, v := range p.Value.Schema.Value.Enum {
			if text, is := v.(string); is {
				out = append(out, text)
			}
		}
	}
	if !declared {
		return []string{anyVersion}
	}
	return out
}

const anyVersion = "-"

// shut closes a schema and what is in it: a field that it does not name is refused. The vendor's server refuses such fields, although
// its files leave every schema open.
func shut(ref *openapi3.SchemaRef, done map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || done[ref.Value] {
		return
	}
	s := ref.Value
	done[s] = true
	if s.Properties != nil && s.AdditionalProperties.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	shut(s.Items, done)
	for _, p := range s.Properties {
		shut(p, done)
	}
	for _, list := range [][]*openapi3.SchemaRef{s.AnyOf, s.OneOf, s.AllOf} {
		for _, r := range list {
			shut(r, done)
		}
	}
}

// find gives the operation of a request, and the values of the parameters in its path. The one with more literal segments wins:
// /contacts/search is not the contact "search".
func (s *Spec) find(method, p, version string) (*operation, map[string]string) {
	var best *operation
	var params map[string]string
	for _, o := range s.operations {
		if o.method != method || !strings.HasSuffix(o.name, " "+version) && !strings.HasSuffix(o.name, " "+anyVersion) {
			continue
		}
		if got, fits := match(o.path, p); fits && (best == nil || len(got) < len(params)) {
			best, params = o, got
		}
	}
	return best, params
}

// match compares a path with a template, segment by segment. A trailing slash counts: the vendor's server distinguishes them.
func match(template, p string) (map[string]string, bool) {
	want, have := strings.Split(template, "/"), strings.Split(p, "/")
	if len(want) != len(have) {
		return nil, false
	}
	params := map[string]string{}
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{") && strings.HasSuffix(w, "}"):
			if have[i] == "" {
				return nil, false
			}
			params[w[1:len(w)-1]] = have[i]
		case w != have[i]:
			return nil, false
		}
	}
	return params, true
}

// elsewhere names the operations of the same method and path under other Versions.
func (s *Spec) elsewhere(method, p string) []string {
	var out []string
	for n, o := range s.operations {
		if _, fits := match(o.path, p); fits && o.method == method {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
