package avro

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kinds of personal data that the property "pii" may name.
var piiKinds = []string{"address", "birth_date", "email", "id", "ip", "name", "phone", "text"}

var schemaPath = regexp.MustCompile(`^(?:.*/)?schemas/([a-z][a-z0-9_]*)/([a-z0-9_.]+)\.v([1-9][0-9]{0,3})\.avsc$`)

// Lint returns every rule of the catalogue that the schema file at path breaks; nil when it keeps them all:
// Parse accepts it; path schemas/lead/created.v1.avsc, "event_type" lead.created and record
// neuronx.lead.v1.LeadCreated agree; record, fields and named types have a doc; optional means a union of null and
// one type with default null, and there are no other unions; moments are timestamp-micros; an enum has a default
// symbol, so that it can grow; personal fields are marked with a known kind and an existing subject; a record that says "reach" is a command
// and has what the engine fills in one that reaches a person: lead_id and not_after.
func Lint(path string, text []byte) []error {
	s, err := Parse(text)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	l := &linter{path: path, root: s.root, seen: map[*node]bool{}}
	l.names(s)
	if !s.root.doc {
		l.add("", "the record has no doc")
	}
	l.record(s.root, "")
	l.reach(s)
	return l.problems
}

// reach checks a command that reaches a person: the engine fills whom it reaches, and until when it may.
func (l *linter) reach(s *Schema) {
	if s.reach == "" {
		return
	}
	if !strings.HasPrefix(s.eventType, "crm.") || !strings.HasSuffix(s.eventType, ".requested") {
		l.add("", "reach is for commands crm.*.requested")
	}
	lead, until := false, false
	for _, f := range s.root.fields {
		switch {
		case f.name == "lead_id":
			lead = f.node.kind == kindString && f.node.logical == logicalNone
		case f.name == "not_after":
			inner, _, ok := f.node.nullable()
			if !ok {
				inner = f.node
			}
			until = inner.logical == logicalTimestampMicros
		}
	}
	if !lead {
		l.add("", "reaches a person and lacks lead_id, a text that is never null")
	}
	if !until {
		l.add("", "reaches a person and lacks not_after, a timestamp-micros")
	}
}

type linter struct {
	path     string
	root     *node
	seen     map[*node]bool
	problems []error
}

func (l *linter) add(field, format string, args ...any) {
	path := l.path
	if field != "" {
		path += ": field " + field
	}
	l.problems = append(l.problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (l *linter) names(s *Schema) {
	m := schemaPath.FindStringSubmatch(l.path)
	if m == nil {
		l.add("", "the path is not schemas/<domain>/<name>.v<major>.avsc")
		return
	}
	if want := m[1] + "." + m[2]; s.eventType != want {
		l.add("", "event_type is %q, the path says %q", s.eventType, want)
	}
	major, _ := strconv.Atoi(m[3])
	if want := conventionalName(m[1]+"."+m[2], major); s.FullName() != want {
		l.add("", "the record is %s, the path says %s", s.FullName(), want)
	}
}

// conventionalName returns neuronx.lead.v1.LeadCreated for lead.created in major 1.
func conventionalName(eventType string, major int) string {
	domain, _, _ := strings.Cut(eventType, ".")
	return "neuronx." + domain + ".v" + strconv.Itoa(major) + "." + pascal(eventType)
}

// pascal turns crm.note.add.requested into CrmNoteAddRequested.
func pascal(eventType string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(eventType, func(r rune) bool { return r == '.' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func (l *linter) record(n *node, path string) {
	if l.seen[n] {
		return
	}
	l.seen[n] = true
	for _, f := range n.fields {
		l.field(f, join(path, f.name))
	}
}

func (l *linter) field(f *field, path string) {
	if !f.doc {
		l.add(path, "has no doc")
	}
	n := f.node
	if n.kind == kindUnion {
		inner, nullAt, ok := n.nullable()
		if !ok || nullAt != 0 || !f.optional {
			l.add(path, `is a union other than ["null", T] with default null`)
		}
		if ok {
			n = inner
		}
	}
	l.personal(f, n, path)
	l.node(n, path)
}

func (l *linter) personal(f *field, n *node, path string) {
	if f.pii == "" {
		return
	}
	if !slices.Contains(piiKinds, f.pii) {
		l.add(path, "pii is %q, not one of %s", f.pii, strings.Join(piiKinds, ", "))
	}
	if n.kind != kindString || n.logical != logicalNone {
		l.add(path, "is personal and must be a string, because it is replaced when a person is erased")
	}
	if f.piiSubject == "" {
		return
	}
	for _, other := range l.root.fields {
		if other.name != f.piiSubject {
			continue
		}
		inner, _, ok := other.node.nullable()
		if !ok {
			inner = other.node
		}
		if inner.kind == kindString && other.pii == "" {
			return
		}
	}
	l.add(path, "pii_subject %q is not a top-level string field that is not personal itself", f.piiSubject)
}

func (l *linter) node(n *node, path string) {
	switch n.kind {
	case kindRecord:
		if !n.doc {
			l.add(path, "the record %s has no doc", n.name)
		}
		l.record(n, path)
	case kindEnum:
		if !n.doc {
			l.add(path, "the enum %s has no doc", n.name)
		}
		if n.fallback == "" {
			l.add(path, "the enum %s has no default symbol", n.name)
		}
	case kindArray:
		if n.items.kind == kindUnion {
			l.add(path, "is an array of unions")
			return
		}
		l.node(n.items, path+"[]")
	}
	switch n.logical {
	case logicalTimestampMillis, logicalTimeMillis, logicalTimeMicros:
		l.add(path, "is a %s; moments are timestamp-micros", n.logical)
	}
}
