package avro

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// subjectRule says that a field's value, behind a prefix, is the subject of events of the schema: `lead/{lead_id}`.
type subjectRule struct {
	prefix, field string
	at            int // step of the program that reads the field
}

// subjectRules reads the property "event_subject": one rule, or a list of which the first counts whose field has a value.
func subjectRules(tree any) ([]subjectRule, error) {
	given, ok := tree.(map[string]any)["event_subject"]
	if !ok {
		return nil, nil
	}
	list, ok := given.([]any)
	if !ok {
		list = []any{given}
	}
	const wrong = "must be such as lead/{lead_id}, or a list of such: a word, a slash and a field of the record in braces"
	var rules []subjectRule
	for _, item := range list {
		text, _ := item.(string)
		prefix, rest, _ := strings.Cut(text, "{")
		field, after, closed := strings.Cut(rest, "}")
		if !closed || after != "" || !validName(strings.TrimSuffix(prefix, "/")) || !strings.HasSuffix(prefix, "/") || !validName(field) {
			return nil, &SchemaError{Location: "/event_subject", Message: wrong}
		}
		rules = append(rules, subjectRule{prefix: prefix, field: field})
	}
	if len(rules) == 0 || len(rules) > 8 {
		return nil, &SchemaError{Location: "/event_subject", Message: wrong}
	}
	return rules, nil
}

// reach reads the property "reach" of a command: the field that names the channel over which it reaches a person; "" reaches nobody.
func reach(tree any, root *node) (string, error) {
	given, ok := tree.(map[string]any)["reach"]
	if !ok {
		return "", nil
	}
	name, _ := given.(string)
	for _, f := range root.fields {
		if f.name == name && f.node.kind == kindString && f.node.logical == logicalNone {
			return name, nil
		}
	}
	return "", &SchemaError{Location: "/reach", Message: "must name a field of the record that is a text and never null"}
}

// Reach returns the property "reach" of a command: the field that names the channel over which it reaches a person; "" if it reaches nobody.
// Of a record of the catalogue it is what the catalogue says (see Within).
func (s *Schema) Reach() string { return s.reach }

// find sets where the rules' fields lie, and leaves out those whose field the record does not have as a text.
func (s *Schema) find(rules []subjectRule) []subjectRule {
	var found []subjectRule
	for _, r := range rules {
		if r.at = s.texts[r.field]; r.at > 0 {
			found = append(found, r)
		}
	}
	return found
}

// topTexts lists the texts among a record's own fields: the step that reads each, plus one.
func topTexts(root *node) map[string]int {
	found, at := map[string]int{}, 0
	for _, f := range root.fields {
		steps := appendOps(nil, f.node, "")
		if len(steps) == 1 && (steps[0].code == opText || steps[0].code == opUUID) {
			found[f.name] = at + 1
		}
		at += len(steps)
	}
	return found
}

// textAt reads the text that step at-1 reads, or nothing where it is null or the body is not one of this schema.
func (s *Schema) textAt(body []byte, at int) []byte {
	w := walker{body: body, items: MaxItems}
	if at > 1 && !w.walk(s.program[:at-1]) {
		return nil
	}
	step := &s.program[at-1]
	if step.null != 0 {
		if w.pos >= len(body) || body[w.pos]&^2 != 0 {
			return nil
		}
		index := body[w.pos]
		if w.pos++; int8(index>>1)+1 == step.null {
			return nil
		}
	}
	text, _ := w.raw(step)
	return text
}

// roles is what a record without an event type of its own stands for, by type.
type roles struct {
	catalogue func(eventType string) *Schema
	mu        sync.Mutex
	found     map[string]role
}

type role struct {
	rules  []subjectRule
	absent []string
	err    error
}

// Within returns the schema as a reader with a catalogue sees it. A record of the catalogue has the event type, the subject and the personal
// fields that the catalogue gives it, whatever the text says: anybody may register a version that lost them, and would break everybody who
// uses the latest one, or make personal data look like any other. Another record may stand for one of the catalogue's types, which it
// says or its events do, where its fields fit; and so they must in a record of the catalogue that somebody else registered under another
// subject, where the registry compares it with nothing. of finds the catalogue's schema of a record, by its full name; forType that of a type.
func (s *Schema) Within(of func(fullName string) *Schema, forType func(eventType string) *Schema) *Schema {
	own := of(s.FullName())
	if own == nil && s.eventType != "" && s.CatalogueMajor() == 0 {
		own = forType(s.eventType)
	}
	if own == nil {
		if s.eventType != "" {
			return s
		}
		seen := *s
		seen.roles = &roles{catalogue: forType, found: map[string]role{}}
		return &seen
	}
	seen := *s
	if !bytes.Equal(s.text, own.text) {
		seen.absent, seen.unfit = s.root.lacks(own.root), standsFor(s.root, own.root, "")
	}
	seen.eventType, seen.subjects = own.eventType, s.find(own.subjects)
	seen.reach = own.reach
	marked := map[string]bool{}
	for _, f := range s.personal {
		marked[f.Path] = true
	}
	for _, f := range own.personal {
		if !marked[f.Path] && s.root.has(f.Path) {
			seen.personal = append(seen.personal[:len(seen.personal):len(seen.personal)], f)
		}
	}
	return &seen
}

// has tells whether a record has the field of a path of PersonalField.
func (n *node) has(path string) bool {
	if n.kind == kindUnion {
		for _, branch := range n.branches {
			if branch.has(path) {
				return true
			}
		}
		return false
	}
	if n.kind == kindArray {
		return n.items.has(path)
	}
	name, rest, more := strings.Cut(path, ".")
	name = strings.TrimRight(name, "[]")
	for _, f := range n.fields {
		if f.name == name {
			return !more || f.node.has(rest)
		}
	}
	return false
}

