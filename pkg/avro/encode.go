package avro

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const maxProblems = 50 // further ones are counted only

// EncodeJSON encodes one JSON object. The text must be strict JSON: UTF-8 without NUL, no doubled names, at most
// [MaxDepth] levels and [MaxJSON] bytes. Nullable fields and fields with a default may be left out, unknown ones may
// not be there. Bytes and fixed are base64, decimals are strings of digits (or numbers of at most 15), timestamps
// are RFC 3339, unions are plain values. The error is an [*InvalidError] with every problem found. Equal data gives
// equal bytes.
func (s *Schema) EncodeJSON(data []byte) ([]byte, error) {
	if body, taken := s.transcode(data); taken {
		return body, nil
	}
	return s.encodeTree(data, nil)
}

// EncodeJSONWithin is EncodeJSON for data that a [Transcoder] did not take. It asks grow before it uses n more bytes of memory, besides
// a few times those of data, and ends with the error of grow when that returns one.
func (s *Schema) EncodeJSONWithin(data []byte, grow func(n int) error) ([]byte, error) {
	return s.encodeTree(data, grow)
}

// encodeTree is EncodeJSON by way of Go values and goavro: the reference that the transcoder is held against, and what names
// all that is wrong with data which that did not take.
func (s *Schema) encodeTree(data []byte, grow func(n int) error) ([]byte, error) {
	tree, dropped, err := readFor(s.plan, data, dataBounds, meter{grow: grow})
	if err != nil {
		return nil, err
	}
	return s.encode(tree, &encoder{dropped: dropped, meter: meter{grow: grow}})
}

// EncodeMap encodes values as Decode gives them; also int and int32 for numbers, RFC 3339 strings for timestamps and
// base64 strings for bytes. Nullable fields and fields with a default may be left out; unknown keys are a problem.
// The error is an [*InvalidError] with every problem found.
func (s *Schema) EncodeMap(v map[string]any) ([]byte, error) {
	if v == nil {
		v = map[string]any{}
	}
	if body, taken := s.encodeValues(v); taken {
		return body, nil
	}
	return s.encode(v, &encoder{})
}

func (s *Schema) encode(tree any, e *encoder) ([]byte, error) {
	native := e.value(s.root, tree)
	if e.short != nil {
		return nil, e.short
	}
	if e.fields > MaxBody {
		e.problem(fmt.Sprintf("takes more than %d bytes", MaxBody))
	}
	if e.items > MaxItems {
		e.problem(fmt.Sprintf("arrays have more than %d items", MaxItems))
	}
	if e.dropped > 0 {
		e.problems = append(e.problems, Problem{Message: fmt.Sprintf("%d more problems", e.dropped)})
	}
	if len(e.problems) > 0 {
		return nil, &InvalidError{Problems: e.problems}
	}
	body, err := s.encoder.BinaryFromNative(make([]byte, 0, 512), native)
	if err != nil {
		return nil, invalid("", "goavro refused what was checked: "+err.Error())
	}
	// What is written must be readable: the walk costs a fraction of the encoding, and catches what no list of
	// known quirks would.
	if err := s.Check(body); err != nil {
		return nil, invalid("", err.Error())
	}
	return body, nil
}

// encoder turns a checked tree into what goavro takes, and collects problems instead of stopping at the first.
type encoder struct {
	at       []string
	problems []Problem
	dropped  int
	items    int
	fields   int // of all records, those left out too
	meter    meter
	short    error // of memory: everything else is void
}

// use asks for memory. false says that there is none.
func (e *encoder) use(n int) bool {
	if e.short == nil {
		e.short = e.meter.use(n)
	}
	return e.short == nil
}

