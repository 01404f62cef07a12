package avro

import (
	"fmt"
)

// Decode checks body and decodes it. Values are nil, bool, int64, float64, string, []byte, time.Time (UTC), []any
// and map[string]any; decimals are strings with exactly as many digits as their scale ("12.5000"), enums and uuids
// are strings, times of day are strings, and unions are unwrapped. The error is a [*BodyError].
func (s *Schema) Decode(body []byte) (map[string]any, error) {
	return s.DecodeWith(body, func(digits string) any { return digits })
}

// DecodeWith is Decode with another form of decimals: what decimal makes of the digits.
func (s *Schema) DecodeWith(body []byte, decimal func(digits string) any) (map[string]any, error) {
	if err := s.Check(body); err != nil {
		return nil, err
	}
	var out map[string]any
	rest, err := s.decoder.Decode(body, &out)
	if err != nil {
		return nil, &BodyError{Message: fmt.Sprintf("the check passed, decoding did not: %v", err)}
	}
	if len(rest) > 0 {
		return nil, &BodyError{Offset: len(body) - len(rest), Message: "bytes are left over after decoding"}
	}
	fit(s.root, out, decimal)
	return out, nil
}

// fit replaces what twmb/avro gives for the wire schema by what Decode promises, in place where it can.
func fit(n *node, v any, decimal func(string) any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		if n = n.branch(kindRecord); n != nil {
			for _, f := range n.fields {
				v[f.name] = fit(f.node, v[f.name], decimal)
			}
		}
	case []any:
		if n = n.branch(kindArray); n != nil {
			for i := range v {
				v[i] = fit(n.items, v[i], decimal)
			}
		}
	case int32:
		return fitInteger(n, int64(v), kindInt)
	case int64:
		return fitInteger(n, v, kindLong)
	case float32:
		return float64(v)
	case []byte:
		if inner := n.branch(kindBytes); inner != nil && inner.logical == logicalDecimal {
			return decimal(string(inner.decimal.format(nil, v)))
		}
		if inner := n.branch(kindFixed); inner != nil && inner.logical == logicalDecimal && n.branch(kindBytes) == nil {
			return decimal(string(inner.decimal.format(nil, v)))
		}
	}
	return v
}

func fitInteger(n *node, v int64, k kind) any {
	if n = n.branch(k); n == nil || n.logical == logicalNone {
		return v
	}
	t, layout := n.moment(v)
	if n.logical == logicalTimeMillis || n.logical == logicalTimeMicros {
		return t.Format(layout)
	}
	return t
}

// branch returns n, or the branch of it, that has kind k; nil if there is none. A union has at most one of a kind,
// because two would look alike in JSON, except int and long, or bytes and fixed, of which one may be logical.
func (n *node) branch(k kind) *node {
	if n.kind == k {
		return n
	}
	if n.kind == kindUnion {
		for _, branch := range n.branches {
			if branch.kind == k {
				return branch
			}
		}
	}
	return nil
}
