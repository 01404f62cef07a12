package avro

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// RenderJSON checks body and renders it as compact JSON, always the same bytes for the same body: fields in the
// order of the schema, nulls included, timestamps in RFC 3339 with microseconds in UTC, decimals and times as
// strings, bytes and fixed as base64. EncodeJSON of the result gives a body with the same values.
// The error is a [*BodyError].
func (s *Schema) RenderJSON(body []byte) ([]byte, error) {
	if err := s.Check(body); err != nil {
		return nil, err
	}
	r := renderer{body: body, out: make([]byte, 0, len(body)*3)}
	r.value(s.root)
	return r.out, nil
}

// renderer reads a body that Check accepted, so it needs no bounds of its own.
type renderer struct {
	body []byte
	pos  int
	out  []byte
}

func (r *renderer) long() int64 {
	v, next := readLong(r.body, r.pos)
	r.pos = next
	return v
}

func (r *renderer) take(n int64) []byte {
	start := r.pos
	r.pos += int(n)
	return r.body[start:r.pos]
}

func (r *renderer) value(n *node) {
	switch n.kind {
	case kindNull:
		r.out = append(r.out, "null"...)
	case kindBoolean:
		r.out = strconv.AppendBool(r.out, r.take(1)[0] == 1)
	case kindInt, kindLong:
		v := r.long()
		if n.logical == logicalNone {
			r.out = strconv.AppendInt(r.out, v, 10)
			return
		}
		t, layout := n.moment(v)
		r.out = append(t.AppendFormat(append(r.out, '"'), layout), '"')
	case kindFloat:
		f := math.Float32frombits(binary.LittleEndian.Uint32(r.take(4)))
		r.out = jsontext.AppendFloat(r.out, float64(f), 32)
	case kindDouble:
		f := math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
		r.out = jsontext.AppendFloat(r.out, f, 64)
	case kindString:
		r.text(string(r.take(r.long())))
	case kindEnum:
		r.text(n.ordered[r.long()])
	case kindBytes:
		r.bytes(n, r.take(r.long()))
	case kindFixed:
		r.bytes(n, r.take(int64(n.size)))
	case kindArray:
		r.array(n)
	case kindUnion:
		r.value(n.branches[r.long()])
	case kindRecord:
		r.out = append(r.out, '{')
		for i, f := range n.fields {
			if i > 0 {
				r.out = append(r.out, ',')
			}
			r.text(f.name)
			r.out = append(r.out, ':')
			r.value(f.node)
		}
		r.out = append(r.out, '}')
	}
}

func (r *renderer) text(s string) {
	// The error tells of invalid UTF-8, which Check refuses; the output is then still valid JSON.
	r.out, _ = jsontext.AppendQuote(r.out, s)
}

func (r *renderer) bytes(n *node, b []byte) {
	r.out = append(r.out, '"')
	if n.logical == logicalDecimal {
		r.out = n.decimal.format(r.out, b)
	} else {
		r.out = base64.StdEncoding.AppendEncode(r.out, b)
	}
	r.out = append(r.out, '"')
}

func (r *renderer) array(n *node) {
	r.out = append(r.out, '[')
	first := true
	for count := r.long(); count != 0; count = r.long() {
		if count < 0 { // a block with its size in bytes
			count = -count
			r.long()
		}
		for range count {
			if !first {
				r.out = append(r.out, ',')
			}
			first = false
			r.value(n.items)
		}
	}
	r.out = append(r.out, ']')
}
