package httpin

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/jsonscan"
)

// dataForm says how the data of an event was sent.
type dataForm int

const (
	dataNone dataForm = iota
	dataJSON
	dataAvro // Confluent's framing
)

// envelope is one event as HTTP carried it: read, not yet judged.
type envelope struct {
	attrs  attrs // CloudEvents attributes, specversion among them
	data   []byte
	doc    *jsonscan.Doc // where data lies as tokens, at a token; nil when it was not scanned
	at     uint32
	form   dataForm
	faults []FieldError // what is there and can't be read, at most maxFaults
	more   int          // further ones
}

func (e *envelope) fault(location, format string, args ...any) {
	if len(e.faults) >= maxFaults {
		e.more++
		return
	}
	e.faults = append(e.faults, FieldError{Location: location, Message: fmt.Sprintf(format, args...)})
}

const (
	maxAttributes    = 64
	maxAttributeName = 40 // CloudEvents 3.1 advises 20; some producers' are longer
	maxBatchItems    = 1000
)

// readBinary reads the binary content mode (CloudEvents HTTP binding 3.1):
// attributes are ce- headers, the body is the data.
func readBinary(h http.Header, media string, body []byte) envelope {
	env := envelope{data: body, form: dataJSON}
	if media == mediaAvro {
		env.form = dataAvro
	}
	if len(body) == 0 {
		env.form = dataNone
	}
	for name, values := range h {
		attr, ok := strings.CutPrefix(strings.ToLower(name), "ce")
		if !ok || attr == "" || attr[0] != '-' && attr[0] != '_' { // ce_id is what Kafka calls it: never nothing
			if event.MeansOrigin(name) {
				env.faults = append(env.faults, looksLikeOrigin("header "+name))
			}
			continue
		}
		attr = attr[1:]
		location := "header ce-" + attr
		switch {
		case len(env.attrs) == maxAttributes:
			env.fault("headers", "more than %d attributes", maxAttributes)
			return env
		case !attributeName(attr):
			env.fault("headers", "an attribute's name is lower-case letters and digits, at most %d", maxAttributeName)
		case attr == "traceparent" && len(values) != 1: // which is right cannot be known, and nothing depends on it
		case attr == "tracestate" && len(values) != 1:
			env.attrs.set(attr, strings.Join(values, ","))
		case slices.ContainsFunc(values, func(v string) bool { return v != values[0] }):
			env.fault(location, "the header is there %d times, with different values", len(values))
		case attr == "datacontenttype":
			env.fault(location, "in binary mode the Content-Type header says it")
		default:
			value, err := decodeHeader(values[0])
			if err != nil {
				env.fault(location, "%s", err)
				continue
			}
			if had, ok := env.attrs.lookup(attr); ok && had != value { // in two spellings
				env.fault(location, "the header is there twice, with different values")
				continue
			}
			env.attrs.set(attr, value)
		}
	}
	return env
}

// decodeHeader undoes the encoding of CloudEvents HTTP binding 3.1.3.2: quotes
// are tolerated and removed, percent-encoding is undone exactly once, and the
// result must be UTF-8.
func decodeHeader(v string) (string, error) {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		var err error
		if v, err = unquote(v); err != nil {
			return "", err
		}
	}
	if strings.IndexByte(v, '%') >= 0 {
		out := make([]byte, 0, len(v))
		for i := 0; i < len(v); i++ {
			if v[i] != '%' {
				out = append(out, v[i])
				continue
			}
			if i+2 >= len(v) {
				return "", errors.New("a percent sign is not followed by two hex digits")
			}
			b, err := strconv.ParseUint(v[i+1:i+3], 16, 8)
			if err != nil {
				return "", errors.New("a percent sign is not followed by two hex digits")
			}
			out = append(out, byte(b))
			i += 2
		}
		v = string(out)
	}
	if !utf8.ValidString(v) {
		return "", errors.New("not UTF-8")
	}
	return v, nil
}

// unquote reads a quoted string of RFC 9110, 5.6.4.
func unquote(v string) (string, error) {
	out := make([]byte, 0, len(v))
	for i := 1; i < len(v)-1; i++ {
		c := v[i]
		if c == '"' {
			return "", errors.New("a quote stands inside the quoted value")
		}
		if c == '\\' {
			if i++; i == len(v)-1 {
				return "", errors.New("the quoted value ends in a backslash")
			}
			c = v[i]
		}
		out = append(out, c)
	}
	return string(out), nil
}

// readStructured reads one event in the JSON format.
func readStructured(body []byte) (envelope, *Problem) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	env, err := readObject(dec)
	if err == nil {
		err = atEnd(dec)
	}
	if err != nil {
		return envelope{}, jsonProblem(err, "the body")
	}
	return env, nil
}