// problem records a problem at the current path and returns nil for the value.
func (e *encoder) problem(message string) any {
	if len(e.problems) >= maxProblems {
		e.dropped++
		return nil
	}
	var at strings.Builder
	for _, step := range e.at {
		at.WriteByte('/')
		at.WriteString(pointerEscapes.Replace(step))
	}
	e.problems = append(e.problems, Problem{Location: at.String(), Message: message})
	return nil
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func (e *encoder) enter(step string) { e.at = append(e.at, step) }
func (e *encoder) leave()            { e.at = e.at[:len(e.at)-1] }

func (e *encoder) value(n *node, v any) any {
	switch n.kind {
	case kindNull:
		if v != nil {
			return e.problem("must be null")
		}
		return nil
	case kindBoolean:
		if b, ok := v.(bool); ok {
			return b
		}
		return e.problem("must be true or false")
	case kindInt, kindLong:
		return e.integer(n, v)
	case kindFloat, kindDouble:
		return e.float(n, v)
	case kindString:
		return e.text(n, v)
	case kindEnum:
		s, ok := v.(string)
		if _, known := n.symbols[s]; !ok || !known {
			return e.problem("must be one of " + strings.Join(n.ordered[:min(len(n.ordered), 20)], ", "))
		}
		return s
	case kindBytes, kindFixed:
		if n.logical == logicalDecimal {
			return e.decimal(n, v)
		}
		return e.bytes(n, v)
	case kindArray:
		return e.array(n, v)
	case kindUnion:
		return e.union(n, v)
	default:
		return e.record(n, v)
	}
}

func (e *encoder) record(n *node, v any) any {
	members, ok := v.(map[string]any)
	if !ok {
		return e.problem("must be an object")
	}
	if e.fields += len(n.fields); e.fields > MaxBody {
		return nil // each takes at least a byte; encode says so once
	}
	if !e.use(sizeObject + sizeMember*len(n.fields)) {
		return nil
	}
	native := make(map[string]any, len(n.fields))
	known := 0
	for _, f := range n.fields {
		member, present := members[f.name]
		if !present {
			switch {
			case f.optional:
				native[f.name] = f.fallback
			case f.node.look()&looksNull != 0:
				native[f.name] = nil
			default:
				e.enter(f.name)
				e.problem("is required")
				e.leave()
			}
			continue
		}
		known++
		e.enter(f.name)
		native[f.name] = e.value(f.node, member)
		e.leave()
	}
	if known < len(members) {
		e.unknown(n, members)
	}
	return native
}

func (e *encoder) unknown(n *node, members map[string]any) {
	var names []string
	for name := range members {
		if !slices.ContainsFunc(n.fields, func(f *field) bool { return f.name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		e.enter(fmt.Sprintf("%.64s", name))
		e.problem("is not a field of " + n.name)
		e.leave()
	}
}

func (e *encoder) array(n *node, v any) any {
	list, ok := v.([]any)
	if !ok {
		return e.problem("must be an array")
	}
	if e.items += len(list); e.items > MaxItems {
		return nil // encode says so once
	}
	if !e.use(sizeItem * len(list)) {
		return nil
	}
	native := make([]any, len(list))
	for i, item := range list {
		e.enter(strconv.Itoa(i))
		native[i] = e.value(n.items, item)
		e.leave()
	}
	return native
}

func (e *encoder) union(n *node, v any) any {
	looks := lookOf(v)
	for _, branch := range n.branches {
		if branch.look()&looks == 0 {
			continue
		}
		if branch.kind == kindNull {
			return nil
		}
		if !e.use(sizeObject) {
			return nil
		}
		return map[string]any{branch.branchName(): e.value(branch, v)}
	}
	if inner, _, ok := n.nullable(); ok {
		return e.value(inner, v) // which names what is wanted
	}
	return e.problem("is of none of the types that the field allows")
}

func (e *encoder) integer(n *node, v any) any {
	var i int64
	switch v := v.(type) {
	case int:
		i = int64(v)
	case int32:
		i = int64(v)
	case int64:
		i = v
	case number:
		if n.logical != logicalNone {
			break
		}
		parsed, ok := wholeNumber(v)
		if !ok {
			return e.problem("must be an integer that fits in " + n.kind.String())
		}
		i = parsed
	}
	if n.logical != logicalNone {
		message := "must be a string"
		switch v := v.(type) {
		case string:
			i, message = n.parseMoment(v)
		case time.Time:
			i, message = n.fromTime(v)
		}
		if message != "" {
			return e.problem(message)
		}
	} else if lookOf(v) != looksNumber || isFloat(v) {
		return e.problem("must be an integer")
	}
	if low, high := n.span(); i < low || i > high {
		return e.problem(n.outOfSpan())
	}
	if n.kind == kindInt {
		return int32(i)
	}
	return i
}

func isFloat(v any) bool {
	switch v.(type) {
	case float32, float64:
		return true
	}
	return false
}

func (e *encoder) float(n *node, v any) any {
	width := 64
	if n.kind == kindFloat {
		width = 32
	}
	var f float64
	switch v := v.(type) {
	case float64:
		f = v
	case float32:
		f = float64(v)
	case int:
		f = float64(v)
	case int32:
		f = float64(v)
	case int64:
		f = float64(v)
	case number:
		parsed, err := strconv.ParseFloat(string(v), width)
		if err != nil {
			return e.problem("is out of the range of " + n.kind.String())
		}
		f = parsed
	default:
		return e.problem("must be a number")
	}
	if math.IsNaN(f) || math.IsInf(f, 0) || width == 32 && math.IsInf(float64(float32(f)), 0) {
		return e.problem("must be a finite number in the range of " + n.kind.String())
	}
	if width == 32 {
		return float32(f)
	}
	return f
}

func (e *encoder) text(n *node, v any) any {
	s, ok := v.(string)
	switch {
	case !ok:
		return e.problem("must be a string")
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return e.problem("must be UTF-8 without the character NUL")
	case n.logical == logicalUUID && !validUUID(s):
		return e.problem("must be a uuid, such as 018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f")
	}
	return s
}

func (e *encoder) bytes(n *node, v any) any {
	var b []byte
	switch v := v.(type) {
	case []byte:
		b = v
	case string:
		var err error
		if b, err = base64.StdEncoding.Strict().DecodeString(v); err != nil || strings.ContainsAny(v, "\r\n") {
			return e.problem("must be base64 (RFC 4648, with padding)")
		}
	default:
		return e.problem("must be a string of base64")
	}
	if n.kind == kindFixed && len(b) != n.size {
		return e.problem(fmt.Sprintf("must be %d bytes, is %d", n.size, len(b)))
	}
	return b
}
