package avro

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/linkedin/goavro/v2"
	twmb "github.com/twmb/avro"
)

// Bounds on data. They keep what a body from outside can cost proportional to its size.
const (
	MaxBody  = 2 << 20 // bytes of a binary body
	MaxJSON  = 4 << 20 // bytes of a JSON text
	MaxDepth = 32      // levels of a JSON text
	MaxItems = 100_000 // items of all arrays of one body together
)

// Bounds on schemas.
const (
	maxSchemaText   = 256 << 10
	maxSchemaDepth  = 32
	maxSchemaFields = 1_000 // fields in all, each use of a named type counted again
	maxSymbols      = 1_000 // of one enum
	maxNameLength   = 255   // of a full name, in bytes
	maxFixedSize    = 64 << 10
	maxPrecision    = 38 // decimal digits; fits in 128 bits, and is what SQL databases take
)

// Schema is one parsed Avro record schema. It is immutable and safe for concurrent use.
type Schema struct {
	text        []byte
	fingerprint [sha256.Size]byte
	eventType   string
	written     string // the text's own event type; a catalogue may say another
	implied     string
	subjects    []subjectRule
	reach       string // field that names the channel over which a command reaches a person
	texts       map[string]int
	roles       *roles // nil where there is an event type
	unfit       error  // why it can't stand for the catalogue's record of its type
	absent      []string
	root        *node
	program     []op
	short       int // a body of so many bytes can't hold a text over its bound
	plan        *plan
	personal    []PersonalField
	encoder     *goavro.Codec // of the wire schema: kinds only, no logical types, no defaults
	decoder     *twmb.Schema  // of the wire schema
	full        *twmb.Schema  // of the text, for compatibility
}

// boundGoavro sets goavro's process-wide bounds before its first use. They are the second fence only: goavro never
// decodes here.
var boundGoavro = sync.OnceFunc(func() {
	goavro.MaxBlockCount = MaxItems
	goavro.MaxBlockSize = MaxBody
})

// Parse reads the text of a record schema. The error is a [*SchemaError]. It refuses, before any library sees the
// text, what would let data or the schema itself cost without bound, or let one value have two encodings: texts
// over 256 KiB, nesting over 32, more than 1,000 fields in all, recursion, maps, types of no width other than in a
// union, fixed over 64 KiB, decimals over 38 digits; and what libraries read differently: doubled names, unknown or
// misused logical types, defaults of another type, unions whose branches look alike in JSON.
func Parse(text []byte) (*Schema, error) {
	tree, err := readJSON(text, schemaBounds)
	if err != nil {
		return nil, schemaProblem(err)
	}
	p := &parser{names: map[string]*node{}, open: map[string]bool{}}
	root, err := p.top(tree)
	if err != nil {
		return nil, err
	}
	s := &Schema{root: root, personal: personal(nil, "", root)}
	if s.eventType, err = eventType(tree); err != nil {
		return nil, err
	}
	if s.text, err = canonical(text, schemaBounds); err != nil {
		return nil, schemaProblem(err)
	}
	s.fingerprint = sha256.Sum256(s.text)
	s.program = compile(root)
	s.written, s.implied, s.texts = s.eventType, impliedType(root.name), topTexts(root)
	rules, err := subjectRules(tree)
	if err != nil {
		return nil, err
	}
	if s.subjects = s.find(rules); len(s.subjects) < len(rules) {
		return nil, &SchemaError{Location: "/event_subject", Message: "names a field that the record does not have as a text"}
	}
	if s.reach, err = reach(tree, root); err != nil {
		return nil, err
	}
	s.short = shortest(s.program, MaxBody)
	boundGoavro()
	wire := wireSchema(root)
	if s.encoder, err = goavro.NewCodec(wire); err != nil {
		return nil, &SchemaError{Message: fmt.Sprintf("goavro: %v", err)}
	}
	if s.plan, err = planOf(root, map[*node]*plan{}); err != nil {
		return nil, err
	}
	if s.decoder, err = twmb.Parse(wire); err != nil {
		return nil, &SchemaError{Message: fmt.Sprintf("twmb/avro: %v", err)}
	}
	if s.full, err = twmb.Parse(string(s.text)); err != nil {
		return nil, &SchemaError{Message: fmt.Sprintf("twmb/avro: %v", err)}
	}
	return s, nil
}

// FullName returns namespace and name of the record, such as neuronx.lead.v1.LeadCreated.
func (s *Schema) FullName() string { return s.root.name }

// EventType returns the property "event_type" of the record, such as lead.created, or what a catalogue says instead (see Within); "" if it has
// none.
func (s *Schema) EventType() string { return s.eventType }

// Text returns the canonical JSON text of the schema, which is what is registered and hashed. Do not modify it.
func (s *Schema) Text() []byte { return s.text }

// Fingerprint returns the SHA-256 of Text.
func (s *Schema) Fingerprint() [32]byte { return s.fingerprint }

// PersonalField is one field that holds personal data.
type PersonalField struct {
	Path    string // where the field is: "email", "contact.email"; within an array of records "people[].email"
	Kind    string // the property "pii", such as email or phone
	Subject string // the property "pii_subject": the top-level field that names the person; "" is the event's subject
}

// Personal returns the fields marked as personal, in the order of the schema. Do not modify it.
func (s *Schema) Personal() []PersonalField { return s.personal }

func personal(found []PersonalField, prefix string, n *node) []PersonalField {
	switch n.kind {
	case kindRecord:
		for _, f := range n.fields {
			path := join(prefix, f.name)
			if f.pii != "" {
				found = append(found, PersonalField{Path: path, Kind: f.pii, Subject: f.piiSubject})
			}
			found = personal(found, path, f.node)
		}
	case kindArray:
		found = personal(found, prefix+"[]", n.items)
	case kindUnion:
		for _, branch := range n.branches {
			found = personal(found, prefix, branch)
		}
	}
	return found
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func eventType(tree any) (string, error) {
	v, ok := tree.(map[string]any)["event_type"]
	if !ok {
		return "", nil
	}
	name, ok := v.(string)
	if !ok || !validEventType(name) {
		return "", &SchemaError{Location: "/event_type", Message: "must be words of a-z, 0-9 and _, joined by dots, such as lead.created"}
	}
	return name, nil
}

// CatalogueMajor returns the major version of the schema when its record is the one that the rules of the catalogue
// give to its event type (neuronx.lead.v2.LeadCreated is major 2 of lead.created); else 0.
func (s *Schema) CatalogueMajor() int {
	domain, _, _ := strings.Cut(s.eventType, ".")
	rest, ok := strings.CutPrefix(namespaceOf(s.FullName()), "neuronx."+domain+".v")
	major, err := strconv.Atoi(rest)
	if !ok || err != nil || major < 1 || s.FullName() != conventionalName(s.eventType, major) {
		return 0
	}
	return major
}