// readBatch reads a JSON array of events. An item that is not an object makes
// the batch unreadable; anything else wrong is the item's own matter.
func readBatch(body []byte) ([]envelope, *Problem) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, jsonProblem(err, "the batch")
	}
	if tok.Kind() != '[' {
		return nil, problem(event.CodeInvalidJSON, "a batch is a JSON array").hint("send one event as " + mediaStructured)
	}
	var out []envelope
	for dec.PeekKind() != ']' {
		if len(out) == maxBatchItems {
			return nil, problem(event.CodeTooLarge, fmt.Sprintf("the batch has more than %d events", maxBatchItems)).hint("split the batch")
		}
		env, err := readObject(dec)
		if err != nil {
			return nil, jsonProblem(err, "the batch")
		}
		out = append(out, env)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, jsonProblem(err, "the batch")
	}
	if err := atEnd(dec); err != nil {
		return nil, jsonProblem(err, "the batch")
	}
	return out, nil
}

var errNotObject = errors.New("an event is a JSON object")

// readObject reads one event. Its errors mean that the JSON can't be parsed on;
// faults of single attributes are kept in the envelope.
func readObject(dec *jsontext.Decoder) (envelope, error) {
	env := envelope{}
	tok, err := dec.ReadToken()
	if err != nil {
		return env, err
	}
	if tok.Kind() != '{' {
		return env, errNotObject
	}
	var data, base64Data jsontext.Value
	for dec.PeekKind() != '}' {
		tok, err := dec.ReadToken()
		if err != nil {
			return env, err
		}
		name := tok.String() // before the next read, which reuses the buffer
		value, err := dec.ReadValue()
		if err != nil {
			return env, err
		}
		switch {
		case name == "data":
			data = value.Clone()
		case name == "data_base64":
			base64Data = value.Clone()
		case env.takes(name):
			env.attribute(name, value)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return env, err
	}
	env.setData(data, base64Data)
	return env, nil
}

// takes tells whether another attribute of that name is possible.
func (e *envelope) takes(name string) bool {
	switch {
	case len(e.attrs) == maxAttributes:
		e.fault("/", "more than %d attributes", maxAttributes)
	case !attributeName(name):
		e.fault("/", "an attribute's name is lower-case letters and digits, at most %d", maxAttributeName)
	default:
		return true
	}
	return false
}

// attribute takes the JSON types of the CloudEvents JSON format 2.2: string,
// boolean, integer; null is the same as absent.
func (e *envelope) attribute(name string, value jsontext.Value) {
	switch value.Kind() {
	case 'n':
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			e.fault("/"+name, "not a valid string")
			return
		}
		e.attrs.set(name, string(text))
	case 't', 'f':
		e.attrs.set(name, string(value))
	case '0':
		n, err := strconv.ParseInt(string(value), 10, 32)
		if err != nil {
			e.fault("/"+name, "a number must be an integer of 32 bits")
			return
		}
		e.attrs.set(name, strconv.FormatInt(n, 10))
	default:
		e.fault("/"+name, "an attribute is a string, a boolean or an integer")
	}
}

func (e *envelope) setData(data, base64Data jsontext.Value) {
	media := baseType(e.attrs.get("datacontenttype"))
	e.attrs.remove("datacontenttype")
	switch media {
	case "", mediaJSON:
		e.form = dataJSON
	case mediaAvro:
		e.form = dataAvro
	default:
		e.fault("/datacontenttype", "only %s and %s are supported", mediaJSON, mediaAvro)
	}
	switch {
	case data != nil && base64Data != nil:
		e.fault("/data", "data and data_base64 exclude each other")
	case data != nil && e.form == dataAvro:
		e.fault("/data", "Avro is sent as data_base64")
	case data != nil:
		e.data = data
	case base64Data != nil:
		if !e.decode(base64Data) {
			e.fault("/data_base64", "not base64 (RFC 4648, 4)")
		}
	default:
		e.form = dataNone
	}
}

// decode sets the data from a JSON string of base64.
func (e *envelope) decode(quoted jsontext.Value) bool {
	text := []byte(quoted)
	if quoted.Kind() != '"' {
		return false
	}
	if text = text[1 : len(text)-1]; bytes.IndexByte(text, '\\') >= 0 {
		var err error
		if text, err = jsontext.AppendUnquote(nil, quoted); err != nil {
			return false
		}
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	if err == nil {
		e.data = data
	}
	return err == nil
}

func atEnd(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err == nil {
		return errors.New("more than one JSON value")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// jsonProblem says where JSON stops being JSON, without repeating the input.
func jsonProblem(err error, what string) *Problem {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, errNotObject):
		return problem(event.CodeInvalidJSON, errNotObject.Error())
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return problem(event.CodeInvalidJSON, fmt.Sprintf("%s has the same name twice in one object, at byte %d", what, syntactic.ByteOffset))
	case errors.As(err, &syntactic):
		return problem(event.CodeInvalidJSON, fmt.Sprintf("%s stops being JSON at byte %d", what, syntactic.ByteOffset))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return problem(event.CodeInvalidJSON, what+" is empty or cut off")
	default:
		return problem(event.CodeInvalidJSON, what+" is not one JSON value")
	}
}

func attributeName(s string) bool {
	if s == "" || len(s) > maxAttributeName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
