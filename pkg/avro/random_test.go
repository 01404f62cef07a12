package avro

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// maker makes up schemas, and values that fit them, from a seed.
type maker struct {
	*rand.Rand
	names int
}

var plainTypes = []string{
	`"boolean"`, `"int"`, `"long"`, `"float"`, `"double"`, `"bytes"`, `"string"`, `{"type":"string","logicalType":"uuid"}`,
	`{"type":"int","logicalType":"date"}`, `{"type":"int","logicalType":"time-millis"}`, `{"type":"long","logicalType":"time-micros"}`,
	`{"type":"long","logicalType":"timestamp-millis"}`, `{"type":"long","logicalType":"timestamp-micros"}`,
	`{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":38,"scale":38}`,
}

func (m *maker) typ(depth int) string {
	n := m.IntN(len(plainTypes) + 6)
	if n < len(plainTypes) || depth == 0 {
		return plainTypes[n%len(plainTypes)]
	}
	m.names++
	switch n - len(plainTypes) {
	case 0:
		return fmt.Sprintf(`{"type":"fixed","name":"F%d","size":%d}`, m.names, 1+m.IntN(20))
	case 1:
		return fmt.Sprintf(`{"type":"enum","name":"E%d","symbols":["A","B","C"]}`, m.names)
	case 2:
		return fmt.Sprintf(`{"type":"fixed","name":"D%d","size":%d,"logicalType":"decimal","precision":9,"scale":3}`, m.names, 4+m.IntN(13))
	case 3:
		return `{"type":"array","items":` + m.typ(depth-1) + `}`
	case 4:
		return m.record(depth - 1)
	}
	branches := []string{`"null"`, m.typ(depth - 1)}
	if m.IntN(2) == 0 {
		branches[0], branches[1] = branches[1], branches[0]
	}
	return `[` + branches[0] + `,` + branches[1] + `]` // of a union or an array of nothing: refused, and made up again
}

func (m *maker) record(depth int) string {
	m.names++
	fields := ""
	name := m.names
	for i := range 1 + m.IntN(5) {
		if i > 0 {
			fields += ","
		}
		fields += fmt.Sprintf(`{"name":"f%d","type":%s}`, i, m.typ(depth))
	}
	return fmt.Sprintf(`{"type":"record","name":"test.v1.R%d","fields":[%s]}`, name, fields)
}

func (m *maker) value(n *node) any {
	switch n.kind {
	case kindNull:
		return nil
	case kindBoolean:
		return m.IntN(2) == 0
	case kindInt, kindLong:
		low, high := n.span()
		v := m.Int64() >> m.IntN(64)
		if v < low || v > high || m.IntN(2) == 0 {
			v = low + int64(m.Uint64N(min(uint64(high)-uint64(low), 1<<40))) // near the lowest
		}
		if n.logical == logicalNone {
			return v
		}
		t, layout := n.moment(v)
		return t.Format(layout)
	case kindFloat:
		return float64(float32(m.NormFloat64()))
	case kindDouble:
		return m.NormFloat64() * 1e300
	case kindString:
		if n.logical == logicalUUID {
			return fmt.Sprintf("%08x-0000-4000-8000-%012x", m.Uint32(), m.Uint64()>>16)
		}
		text := []rune{}
		for range m.IntN(12) {
			text = append(text, []rune("aZ0\"\\\n\u2028ä€😀\x7f\x01")[m.IntN(12)])
		}
		return string(text)
	case kindBytes, kindFixed:
		if n.logical == logicalDecimal {
			digits := fmt.Sprintf("%d.%02d", m.IntN(1000)-500, m.IntN(100))
			if n.decimal.scale == n.decimal.precision {
				digits = fmt.Sprintf("-0.%d", m.Int64())
			}
			return digits
		}
		b := make([]byte, n.size)
		if n.kind == kindBytes {
			b = make([]byte, m.IntN(100))
		}
		for i := range b {
			b[i] = byte(m.Uint32())
		}
		return b
	case kindEnum:
		return n.ordered[m.IntN(len(n.ordered))]
	case kindArray:
		items := make([]any, m.IntN(4))
		for i := range items {
			items[i] = m.value(n.items)
		}
		return items
	case kindUnion:
		return m.value(n.branches[m.IntN(len(n.branches))])
	}
	values := map[string]any{}
	for _, f := range n.fields {
		values[f.name] = m.value(f.node)
	}
	return values
}

// Whatever the schema, what is encoded is read back, and of what damaged bytes still pass the check all readers agree.
func TestCodecs_AgreeOnMadeUpSchemas(t *testing.T) {
	rounds, damaged := 0, 0
	for seed := uint64(0); rounds < 200; seed++ {
		m := &maker{Rand: rand.New(rand.NewPCG(seed, 7))}
		text := m.record(4)
		s, err := Parse([]byte(text))
		if err != nil {
			continue
		}
		rounds++
		data, err := json.Marshal(m.value(s.root))
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.EncodeJSON(data)
		if err != nil {
			t.Fatalf("seed %d: %s under %s: %v", seed, data, text, err)
		}
		agree(t, s, body)
		transcodersAgree(t, s, data)
		for range 60 {
			bad := append([]byte(nil), body...)
			if len(bad) == 0 {
				break
			}
			for range 1 + m.IntN(2) {
				bad[m.IntN(len(bad))] ^= 1 << m.IntN(8)
			}
			if s.Check(bad) != nil {
				continue
			}
			damaged++
			agree(t, s, bad)
			if _, rest, err := s.encoder.NativeFromBinary(bad); err != nil || len(rest) > 0 {
				t.Fatalf("seed %d: goavro leaves %d bytes of %x under %s (%v)", seed, len(rest), bad, text, err)
			}
		}
	}
	if damaged < 500 {
		t.Errorf("only %d damaged bodies passed the check: the test has lost its teeth", damaged)
	}
}
