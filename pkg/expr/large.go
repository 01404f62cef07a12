package expr

import (
	"maps"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of what an expression may see of one field; see Visible.
const (
	MaxText   = 32 << 10 // bytes of one text, or of all texts within a list or map
	MaxValues = 5_000    // values within a list or map, nested ones counted
)

// TooLarge replaces a field's value that is over the bounds. Reading it fails with CodeTooLarge; has() still finds the field.
type TooLarge struct{}

// unreadable is the message of reading a TooLarge; evalError knows it.
const unreadable = "a field is too large to be read"

// Visible is the value of a variable as expressions may see it: fields over the bounds are replaced by TooLarge. The fields are not
// changed; when none is over, they are returned as they are.
func Visible(fields map[string]any) map[string]any {
	var out map[string]any
	for name, v := range fields {
		switch v := v.(type) {
		case nil, bool, int64, float64:
			continue
		case string:
			if len(v) <= MaxText {
				continue
			}
		case []byte:
			if len(v) <= MaxText {
				continue
			}
		default:
			if m := (measure{text: MaxText, values: MaxValues}); m.fits(v) {
				continue
			}
		}
		if out == nil {
			out = maps.Clone(fields)
		}
		out[name] = TooLarge{}
	}
	if out == nil {
		return fields
	}
	return out
}

// measure counts down while it walks a value.
type measure struct{ text, values int }

func (m *measure) fits(v any) bool {
	m.values--
	switch v := v.(type) {
	case string:
		m.text -= len(v)
	case []byte:
		m.text -= len(v)
	case []any:
		for _, x := range v {
			if !m.fits(x) {
				return false
			}
		}
	case map[string]any:
		for k, x := range v {
			m.text -= len(k)
			if !m.fits(x) {
				return false
			}
		}
	}
	return m.text >= 0 && m.values >= 0
}

// adapter turns a TooLarge into the error of reading it.
type adapter struct{ types.Adapter }

func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case TooLarge:
		return types.NewErrFromString(unreadable)
	case Decimal:
		n, ok := parseNumber(string(v))
		if !ok {
			return types.NewErrFromString("not a decimal")
		}
		return n
	case map[string]any: // what is in it comes through here, too
		return types.NewStringInterfaceMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	}
	return a.Adapter.NativeToValue(v)
}
