package avro

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/neuronx/engine/pkg/jsonscan"
)

// Transcoder writes Avro, and canonical JSON, from the tokens of a scanned text, without a value in between. It takes only
// what is right: what it does not take is judged by the tree (see EncodeJSON), which names everything that is wrong, so that
// refusals have one wording. It keeps its memory for the next use, and is for one goroutine. The zero value is ready.
type Transcoder struct {
	doc   *jsonscan.Doc
	out   []byte
	slots []uint32 // by object: for every field of its record the token of its value, 0 where it is left out
	items int      // of all arrays
	text  []byte   // of one string without its backslashes
}

// Append appends the encoding of the value at a token of doc to dst. taken is false when it is not known whether EncodeJSON
// takes the value; then ask that. The result shares no memory with doc. Marks of doc are overwritten.
func (t *Transcoder) Append(dst []byte, s *Schema, doc *jsonscan.Doc, at uint32) (body []byte, taken bool) {
	if tok := &doc.Tokens[at]; tok.End-tok.Start > MaxJSON {
		return dst, false
	}
	t.doc, t.out, t.slots, t.items = doc, dst, t.slots[:0], 0
	taken = t.value(s.plan, at)
	body, t.out = t.out, nil
	// What is written must be readable: the walk costs a fraction of the encoding, and is a second opinion.
	if !taken || s.Check(body[len(dst):]) != nil {
		return dst, false
	}
	return body, true
}

// AppendCanonical appends the canonical form (see CanonicalJSON) of the value that Append took last, with the same arguments.
func (t *Transcoder) AppendCanonical(dst []byte, s *Schema, doc *jsonscan.Doc, at uint32) []byte {
	t.doc, t.out = doc, dst
	t.canonical(s.plan, at)
	dst, t.out = t.out, nil
	return dst
}

