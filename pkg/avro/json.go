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
		return nil, invalid("", fmt.Sprintf("is %d bytes long, more than %d", len(data), limit.bytes))
	}
	r := &jsonReader{dec: jsontext.NewDecoder(bytes.NewBuffer(data)), limit: limit}
	v, err := r.value()
	if err != nil {
		return nil, jsonProblem(err)
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, invalid("", "something follows the JSON text")
	}
	return v, nil
}

type jsonReader struct {
	dec    *jsontext.Decoder
	limit  bounds
	values int
}

func (r *jsonReader) value() (any, error) {
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
		return r.text(tok)
	case '[':
		if r.dec.StackDepth() > r.limit.depth {
			return nil, r.refuse(fmt.Sprintf("is nested deeper than %d levels", r.limit.depth))
		}
		items := []any{}
		for r.dec.PeekKind() != ']' {
			item, err := r.value()
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := r.dec.ReadToken()
		return items, err
	default: // '{', because the decoder returns '}' and ']' only where value is not called
		if r.dec.StackDepth() > r.limit.depth {
			return nil, r.refuse(fmt.Sprintf("is nested deeper than %d levels", r.limit.depth))
		}
		members := map[string]any{}
		for r.dec.PeekKind() != '}' {
			tok, err := r.dec.ReadToken()
			if err != nil {
				return nil, err
			}
			name, err := r.text(tok)
			if err != nil {
				return nil, err
			}
			if members[name], err = r.value(); err != nil {
				return nil, err
			}
		}
		_, err := r.dec.ReadToken()
		return members, err
	}
}

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
	tree, err := readJSON(data, limit)
	if err != nil {
		return nil, err
	}
	if err := finite(tree); err != nil {
		return nil, err
	}
	out := jsontext.Value(bytes.Clone(data))
	if err := out.Canonicalize(jsontext.CanonicalizeRawInts(false)); err != nil {
		return nil, jsonProblem(err)
	}
	return out, nil
}

func finite(v any) error {
	switch v := v.(type) {
	case number:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			return invalid("", fmt.Sprintf("number %.40s is out of the range of a double", string(v)))
		}
	case []any:
		for _, item := range v {
			if err := finite(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range v {
			if err := finite(member); err != nil {
				return err
			}
		}
	}
	return nil
}
