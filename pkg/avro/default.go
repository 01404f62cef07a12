package avro

import (
	"math"
	"strconv"
)

// defaultValue reads the default of a field as the Avro specification writes it (bytes as a string of code points up
// to 255, the first branch for a union, logical types as what lies under them), and returns it as goavro takes it.
func defaultValue(n *node, v any, at string) (any, error) {
	wrong := func() (any, error) { return nil, refuse(at, "does not fit the type") }
	switch n.kind {
	case kindNull:
		if v == nil {
			return nil, nil
		}
	case kindBoolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case kindInt, kindLong:
		i, ok := integer(v)
		if low, high := n.span(); !ok || i < low || i > high {
			return wrong()
		}
		if n.kind == kindInt {
			return int32(i), nil
		}
		return i, nil
	case kindFloat, kindDouble:
		literal, _ := v.(number)
		f, err := strconv.ParseFloat(string(literal), 64)
		if err != nil || n.kind == kindFloat && math.IsInf(float64(float32(f)), 0) {
			return wrong()
		}
		if n.kind == kindFloat {
			return float32(f), nil
		}
		return f, nil
	case kindString:
		if s, ok := v.(string); ok && (n.logical != logicalUUID || validUUID(s)) {
			return s, nil
		}
	case kindEnum:
		if s, ok := v.(string); ok {
			if _, known := n.symbols[s]; known {
				return s, nil
			}
		}
	case kindBytes, kindFixed:
		s, ok := v.(string)
		b := make([]byte, 0, len(s))
		for _, r := range s {
			if r > 0xff {
				return wrong()
			}
			b = append(b, byte(r))
		}
		badSize := n.kind == kindFixed && len(b) != n.size
		if !ok || badSize || n.logical == logicalDecimal && !n.decimal.fits(b) {
			return wrong()
		}
		return b, nil
	case kindArray:
		list, ok := v.([]any)
		if !ok {
			return wrong()
		}
		native := make([]any, len(list))
		for i, item := range list {
			var err error
			if native[i], err = defaultValue(n.items, item, at+"/"+strconv.Itoa(i)); err != nil {
				return nil, err
			}
		}
		return native, nil
	case kindUnion:
		first := n.branches[0]
		native, err := defaultValue(first, v, at)
		if err != nil || first.kind == kindNull {
			return native, err
		}
		return map[string]any{first.branchName(): native}, nil
	case kindRecord:
		return defaultRecord(n, v, at)
	}
	return wrong()
}

func defaultRecord(n *node, v any, at string) (any, error) {
	members, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(at, "does not fit the type")
	}
	native := make(map[string]any, len(n.fields))
	known := 0
	for _, f := range n.fields {
		member, present := members[f.name]
		if !present {
			if !f.optional {
				return nil, refuse(at, "has no value for the field %s", f.name)
			}
			native[f.name] = f.fallback
			continue
		}
		known++
		var err error
		if native[f.name], err = defaultValue(f.node, member, at+"/"+f.name); err != nil {
			return nil, err
		}
	}
	if known != len(members) {
		return nil, refuse(at, "has fields that the type does not have")
	}
	return native, nil
}
