package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/pkg/zone"
)

// Formats of inputs.
const (
	FormatCSV    = "csv"
	FormatNDJSON = "ndjson" // one JSON object a line
)

const (
	maxSpec   = 256 << 10
	maxInputs = 100
	maxEvents = 50 // a row can become
)

// Spec is a compiled import spec.
type Spec struct {
	Name   string // of the mapping; part of every event's id
	Hash   string // hex SHA-256 of the text
	Inputs []Input
}

// Input is one file.
type Input struct {
	File      string
	Format    string
	Encoding  string // one of the Encoding constants; "": UTF-8, or UTF-16 where a byte order mark says so
	Delimiter byte   // of CSV; 0: a comma, or what a first line sep=… says
	Unquoted  bool   // CSV in which a quote is a character like any other
	Zone      *time.Location
	Unzoned   bool // the spec names no zone: UTC is a guess
	Events    []Mapping
}

// Mapping is one event that a row becomes.
type Mapping struct {
	Type    string
	Update  string        // type of the event that an edited row becomes with Options.Update; "": x.updated for x.created, if it exists
	when    *expr.Program // nil: always
	id      *expr.Program
	subject *expr.Program // nil: none
	time    *expr.Program // nil: none
	data    []field

	contract *contract // of Type, and of Update; nil until Bind finds them
	updated  *contract
}

type field struct {
	name  string
	value *expr.Program
}

type document struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Inputs []inputDoc `yaml:"inputs"`
	} `yaml:"spec"`
}

type metadata struct {
	Name string `yaml:"name"`
}

type inputDoc struct {
	File      string     `yaml:"file"`
	Format    string     `yaml:"format"`
	Encoding  string     `yaml:"encoding"`
	Delimiter string     `yaml:"delimiter"`
	Quote     string     `yaml:"quote"`
	Zone      string     `yaml:"zone"`
	Events    []eventDoc `yaml:"events"`
}

type eventDoc struct {
	When    string    `yaml:"when"`
	Type    string    `yaml:"type"`
	ID      string    `yaml:"id"`
	Subject string    `yaml:"subject"`
	Time    string    `yaml:"time"`
	Update  string    `yaml:"update"`
	Data    yaml.Node `yaml:"data"`
}

// The keys of a spec, by the level where they stand.
var (
	specKeys     = []string{"apiVersion", "kind", "metadata", "spec"}
	metadataKeys = []string{"name"}
	inputsKeys   = []string{"inputs"}
	inputKeys    = []string{"file", "format", "encoding", "delimiter", "quote", "zone", "events"}
	eventKeys    = []string{"when", "type", "id", "subject", "time", "update", "data"}
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// problems collects everything that is wrong with a spec.
type problems struct{ errs []error }

func (p *problems) add(location, format string, args ...any) {
	p.errs = append(p.errs, event.Refuse(event.CodeInvalidImport, format, args...).At(location))
}

// Parse reads and compiles a spec. All problems are in one error.
func Parse(text []byte) (*Spec, error) {
	if len(text) > maxSpec {
		return nil, event.Refuse(event.CodeInvalidImport, "the spec is over %d bytes", maxSpec)
	}
	var doc document
	var tree yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&tree)
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	if err == nil {
		err = tree.Decode(&doc)
	}
	if err != nil {
		return nil, event.Refuse(event.CodeInvalidImport, "the spec can't be read: %v", err).Hint("apiVersion neuronx/v1, kind Import, metadata.name, spec.inputs")
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, event.Refuse(event.CodeInvalidImport, "the spec has more than one YAML document")
	}
	p := &problems{}
	p.document(&tree)
	if doc.APIVersion != "neuronx/v1" {
		p.add("apiVersion", "must be neuronx/v1")
	}
	if doc.Kind != "Import" {
		p.add("kind", "must be Import")
	}
	if !namePattern.MatchString(doc.Metadata.Name) {
		p.add("metadata.name", "must be 1 to 63 of a-z, 0-9 and hyphen")
	}
	if n := len(doc.Spec.Inputs); n == 0 || n > maxInputs {
		p.add("spec.inputs", "1 to %d inputs, not %d", maxInputs, n)
	}
	sum := sha256.Sum256(text)
	s := &Spec{Name: doc.Metadata.Name, Hash: hex.EncodeToString(sum[:])}
	for i, in := range doc.Spec.Inputs {
		s.Inputs = append(s.Inputs, p.input(fmt.Sprintf("spec.inputs[%d]", i), in))
	}
	return s, errors.Join(p.errs...)
}

