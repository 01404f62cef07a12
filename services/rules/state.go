package rules

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/expr"
)

// Limits of the state of one (tenant, subject).
const (
	maxStateKeys  = 64
	maxStateBytes = 16 << 10
)

// State is what rules remember of a subject: nil, bool, int64, float64, string, time.Time, []byte, expr.Decimal, []any and map[string]any by key.
type State map[string]any

// with is the state with values set; null removes a key.
func (s State) with(set map[string]any) State {
	next := maps.Clone(s)
	for k, v := range set {
		if v == nil {
			delete(next, k)
		} else {
			next[k] = v
		}
	}
	return next
}

func (s State) equal(o State) bool { return reflect.DeepEqual(s, o) }

// check bounds the state and returns its size in bytes; the error is a failure of the rule that set it.
func (s State) check() (int, error) {
	if len(s) > maxStateKeys {
		return 0, tooLarge(budgetState, "the state of the subject would have more than %d keys; set a key to null to remove it", maxStateKeys)
	}
	b, err := s.encode()
	if err != nil {
		return 0, fail(codeInvalidState, "%v", err)
	}
	if len(b) > maxStateBytes {
		return 0, tooLarge(budgetState, "the state of the subject would have more than %d bytes", maxStateBytes)
	}
	return len(b), nil
}

// Marks of values that JSON has no form for: {"$time": "…"}, {"$bytes": "…"}, {"$decimal": "…"}.
const (
	markTime    = "$time"
	markBytes   = "$bytes"
	markDecimal = "$decimal"
)

// encode writes the state as JSON with sorted keys. Integers have no decimal point and floats always have one, or an exponent, so
// that a value comes back as the kind it was: 1.0 read as 1 would change what a rule does.
func (s State) encode() ([]byte, error) {
	var b bytes.Buffer
	if err := encodeValue(&b, map[string]any(s)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func encodeValue(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("a number in the state is not finite; JSON has no form for it")
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		b.WriteString(text)
	case string:
		return encodeText(b, v)
	case expr.Decimal:
		fmt.Fprintf(b, `{"%s":"%s"}`, markDecimal, v)
	case time.Time:
		if y := v.UTC().Year(); y < 0 || y > 9999 {
			return fmt.Errorf("a time in the state is outside the years 0 to 9999; it could not be read again")
		}
		fmt.Fprintf(b, `{"%s":"%s"}`, markTime, v.UTC().Format(time.RFC3339Nano))
	case []byte:
		fmt.Fprintf(b, `{"%s":"%s"}`, markBytes, base64.StdEncoding.EncodeToString(v))
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := encodeValue(b, x); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(k, "$") {
				return fmt.Errorf("a key of a map in the state begins with $")
			}
			if i > 0 {
				b.WriteByte(',')
			}
			if err := encodeText(b, k); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := encodeValue(b, v[k]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	default:
		return fmt.Errorf("the state can't hold a value of this kind")
	}
	return nil
}

func encodeText(b *bytes.Buffer, s string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode text: %w", err)
	}
	b.Write(text)
	return nil
}

// decodeState reads what encode wrote.
func decodeState(b []byte) (State, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var raw map[string]any
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("read rule state: %w", err)
	}
	out := State{}
	for k, v := range raw {
		x, err := decodeValue(v)
		if err != nil {
			return nil, fmt.Errorf("read rule state %q: %w", k, err)
		}
		out[k] = x
	}
	return out, nil
}

func decodeValue(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".e") {
			return v.Float64()
		}
		return v.Int64()
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			var err error
			if out[i], err = decodeValue(x); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		if s, ok := v[markTime].(string); ok {
			return time.Parse(time.RFC3339Nano, s)
		}
		if s, ok := v[markBytes].(string); ok {
			return base64.StdEncoding.DecodeString(s)
		}
		if s, ok := v[markDecimal].(string); ok {
			return expr.ParseDecimal(s)
		}
		out := map[string]any{}
		for k, x := range v {
			y, err := decodeValue(x)
			if err != nil {
				return nil, err
			}
			out[k] = y
		}
		return out, nil
	}
	return v, nil
}
