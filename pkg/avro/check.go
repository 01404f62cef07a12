package avro

import (
	"encoding/binary"
	"fmt"
	"math"
)

// op is one step of the walk that Check makes. A record is the sequence of its fields' steps; records within it lie
// in the same sequence, so that a flat event is one loop over one slice.
type op struct {
	code opcode
	null int8 // index of null plus one where the type is a union of null and this one; 0 where it is not
	low  int64
	high int64 // bounds of an int or long; number of symbols or branches; bytes of a fixed
	dec  *decimal
	sub  []op // record in a union; item of an array; branches of a union, one step each
	path string
	max  int // of a text: bytes that a new value may have; 0 for no bound but the body's
}

type opcode uint8

const (
	opLong opcode = iota // int, long and all that lies over them
	opText
	opUUID
	opBoolean
	opFloat
	opDouble
	opBytes
	opDecimal
	opFixed
	opFixedDecimal
	opEnum
	opArray
	opRecord
	opUnion
	opNull
)

func compile(root *node) []op { return appendOps(nil, root, "") }

func appendOps(ops []op, n *node, path string) []op {
	if n.kind == kindRecord {
		for _, f := range n.fields {
			from := len(ops)
			ops = appendOps(ops, f.node, join(path, f.name))
			if f.maxBytes > 0 && len(ops) == from+1 {
				bound(&ops[from], f.maxBytes)
			}
		}
		return ops
	}
	if inner, nullAt, ok := n.nullable(); ok {
		step := opOf(inner, path)
		step.null = int8(nullAt) + 1
		return append(ops, step)
	}
	return append(ops, opOf(n, path))
}

func opOf(n *node, path string) op {
	step := op{path: path}
	switch n.kind {
	case kindNull:
		step.code = opNull
	case kindBoolean:
		step.code = opBoolean
	case kindInt, kindLong:
		step.code = opLong
		step.low, step.high = n.span()
	case kindFloat:
		step.code = opFloat
	case kindDouble:
		step.code = opDouble
	case kindBytes:
		step.code = opBytes
		if n.logical == logicalDecimal {
			step.code, step.dec = opDecimal, &n.decimal
		}
	case kindString:
		step.code = opText
		if n.logical == logicalUUID {
			step.code = opUUID
		}
	case kindFixed:
		step.code, step.high = opFixed, int64(n.size)
		if n.logical == logicalDecimal {
			step.code, step.dec = opFixedDecimal, &n.decimal
		}
	case kindEnum:
		step.code, step.high = opEnum, int64(len(n.ordered))
	case kindArray:
		step.code, step.sub = opArray, appendOps(nil, n.items, path+"[]")
	case kindRecord:
		step.code, step.sub = opRecord, appendOps(nil, n, path)
	case kindUnion:
		step.code, step.high = opUnion, int64(len(n.branches))
		for _, branch := range n.branches {
			step.sub = append(step.sub, opOf(branch, path))
		}
	}
	return step
}

// Check walks body under the schema and returns nil when it is exactly one valid value; else a [*BodyError].
// It builds no values and allocates nothing, and what it costs is bounded by the length of the body. It is strict:
// text is UTF-8 without NUL, uuids and booleans are well formed, numbers are in range and finite, varints are
// minimal, decimals fit their precision, block sizes are true, at most [MaxItems] array items, nothing is left.
func (s *Schema) Check(body []byte) error { return s.check(body, false) }

// CheckNew is Check for a body that is not in a log yet: identifiers have at most [MaxIdentifier] bytes, or what the property max_bytes of
// their field says. Readers of a log use Check, because it may hold bodies from before there were bounds.
func (s *Schema) CheckNew(body []byte) error { return s.check(body, true) }

func (s *Schema) check(body []byte, bounds bool) error {
	if len(body) > MaxBody {
		return &BodyError{Message: fmt.Sprintf("%d bytes, more than %d", len(body), MaxBody)}
	}
	w := walker{body: body, items: MaxItems, bounds: bounds}
	w.walk(s.program)
	if w.failed != "" {
		return &BodyError{Offset: w.pos, Path: w.path, Message: w.failed}
	}
	if w.pos != len(body) {
		return &BodyError{Offset: w.pos, Message: fmt.Sprintf("%d bytes are left over", len(body)-w.pos)}
	}
	return nil
}

type walker struct {
	body   []byte
	pos    int
	items  int // array items still allowed
	bounds bool
	failed string
	path   string
}

func (w *walker) fail(step *op, message string) bool {
	w.failed, w.path = message, step.path
	return false
}

const cutOff = "the body ends within the value"