// Keeps tells whether the text has all that the catalogue's schema of its record says: the event type and every field, with its marks. A
// version that does not was registered by somebody else.
func (s *Schema) Keeps(own *Schema) bool {
	if s.written != own.written {
		return false
	}
	for _, f := range own.root.fields {
		if !s.root.has(f.name) {
			return false
		}
	}
	marked := map[string]bool{}
	for _, f := range s.personal {
		marked[f.Path] = true
	}
	for _, f := range own.personal {
		if !marked[f.Path] {
			return false
		}
	}
	return true
}

// ImpliedType is the event type that the record's full name gives where nothing else does: its words in lower case, and words written together
// parted by _ (acme.crm.DealClosed is acme.crm.deal_closed). It is "" where that is no event type, such as without a namespace.
func (s *Schema) ImpliedType() string { return s.implied }

func impliedType(full string) string {
	words := strings.Split(full, ".")
	for i, w := range words {
		words[i] = snake(w)
	}
	if t := strings.Join(words, "."); validEventType(t) {
		return t
	}
	return ""
}

// snake writes DealClosed as deal_closed and HTTPServer2 as http_server2.
func snake(word string) string {
	upper := func(i int) bool { return i >= 0 && i < len(word) && word[i] >= 'A' && word[i] <= 'Z' }
	var b strings.Builder
	for i := range len(word) {
		if upper(i) && i > 0 && word[i-1] != '_' && (!upper(i-1) || i+1 < len(word) && !upper(i+1) && word[i+1] != '_' && (word[i+1] < '0' || word[i+1] > '9')) {
			b.WriteByte('_')
		}
		b.WriteByte(word[i])
	}
	return strings.Trim(strings.ToLower(b.String()), "_")
}

// Serves returns nil when events of the type may have data of this schema. A type of the catalogue takes a record whose fields can stand for
// those of the catalogue's.
func (s *Schema) Serves(eventType string) error {
	if s.roles == nil {
		return s.unfit
	}
	return s.role(eventType).err
}

func (s *Schema) role(eventType string) role {
	if s.roles == nil {
		return role{rules: s.subjects}
	}
	own := s.roles.catalogue(eventType)
	if own == nil {
		return role{rules: s.subjects}
	}
	s.roles.mu.Lock()
	defer s.roles.mu.Unlock()
	r, ok := s.roles.found[eventType]
	if !ok { // the catalogue's types are few
		r = role{rules: s.find(own.subjects), absent: s.root.lacks(own.root), err: standsFor(s.root, own.root, "")}
		s.roles.found[eventType] = r
	}
	return r
}

// Absent lists the fields that the catalogue's record of a type has and this record has not. Readers of the type take them as null, which they
// may be, as Avro does with the fields that a writer did not know.
func (s *Schema) Absent(eventType string) []string {
	if s.roles == nil {
		return s.absent
	}
	return s.role(eventType).absent
}

// lacks lists the fields of a record that another one has and this one has not, and that may be null.
func (n *node) lacks(other *node) []string {
	var names []string
	for _, f := range other.fields {
		if _, _, nullable := f.node.nullable(); nullable && f.optional && f.fallback == nil && !n.has(f.name) {
			names = append(names, f.name)
		}
	}
	return names
}

// standsFor compares a foreign record with the one that readers of a type expect: what they need is there, and what both have is of one kind.
func standsFor(n, own *node, path string) error {
	fields := map[string]*field{}
	for _, f := range n.fields {
		fields[f.name] = f
	}
	for _, want := range own.fields {
		where, f := join(path, want.name), fields[want.name]
		if f == nil && !want.optional {
			return &IncompatibleError{Path: where, Detail: "the record lacks it"}
		}
		if f == nil {
			continue
		}
		for _, branch := range branchesOf(f.node) {
			fits := false
			for _, other := range branchesOf(want.node) {
				if branch.kind != other.kind || branch.logical != other.logical {
					continue
				}
				fits = true
				if branch.kind == kindRecord {
					if err := standsFor(branch, other, where); err != nil {
						return err
					}
				}
				if branch.kind == kindArray && branch.items.kind != other.items.kind {
					fits = false
				} else if branch.kind == kindArray && branch.items.kind == kindRecord {
					if err := standsFor(branch.items, other.items, where+"[]"); err != nil {
						return err
					}
				}
			}
			if !fits {
				return &IncompatibleError{Path: where, Detail: fmt.Sprintf("it may be a %s, which is not expected there", branch.kind)}
			}
		}
	}
	return nil
}

// Subject returns what the data says the subject of an event of the type is: a prefix, such as lead/, and the value behind it. Both are empty
// where the schema names no field, or none of its fields has a value.
func (s *Schema) Subject(eventType string, body []byte) (prefix string, value []byte) {
	rules := s.subjects
	if s.roles != nil {
		rules = s.role(eventType).rules
	}
	for i := range rules {
		if value = s.textAt(body, rules[i].at); len(value) > 0 {
			return rules[i].prefix, value
		}
	}
	return "", nil
}

// Names tells whether the data names what a subject does, in a field that is not the one of Subject: appointment events may be about
// lead/7 where their lead_id is 7.
func (s *Schema) Names(subject string, body []byte) bool {
	noun, id, ok := strings.Cut(subject, "/")
	at := s.texts[noun+"_id"]
	return ok && at > 0 && string(s.textAt(body, at)) == id
}
