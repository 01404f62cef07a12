package avro

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// number is the literal of a JSON number, kept as text so that no digit is lost on the way.
type number string

// bounds limit what strict reading of a JSON text may cost.
type bounds struct {
	bytes  int
	depth  int // levels of arrays and objects
	values int // scalars, arrays and objects in all
}

var (
	dataBounds   = bounds{bytes: MaxJSON, depth: MaxDepth, values: 200_000}
	schemaBounds = bounds{bytes: maxSchemaText, depth: 5 * maxSchemaDepth, values: 50_000}
)

// readJSON reads one JSON text into nil, bool, number, string, []any and map[string]any. It refuses what parsers
// disagree about: doubled names, invalid UTF-8, lone surrogates, anything after the text; and NUL, which Postgres
// can not hold. The error is a *InvalidError with one problem, because nothing after a syntax error can be trusted.
func readJSON(data []byte, limit bounds) (any, error) {
	if len(data) > limit.bytes {
		return nil, tooLong(data, limit)
	}
	r := &jsonReader{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), limit: limit, whole: true}
	return r.read()
}

type jsonReader struct {
	dec    *jsontext.Decoder
	limit  bounds
	values int

	whole    bool // keep every value; else only those that a plan takes
	meter    meter
	unknown  int   // names kept that are no field's
	dropped  int   // further ones
	infinite error // the first number beyond the range of a double
}

func (r *jsonReader) read() (any, error) {
	v, err := r.value(nil)
	return r.end(v, err)
}

func (r *jsonReader) end(v any, err error) (any, error) {
	if err != nil {
		return nil, jsonProblem(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, invalid("", "something follows the JSON text")
	}
	return v, nil
}

// value reads the next value. Where the reader does not keep everything, p says what may be there; nil is nothing, and then the value
// is only checked.
func (r *jsonReader) value(p *plan) (any, error) {
	if !r.whole && p == nil {
		if kind := r.dec.PeekKind(); kind == '"' || kind == '0' {
			return nil, r.skip(kind)
		}
	}
	tok, err := r.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if r.values++; r.values > r.limit.values {
		return nil, r.refuse(fmt.Sprintf("has more than %d values", r.limit.values))
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '0':
		return number(tok.String()), nil
	case '"':
		s, err := r.text(tok)
		if err == nil {
			err = r.meter.use(16 + len(s))
		}
		return s, err
	case '[':
		return r.array(p)
	default: // '{', because the decoder returns '}' and ']' only where value is not called
		return r.object(p)
	}
}

// skip checks a string or a number without keeping it.
func (r *jsonReader) skip(kind jsontext.Kind) error {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return err
	}
	if r.values++; r.values > r.limit.values {
		return r.refuse(fmt.Sprintf("has more than %d values", r.limit.values))
	}
	if kind == '0' {
		if _, err := strconv.ParseFloat(string(raw), 64); err != nil && r.infinite == nil {
			r.infinite = invalid("", fmt.Sprintf("number %.40s is out of the range of a double", string(raw)))
		}
		return nil
	}
	if bytes.Contains(raw, []byte(`\u0000`)) { // else it holds no NUL: unescaped it would not be JSON
		s, err := jsontext.AppendUnquote(nil, raw)
		if err == nil && bytes.IndexByte(s, 0) >= 0 {
			err = r.refuse("holds the character NUL")
		}
		return err
	}
	return nil
}

func (r *jsonReader) array(p *plan) (any, error) {
	if r.dec.StackDepth() > r.limit.depth {
		return nil, r.refuse(fmt.Sprintf("is nested deeper than %d levels", r.limit.depth))
	}
	keep, inner := r.whole, (*plan)(nil)
	if p != nil {
		if fits := p.fitting(looksArray); fits.kind == kindArray {
			keep, inner = true, fits.items
		}
	}
	items := []any{}
	for r.dec.PeekKind() != ']' {
		item, err := r.value(inner)
		if err != nil {
			return nil, err
		}
		if keep {
			if err := r.meter.use(sizeItem); err != nil {
				return nil, err
			}
			items = append(items, item)
		}
	}
	if _, err := r.dec.ReadToken(); err != nil || !keep {
		return anArray, err
	}
	return items, nil
}

