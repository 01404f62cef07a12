package avro

import "strings"

// MaxIdentifier is how many bytes an identifier in data may have when it is new: a text field named id or <something>_id, or the items of
// <something>_ids. Identifiers are keys of tables and indexes, and Postgres takes index rows of up to 2,704 bytes over all their columns.
// The bound follows from the name, so that it holds for schemas that were registered before there was one. A field's property max_bytes
// says another.
const MaxIdentifier = 512

// maxBytesOf reads a field's bound: its property max_bytes, or what its name asks for; 0 for none.
func maxBytesOf(object map[string]any, name, at string) (int, error) {
	if given, present := object["max_bytes"]; present {
		n, ok := integer(given)
		if !ok || n < 1 || n > MaxBody {
			return 0, refuse(at+"/max_bytes", "must be from 1 to %d bytes", MaxBody)
		}
		return int(n), nil
	}
	if name == "id" || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_ids") {
		return MaxIdentifier, nil
	}
	return 0, nil
}

// bound sets the bound of a text, and of the texts among the items of an array and the branches of a union, however these are nested.
func bound(step *op, max int) {
	switch step.code {
	case opText:
		step.max = max
	case opArray, opUnion:
		for i := range step.sub {
			bound(&step.sub[i], max)
		}
	}
}

// CheckBounds is CheckNew for a body that Check has passed. Short bodies, which are most, cost nothing.
func (s *Schema) CheckBounds(body []byte) error {
	if len(body) <= s.short {
		return nil
	}
	return s.CheckNew(body)
}

// shortest is the smallest bound of a program.
func shortest(ops []op, least int) int {
	for i := range ops {
		if n := ops[i].max; n > 0 {
			least = min(least, n)
		}
		least = shortest(ops[i].sub, least)
	}
	return least
}

// Bounds lists the bounds that CheckNew holds texts to, in bytes by field, such as "lead_id" or "contact.id".
func (s *Schema) Bounds() map[string]int {
	out := map[string]int{}
	collect(s.program, out)
	return out
}

func collect(ops []op, into map[string]int) {
	for i := range ops {
		if ops[i].max > 0 {
			into[ops[i].path] = ops[i].max
		}
		collect(ops[i].sub, into)
	}
}