func (p *problems) input(at string, doc inputDoc) Input {
	in := Input{File: doc.File, Format: doc.Format, Zone: time.UTC, Unzoned: doc.Zone == ""}
	if doc.File == "" {
		p.add(at+".file", "required")
	}
	if in.Format == "" {
		in.Format = FormatCSV
	}
	if !slices.Contains([]string{FormatCSV, FormatNDJSON}, in.Format) {
		p.add(at+".format", "%q is not csv or ndjson", doc.Format)
	}
	p.shape(at, doc, &in)
	if doc.Zone != "" {
		there, err := zone.Load(doc.Zone)
		if err != nil {
			p.add(at+".zone", "%q is not a zone of the IANA database, such as America/Sao_Paulo", doc.Zone)
		} else {
			in.Zone = there
		}
	}
	if n := len(doc.Events); n == 0 || n > maxEvents {
		p.add(at+".events", "1 to %d events, not %d", maxEvents, n)
	}
	for i, ev := range doc.Events {
		in.Events = append(in.Events, p.mapping(fmt.Sprintf("%s.events[%d]", at, i), ev))
	}
	return in
}

func (p *problems) mapping(at string, doc eventDoc) Mapping {
	m := Mapping{Type: doc.Type, Update: doc.Update}
	switch {
	case !event.ValidType(doc.Type):
		p.add(at+".type", "%q is not an event type, such as lead.created", doc.Type)
	case event.Reserved(doc.Type):
		p.add(at+".type", "%s is published by the engine only", doc.Type)
	}
	switch {
	case doc.Update == "":
	case !event.ValidType(doc.Update), event.Reserved(doc.Update), doc.Update == doc.Type:
		p.add(at+".update", "%q can't be the type of an update, such as lead.updated", doc.Update)
	}
	m.when = p.compile(at+".when", doc.When, false)
	m.id = p.compile(at+".id", doc.ID, true)
	m.subject = p.compile(at+".subject", doc.Subject, false)
	m.time = p.compile(at+".time", doc.Time, false)
	switch doc.Data.Kind {
	case 0:
	case yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i+1 < len(doc.Data.Content); i += 2 {
			name, value := doc.Data.Content[i].Value, doc.Data.Content[i+1]
			loc := at + ".data." + name
			if seen[name] {
				p.add(loc, "is there twice")
			}
			seen[name] = true
			if value.Kind != yaml.ScalarNode {
				p.add(loc, "must be one expression; write a list or a map in CEL")
				continue
			}
			m.data = append(m.data, field{name, p.compile(loc, value.Value, true)})
		}
	default:
		p.add(at+".data", "must be a map of field to expression")
	}
	return m
}

func (p *problems) compile(at, src string, must bool) *expr.Program {
	if src == "" {
		if must {
			p.add(at, "required")
		}
		return nil
	}
	prog, err := expr.Compile(src, "row")
	if err != nil {
		p.add(at, "%v", err)
	}
	return prog
}

// Columns lists, sorted, the columns that an input's expressions name.
func (in Input) Columns() []string {
	var out []string
	add := func(p *expr.Program) {
		if p != nil {
			out = append(out, p.Fields("row")...)
		}
	}
	for _, m := range in.Events {
		add(m.when)
		add(m.id)
		add(m.subject)
		add(m.time)
		for _, f := range m.data {
			add(f.value)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
