// Package value writes and reads the values that workflows keep between events: nil, bool, int64, float64, string, time.Time, []byte,
// expr.Decimal, []any and map[string]any. The form is JSON with sorted keys, the same bytes for the same value. Integers have no decimal
// point and floats always have one, or an exponent, so that a value comes back as the kind it was. JSON has no form for times, bytes and
// decimals; they are written as {"$time": "…"}, {"$bytes": "…"} and {"$decimal": "…"}, and no other key of a map may begin with $.
package value

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/expr"
)

const maxDepth = 64 // of nested lists and maps; expressions and schemas give 32 at most

const (
	markTime    = "$time"
	markBytes   = "$bytes"
	markDecimal = "$decimal"
)

// Append appends the form of v to b. The error says what has none.
func Append(b []byte, v any) ([]byte, error) { return appendValue(b, v, maxDepth) }

func appendValue(b []byte, v any, left int) ([]byte, error) {
	if left == 0 {
		return b, fmt.Errorf("a value is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b, errors.New("a number is not finite")
		}
		from := len(b)
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
		if !bytes.ContainsAny(b[from:], ".e") {
			b = append(b, ".0"...)
		}
		return b, nil
	case string:
		return appendText(b, v)
	case expr.Decimal:
		return appendMarked(b, markDecimal, string(v))
	case time.Time:
		if y := v.UTC().Year(); y < 0 || y > 9999 {
			return b, errors.New("a time is outside the years 0 to 9999")
		}
		return appendMarked(b, markTime, v.UTC().Format(time.RFC3339Nano))
	case []byte:
		return appendMarked(b, markBytes, base64.StdEncoding.EncodeToString(v))
	case []any:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendValue(b, x, left-1); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(k, "$") {
				return b, errors.New("a key of a map begins with $")
			}
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendText(b, k); err != nil {
				return b, err
			}
			if b, err = appendValue(append(b, ':'), v[k], left-1); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
	return b, fmt.Errorf("a value of kind %T can't be kept", v)
}

func appendMarked(b []byte, mark, text string) ([]byte, error) {
	return append(append(append(append(append(b, `{"`...), mark...), `":"`...), text...), `"}`...), nil
}

func appendText(b []byte, s string) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return b, fmt.Errorf("encode text: %w", err)
	}
	return append(b, text...), nil
}

// Read reads what Append wrote. Texts that Append cannot have written are an error, so that what is read and written again is the same.
func Read(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("read a value: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read a value: something follows it")
	}
	return native(raw, maxDepth)
}

func native(v any, left int) (any, error) {
	if left == 0 {
		return nil, fmt.Errorf("read a value: nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			f, err := v.Float64()
			if err != nil {
				return nil, fmt.Errorf("read a value: %w", err)
			}
			return f, nil
		}
		i, err := v.Int64()
		if err != nil {
			return nil, fmt.Errorf("read a value: %w", err)
		}
		return i, nil
	case []any:
		for i, x := range v {
			var err error
			if v[i], err = native(x, left-1); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[string]any:
		for k, x := range v {
			if strings.HasPrefix(k, "$") {
				return marked(v, k)
			}
			var err error
			if v[k], err = native(x, left-1); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	return v, nil
}

// marked reads a value that JSON has no form for.
func marked(v map[string]any, mark string) (any, error) {
	text, ok := v[mark].(string)
	if !ok || len(v) != 1 {
		return nil, fmt.Errorf("read a value: %.20q is no mark of a value", mark)
	}
	var out any
	var err error
	switch mark {
	case markTime:
		var t time.Time
		if t, err = time.Parse(time.RFC3339Nano, text); err == nil && (t.UTC().Year() < 0 || t.UTC().Year() > 9999) {
			err = errors.New("a time outside the years 0 to 9999")
		}
		out = t.UTC()
	case markBytes:
		out, err = base64.StdEncoding.Strict().DecodeString(text)
	case markDecimal:
		out, err = expr.ParseDecimal(text)
	default:
		err = fmt.Errorf("%.20q is no mark of a value", mark)
	}
	if err != nil {
		return nil, fmt.Errorf("read a value: %w", err)
	}
	return out, nil
}