// scratch is what one EncodeJSON needs.
type scratch struct {
	doc   jsonscan.Doc
	coder Transcoder
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is how many tokens' memory a pooled scratch may hold on to.
const maxScratch = 4096

// transcode encodes what the transcoder takes.
func (s *Schema) transcode(data []byte) ([]byte, bool) {
	if len(data) > MaxJSON {
		return nil, false
	}
	w := scratches.Get().(*scratch)
	var body []byte
	taken := w.doc.Scan(data, MaxDepth)
	if taken {
		body, taken = w.coder.Append(make([]byte, 0, len(data)), s, &w.doc, 0)
	}
	w.doc.Text, w.coder.doc = nil, nil // belong to the caller
	if cap(w.doc.Tokens) <= maxScratch && cap(w.coder.text) <= maxScratch {
		scratches.Put(w)
	}
	return body, taken
}

// value writes the value at a token, and returns false when it is not taken.
func (t *Transcoder) value(p *plan, at uint32) bool {
	tok := &t.doc.Tokens[at]
	switch p.kind {
	case kindNull:
		return tok.Kind == 'n'
	case kindBoolean:
		if tok.Kind != 't' && tok.Kind != 'f' {
			return false
		}
		t.out = append(t.out, 0)
		if tok.Kind == 't' {
			t.out[len(t.out)-1] = 1
		}
		return true
	case kindInt, kindLong:
		return t.integer(p, tok)
	case kindFloat, kindDouble:
		return t.float(p, tok)
	case kindString:
		s, ok := t.string(tok)
		if !ok || p.logical == logicalUUID && !validUUID(s) {
			return false
		}
		t.bytes(s)
		return true
	case kindEnum:
		s, ok := t.string(tok)
		if !ok {
			return false
		}
		index, ok := p.symbols[string(s)]
		t.long(int64(index))
		return ok
	case kindBytes, kindFixed:
		if p.logical == logicalDecimal {
			return t.decimal(p, tok)
		}
		return t.base64(p, tok)
	case kindArray:
		return t.array(p, tok, at)
	case kindUnion:
		looks := lookOfToken(tok.Kind)
		for i, branch := range p.branches {
			if branch.looks&looks != 0 {
				t.long(int64(i))
				return t.value(branch, at)
			}
		}
		return false
	default:
		return t.record(p, tok, at)
	}
}

func lookOfToken(kind byte) look {
	switch kind {
	case 'n':
		return looksNull
	case 't', 'f':
		return looksBoolean
	case '0':
		return looksNumber
	case '"':
		return looksString
	case '[':
		return looksArray
	default:
		return looksObject
	}
}

// record finds every field's value first, because members come in any order and the encoding has that of the schema.
func (t *Transcoder) record(p *plan, tok *jsonscan.Token, at uint32) bool {
	if tok.Kind != '{' {
		return false
	}
	// Items may leave out all of many fields. Every field takes at least a byte, so more than this can not be a body.
	base := len(t.slots)
	if base+len(p.fields) > MaxBody {
		return false
	}
	t.slots = slices.Grow(t.slots, len(p.fields))[:base+len(p.fields)]
	clear(t.slots[base:])
	tok.Mark = uint32(base)
	next := 0
	for member := at + 1; member < tok.Next; member = t.doc.Tokens[member+1].Next {
		i := p.find(t.doc.Raw(member), next)
		if i < 0 {
			return false
		}
		t.slots[base+i] = member + 1
		next = i + 1
	}
	for i := range p.fields {
		f := &p.fields[i]
		if member := t.slots[base+i]; member != 0 {
			if !t.value(f.plan, member) {
				return false
			}
		} else if f.fallback == nil {
			return false
		} else {
			t.out = append(t.out, f.fallback...)
		}
	}
	return true
}

func (t *Transcoder) array(p *plan, tok *jsonscan.Token, at uint32) bool {
	if tok.Kind != '[' {
		return false
	}
	if t.items += int(tok.Len); t.items > MaxItems {
		return false
	}
	if tok.Len > 0 { // one block
		t.long(int64(tok.Len))
		for item := at + 1; item < tok.Next; item = t.doc.Tokens[item].Next {
			if !t.value(p.items, item) {
				return false
			}
		}
	}
	t.long(0)
	return true
}

// string returns the characters of a string; they last until the next one is read.
func (t *Transcoder) string(tok *jsonscan.Token) ([]byte, bool) {
	if tok.Kind != '"' {
		return nil, false
	}
	if !tok.Escaped {
		return t.doc.Text[tok.Start:tok.End], true
	}
	var err error
	t.text, err = jsontext.AppendUnquote(t.text[:0], t.doc.Text[tok.Start-1:tok.End+1])
	return t.text, err == nil
}

func (t *Transcoder) long(v int64) {
	t.out = binary.AppendVarint(t.out, v) // which is a zigzag varint, as Avro's
}

func (t *Transcoder) bytes(b []byte) {
	t.long(int64(len(b)))
	t.out = append(t.out, b...)
}

func (t *Transcoder) integer(p *plan, tok *jsonscan.Token) bool {
	var v int64
	raw := t.doc.Text[tok.Start:tok.End]
	if p.logical != logicalNone {
		s, ok := t.string(tok)
		if !ok {
			return false
		}
		var message string
		if v, message = p.parseMoment(string(s)); message != "" {
			return false
		}
	} else {
		if tok.Kind != '0' {
			return false
		}
		var err error
		if v, err = strconv.ParseInt(string(raw), 10, 64); err != nil {
			return false
		}
	}
	low, high := p.span()
	t.long(v)
	return v >= low && v <= high
}

func (t *Transcoder) float(p *plan, tok *jsonscan.Token) bool {
	if tok.Kind != '0' {
		return false
	}
	raw := t.doc.Text[tok.Start:tok.End]
	if p.kind == kindDouble {
		f, err := strconv.ParseFloat(string(raw), 64)
		t.out = binary.LittleEndian.AppendUint64(t.out, math.Float64bits(f))
		return err == nil
	}
	f, err := strconv.ParseFloat(string(raw), 32)
	t.out = binary.LittleEndian.AppendUint32(t.out, math.Float32bits(float32(f)))
	return err == nil
}

func (t *Transcoder) base64(p *plan, tok *jsonscan.Token) bool {
	s, ok := t.string(tok)
	if !ok || bytes.IndexByte(s, '\r') >= 0 || bytes.IndexByte(s, '\n') >= 0 { // which the decoder skips
		return false
	}
	size := len(s)/4*3 - (len(s) - len(bytes.TrimRight(s, "="))) // if it is base64
	if p.kind == kindBytes {
		t.long(int64(size))
	} else if size != p.size {
		return false
	}
	before := len(t.out)
	var err error
	t.out, err = base64.StdEncoding.Strict().AppendDecode(t.out, s)
	return err == nil && len(t.out) == before+size
}

func (t *Transcoder) decimal(p *plan, tok *jsonscan.Token) bool {
	var digits []byte
	if tok.Kind == '0' {
		if digits = t.doc.Text[tok.Start:tok.End]; len(strings.Trim(string(digits), "-0.")) > 16 {
			return false
		}
	} else {
		var ok bool
		if digits, ok = t.string(tok); !ok {
			return false
		}
	}
	if unscaled, ok := p.decimal.parseSmall(digits); ok {
		if p.kind == kindFixed {
			t.out = appendInt(t.out, unscaled, p.size)
			return true
		}
		before := len(t.out)
		t.out = appendInt(append(t.out, 0), unscaled, 0)
		t.out[before] = byte(len(t.out)-before-1) << 1 // the length, at most 8
		return true
	}
	b, message := p.decimal.parse(string(digits))
	if message != "" {
		return false
	}
	if p.kind == kindFixed {
		t.out = append(t.out, extend(b, p.size)...)
		return true
	}
	t.bytes(b)
	return true
}