func (r *jsonReader) object(p *plan) (any, error) {
	if r.dec.StackDepth() > r.limit.depth {
		return nil, r.refuse(fmt.Sprintf("is nested deeper than %d levels", r.limit.depth))
	}
	var record *plan
	if p != nil {
		if fits := p.fitting(looksObject); fits.kind == kindRecord {
			record = fits
		}
	}
	if r.whole || record != nil {
		if err := r.meter.use(sizeObject); err != nil {
			return nil, err
		}
	}
	var members map[string]any
	if r.whole || record != nil {
		members = map[string]any{}
	}
	next := 0
	for r.dec.PeekKind() != '}' {
		tok, err := r.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name, err := r.text(tok)
		if err != nil {
			return nil, err
		}
		keep, inner := r.whole, (*plan)(nil)
		if record != nil {
			if i := record.find([]byte(name), next); i >= 0 {
				keep, inner, next = true, record.fields[i].plan, i+1
			} else if r.unknown++; r.unknown <= maxProblems {
				keep = true // the name, so that it can be told
			} else {
				r.dropped++
			}
		}
		v, err := r.value(inner)
		if err == nil && keep {
			members[name] = v
			err = r.meter.use(sizeMember + len(name))
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil || members == nil {
		return anObject, err
	}
	return members, nil
}

// What stands for an array or an object that is not kept. They are shared and never changed.
var (
	anArray  any = []any{}
	anObject any = map[string]any{}
)

func (r *jsonReader) text(tok jsontext.Token) (string, error) {
	s := tok.String()
	if strings.IndexByte(s, 0) >= 0 {
		return "", r.refuse("holds the character NUL")
	}
	return s, nil
}

func (r *jsonReader) refuse(message string) error {
	return invalid(string(r.dec.StackPointer()), message)
}

// invalid returns an error of one problem. Both texts may quote a name from outside, so they are cut.
func invalid(location, message string) *InvalidError {
	return &InvalidError{Problems: []Problem{{Location: cut(location), Message: cut(message)}}}
}

func cut(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func jsonProblem(err error) error {
	if known, ok := errors.AsType[*InvalidError](err); ok {
		return known
	}
	if _, ok := errors.AsType[*meterError](err); ok {
		return err
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		message := "end of text"
		if syntax.Err != nil && !errors.Is(syntax.Err, io.ErrUnexpectedEOF) {
			message = strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")
		}
		return invalid(string(syntax.JSONPointer), fmt.Sprintf("is not JSON at byte %d: %s", syntax.ByteOffset, message))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("", "is not JSON: the text is empty or cut off")
	}
	return invalid("", "is not JSON: "+err.Error())
}

// CanonicalJSON returns the canonical form of a JSON text (RFC 8785), so that texts which differ only in layout,
// order of names or spelling of numbers have the same bytes. The text must be strict JSON, as for EncodeJSON.
//
// In one point it is stricter than the RFC: integers beyond 2^53 keep all their digits, because two longs that
// differ must not have the same fingerprint. Numbers beyond the range of a double are refused.
func CanonicalJSON(data []byte) ([]byte, error) {
	return canonical(data, dataBounds)
}

func canonical(data []byte, limit bounds) ([]byte, error) {
	if len(data) > limit.bytes {
		return nil, tooLong(data, limit)
	}
	r := &jsonReader{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), limit: limit}
	if _, err := r.read(); err != nil {
		return nil, err
	}
	if r.infinite != nil {
		return nil, r.infinite
	}
	out := jsontext.Value(bytes.Clone(data))
	if err := out.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, jsonProblem(err)
	}
	return out, nil
}

// readFor reads one JSON text as readJSON does, but keeps no more of it than encoding under a schema needs: what the plan has no place
// for is checked and left out, so that data that is refused costs no more than data that is taken. Of names that are no fields, so
// many are kept as can be told; dropped counts the others.
func readFor(p *plan, data []byte, limit bounds, m meter) (tree any, dropped int, err error) {
	if len(data) > limit.bytes {
		return nil, 0, tooLong(data, limit)
	}
	r := &jsonReader{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), limit: limit, meter: m}
	tree, err = r.value(p)
	tree, err = r.end(tree, err)
	return tree, r.dropped, err
}

func tooLong(data []byte, limit bounds) error {
	return invalid("", fmt.Sprintf("is %d bytes long, more than %d", len(data), limit.bytes))
}