// walk goes over the values that ops describe, and returns false when one is bad.
func (w *walker) walk(ops []op) bool {
	for i := range ops {
		step := &ops[i]
		if step.null != 0 {
			if w.pos >= len(w.body) {
				return w.fail(step, cutOff)
			}
			index := w.body[w.pos] // zigzag: 0 is branch 0, 2 is branch 1
			if index&^2 != 0 {
				return w.fail(step, "union has no such branch")
			}
			w.pos++
			if int8(index>>1)+1 == step.null {
				continue
			}
		}
		switch step.code {
		case opText, opUUID, opBytes, opDecimal:
			raw, ok := w.raw(step)
			if !ok {
				return false
			}
			switch step.code {
			case opText:
				if !cleanText(raw) {
					return w.fail(step, "text is not UTF-8, or holds NUL")
				}
				if w.bounds && step.max > 0 && len(raw) > step.max {
					return w.fail(step, fmt.Sprintf("has %d bytes, more than the %d that it may have", len(raw), step.max))
				}
			case opUUID:
				if !validUUID(raw) {
					return w.fail(step, "is not a uuid")
				}
			case opDecimal:
				if len(raw) > step.dec.bytes || !step.dec.fits(raw) {
					return w.fail(step, "decimal is empty, or passes its precision")
				}
			}
		case opLong:
			v, ok := w.long(step)
			if !ok {
				return false
			}
			if v < step.low || v > step.high {
				return w.fail(step, "number is out of range")
			}
		case opBoolean:
			if w.pos >= len(w.body) {
				return w.fail(step, cutOff)
			}
			if w.body[w.pos] > 1 {
				return w.fail(step, "boolean is neither 0 nor 1")
			}
			w.pos++
		case opFloat:
			if len(w.body)-w.pos < 4 {
				return w.fail(step, cutOff)
			}
			if binary.LittleEndian.Uint32(w.body[w.pos:])&0x7f800000 == 0x7f800000 {
				return w.fail(step, "number is not finite")
			}
			w.pos += 4
		case opDouble:
			if len(w.body)-w.pos < 8 {
				return w.fail(step, cutOff)
			}
			if binary.LittleEndian.Uint64(w.body[w.pos:])&0x7ff0000000000000 == 0x7ff0000000000000 {
				return w.fail(step, "number is not finite")
			}
			w.pos += 8
		case opFixed, opFixedDecimal:
			if int64(len(w.body)-w.pos) < step.high {
				return w.fail(step, cutOff)
			}
			end := w.pos + int(step.high)
			if step.code == opFixedDecimal && !step.dec.fits(w.body[w.pos:end]) {
				return w.fail(step, "decimal passes its precision")
			}
			w.pos = end
		case opEnum, opUnion:
			v, ok := w.long(step)
			if !ok {
				return false
			}
			if v < 0 || v >= step.high {
				return w.fail(step, "no such symbol or branch")
			}
			if step.code == opUnion && !w.walk(step.sub[v:v+1]) {
				return false
			}
		case opArray:
			if !w.array(step) {
				return false
			}
		case opRecord:
			if !w.walk(step.sub) {
				return false
			}
		}
	}
	return true
}

// raw reads a length and as many bytes.
func (w *walker) raw(step *op) ([]byte, bool) {
	var n int64
	if w.pos < len(w.body) && w.body[w.pos] < 0x80 { // lengths up to 63, most of them
		n = int64(w.body[w.pos]>>1) ^ -int64(w.body[w.pos]&1)
		w.pos++
	} else {
		var ok bool
		if n, ok = w.long(step); !ok {
			return nil, false
		}
	}
	if n < 0 {
		return nil, w.fail(step, "length is negative")
	}
	if n > int64(len(w.body)-w.pos) {
		return nil, w.fail(step, cutOff)
	}
	start := w.pos
	w.pos += int(n)
	return w.body[start:w.pos], true
}

func (w *walker) long(step *op) (int64, bool) {
	v, next := readLong(w.body, w.pos)
	if next < 0 {
		return 0, w.fail(step, "number is cut off, too long or padded")
	}
	w.pos = next
	return v, true
}

// readLong reads a zigzag varint at pos; next is -1 when it is cut off, passes 64 bits or is longer than needed.
func readLong(body []byte, pos int) (v int64, next int) {
	var u uint64
	for shift := uint(0); pos < len(body); shift += 7 {
		c := body[pos]
		pos++
		if shift == 63 && c > 1 {
			return 0, -1
		}
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return 0, -1
			}
			return int64(u>>1) ^ -int64(u&1), pos
		}
	}
	return 0, -1
}

func (w *walker) array(step *op) bool {
	for {
		count, ok := w.long(step)
		if !ok {
			return false
		}
		if count == 0 {
			return true
		}
		end := -1
		if count < 0 { // a block that names its size in bytes follows
			size, ok := w.long(step)
			if !ok {
				return false
			}
			if count == math.MinInt64 || size < 0 || size > int64(len(w.body)-w.pos) {
				return w.fail(step, "array block has an impossible count or size")
			}
			count, end = -count, w.pos+int(size)
		}
		// Every item takes at least one byte, which Parse sees to.
		if count > int64(len(w.body)-w.pos) {
			return w.fail(step, "array has more items than the body has bytes")
		}
		if count > int64(w.items) {
			return w.fail(step, fmt.Sprintf("arrays have more than %d items", MaxItems))
		}
		w.items -= int(count)
		for range count {
			if !w.walk(step.sub) {
				return false
			}
		}
		if end >= 0 && end != w.pos {
			return w.fail(step, "array block is not of the size that it says")
		}
	}
}
