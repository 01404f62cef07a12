package avro

import (
	"fmt"

	twmb "github.com/twmb/avro"
)

// IncompatibleError says why data of one schema can not be read under another.
type IncompatibleError struct {
	Path   string // field, "" for the whole
	Detail string
}

func (e *IncompatibleError) Error() string {
	if e.Path == "" {
		return "incompatible: " + e.Detail
	}
	return "incompatible at " + e.Path + ": " + e.Detail
}

// CheckCompatible returns nil when each of a and b reads what the other wrote (FULL in the words of schema
// registries), and reads it with the same meaning; else an [*IncompatibleError]. Avro resolves a timestamp in
// microseconds to a plain long, or to milliseconds, without a word; here that is incompatible, as are another name
// or event type.
func CheckCompatible(a, b *Schema) error {
	if a.FullName() != b.FullName() {
		return &IncompatibleError{Detail: fmt.Sprintf("%s is not %s", a.FullName(), b.FullName())}
	}
	if a.eventType != b.eventType {
		return &IncompatibleError{Detail: fmt.Sprintf("event type %q is not %q", a.eventType, b.eventType)}
	}
	if err := sameMeaning(a.root, b.root, ""); err != nil {
		return err
	}
	for _, pair := range [][2]*Schema{{a, b}, {b, a}} {
		if err := twmb.CheckCompatibility(pair[0].full, pair[1].full); err != nil {
			return &IncompatibleError{Detail: err.Error()}
		}
	}
	return nil
}

// sameMeaning compares the logical types of values that both schemas have.
func sameMeaning(a, b *node, path string) error {
	switch {
	case a.kind == kindRecord && b.kind == kindRecord:
		for _, f := range a.fields {
			for _, g := range b.fields {
				if f.name != g.name {
					continue
				}
				if err := sameMeaning(f.node, g.node, join(path, f.name)); err != nil {
					return err
				}
			}
		}
		return nil
	case a.kind == kindArray && b.kind == kindArray:
		return sameMeaning(a.items, b.items, path+"[]")
	case a.kind == kindUnion || b.kind == kindUnion:
		for _, branch := range branchesOf(a) {
			for _, other := range branchesOf(b) {
				if branch.kind != other.kind {
					continue
				}
				if err := sameMeaning(branch, other, path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if a.logical != b.logical {
		return &IncompatibleError{Path: path, Detail: fmt.Sprintf("logical type %s is not %s", a.logical, b.logical)}
	}
	if a.logical == logicalDecimal && (a.decimal.scale != b.decimal.scale || a.decimal.precision != b.decimal.precision) {
		return &IncompatibleError{Path: path, Detail: fmt.Sprintf("decimal(%d,%d) is not decimal(%d,%d)",
			a.decimal.precision, a.decimal.scale, b.decimal.precision, b.decimal.scale)}
	}
	return nil
}

func branchesOf(n *node) []*node {
	if n.kind == kindUnion {
		return n.branches
	}
	return []*node{n}
}
