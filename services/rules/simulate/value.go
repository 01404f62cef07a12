package simulate

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// scalar is a value of a test's file: nothing, a truth, a number or a text.
type scalar struct {
	kind byte // 0 null, b bool, n number, s text
	text string
}

// scalarOf reads a scalar. A time without quotes is a text; numbers keep the digits that they are written with.
func scalarOf(n *yaml.Node) (scalar, error) {
	switch n.ShortTag() {
	case "!!null":
		return scalar{}, nil
	case "!!bool":
		return scalar{'b', strings.ToLower(n.Value)}, nil
	case "!!int", "!!float":
		digits := strings.TrimPrefix(strings.ReplaceAll(n.Value, "_", ""), "+")
		if json.Valid([]byte(digits)) {
			return scalar{'n', digits}, nil
		}
		if i, ok := new(big.Int).SetString(digits, 0); ok {
			return scalar{'n', i.String()}, nil
		}
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || f-f != 0 { // infinite, or no number
			return scalar{}, errNotFinite
		}
		return scalar{'n', strconv.FormatFloat(f, 'g', -1, 64)}, nil
	}
	return scalar{'s', n.Value}, nil
}

func (s scalar) json() string {
	switch s.kind {
	case 0:
		return "null"
	case 's':
		return quoted(s.text)
	}
	return s.text
}

// value is the scalar as a Go value that avro.Schema.EncodeMap takes.
func (s scalar) value() any {
	switch s.kind {
	case 0:
		return nil
	case 'b':
		return s.text == "true"
	case 'n':
		if i, err := strconv.ParseInt(s.text, 10, 64); err == nil {
			return i
		}
		f, err := strconv.ParseFloat(s.text, 64)
		if err == nil {
			return f
		}
	}
	return s.text
}

// number is the exact value; nil: it is none, or longer than any that an event holds.
func number(digits string) *big.Rat {
	if len(digits) > 400 {
		return nil
	}
	if i := strings.IndexAny(digits, "eE"); i >= 0 { // a short text can stand for a gigabyte of digits
		if e, err := strconv.Atoi(digits[i+1:]); err != nil || e > 400 || e < -400 {
			return nil
		}
	}
	r, ok := new(big.Rat).SetString(digits)
	if !ok {
		return nil
	}
	return r
}

// quoted is a text in quotes, without the escapes that JSON does not need.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Field is a field whose value is another than expected.
type Field struct {
	Field    string `json:"field"`
	Expected string `json:"expected"`
	Got      string `json:"got"`
}

// compare lists what is other than expected. Maps are compared by the keys that are expected, lists whole; null stands for an absent key,
// too.
func compare(at string, want *yaml.Node, got any) []Field {
	switch want.Kind {
	case yaml.MappingNode:
		m, ok := got.(map[string]any)
		if !ok {
			return []Field{{at, written(want), shown(got)}}
		}
		var out []Field
		for i := 0; i+1 < len(want.Content); i += 2 {
			key := want.Content[i].Value
			out = append(out, compare(joined(at, key), want.Content[i+1], m[key])...)
		}
		return out
	case yaml.SequenceNode:
		list, ok := got.([]any)
		if !ok || len(list) != len(want.Content) {
			return []Field{{at, written(want), shown(got)}}
		}
		var out []Field
		for i, c := range want.Content {
			out = append(out, compare(fmt.Sprintf("%s[%d]", at, i), c, list[i])...)
		}
		return out
	}
	s, err := scalarOf(want)
	if err == nil && s.is(got) {
		return nil
	}
	return []Field{{at, written(want), shown(got)}}
}

func joined(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// is compares by value: numbers as numbers, however many digits they have, times as instants.
func (s scalar) is(got any) bool {
	switch got := got.(type) {
	case nil:
		return s.kind == 0
	case bool:
		return s.kind == 'b' && s.text == strconv.FormatBool(got)
	case int64:
		return s.kind == 'n' && equal(s.text, strconv.FormatInt(got, 10))
	case float64:
		f, err := strconv.ParseFloat(s.text, 64)
		return s.kind == 'n' && err == nil && f == got
	case expr.Decimal:
		return (s.kind == 'n' || s.kind == 's') && equal(s.text, string(got))
	case time.Time:
		t, err := time.Parse(time.RFC3339Nano, s.text)
		if err != nil { // a date
			t, err = time.Parse(time.DateOnly, s.text)
		}
		return s.kind == 's' && err == nil && t.Equal(got)
	case []byte:
		return s.kind == 's' && s.text == base64.StdEncoding.EncodeToString(got)
	case string:
		return s.kind == 's' && s.text == got
	}
	return false
}

func equal(a, b string) bool {
	x, y := number(a), number(b)
	return x != nil && y != nil && x.Cmp(y) == 0
}

// written is an expected value as it is told.
func written(n *yaml.Node) string {
	r := reader{Reader: &rulefile.Reader{}}
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		return cut(string(r.appendJSON(nil, n)))
	}
	s, err := scalarOf(n)
	if err != nil {
		return cut(n.Value)
	}
	if s.kind == 's' && n.ShortTag() == "!!timestamp" {
		return s.text
	}
	return cut(s.json())
}

// Shown is a value of an event as it is told to people: times and decimals without quotes, so that they are not taken for texts, and cut
// after 300 bytes.
func Shown(v any) string { return shown(v) }

func shown(v any) string { return cut(string(appendShown(nil, v))) }

func appendShown(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return append(b, quoted(v)...)
	case time.Time:
		return append(b, event.FormatTime(v)...)
	case []byte:
		return append(b, quoted(base64.StdEncoding.EncodeToString(v))...)
	case []any:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendShown(b, x)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendShown(append(append(b, k...), ": "...), v[k])
		}
		return append(b, '}')
	}
	return fmt.Append(b, v)
}

// cut keeps one value from filling a screen.
func cut(s string) string {
	if len(s) <= 300 {
		return s
	}
	return strings.ToValidUTF8(s[:300], "") + "…"
}
