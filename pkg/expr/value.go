package expr

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Codes of EvalError.
const (
	CodeMissingKey = "missing_key" // a key, field or index that is not there
	CodeType       = "type"        // a value of the wrong kind
	CodeArithmetic = "arithmetic"  // division by zero, overflow
	CodeCost       = "cost"        // over CostLimit
	CodeResult     = "result"      // a result that is too large or can't be held
	CodeTooLarge   = "too_large"   // a field that was read is larger than an expression may see
	CodeFailed     = "failed"      // anything else a function refused
	CodeDeadline   = "deadline"    // interrupted: depends on the machine, must not be recorded as an outcome
)

// EvalError says why an evaluation gave nothing. Code is one of Code…; Message is fit to be recorded.
type EvalError struct{ Code, Message string }

func (e *EvalError) Error() string { return e.Code + ": " + e.Message }

// budget bounds one result while it is turned into Go values.
type budget struct{ nodes, bytes int }

func (b *budget) spend(n int) error {
	b.nodes--
	b.bytes -= n
	if b.nodes < 0 || b.bytes < 0 {
		return &EvalError{CodeResult, fmt.Sprintf("the result is larger than %d values or %d bytes", MaxResultNodes, MaxResultBytes)}
	}
	return nil
}

func (b *budget) native(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, b.spend(0)
	case types.Bool:
		return bool(v), b.spend(0)
	case types.Int:
		return int64(v), b.spend(0)
	case types.Uint:
		if uint64(v) > math.MaxInt64 {
			return nil, &EvalError{CodeResult, "an unsigned result does not fit 64 signed bits"}
		}
		return int64(v), b.spend(0)
	case types.Double:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, &EvalError{CodeArithmetic, "the result is not a finite number"}
		}
		return float64(v), b.spend(0)
	case number:
		return Decimal(v.String()), b.spend(maxDigits)
	case types.String:
		if !utf8.ValidString(string(v)) {
			return nil, &EvalError{CodeResult, "the result is not valid UTF-8"}
		}
		return string(v), b.spend(len(v))
	case types.Bytes:
		return []byte(v), b.spend(len(v))
	case types.Timestamp:
		return v.Time.UTC(), b.spend(0)
	case traits.Mapper:
		return b.object(v)
	case traits.Lister:
		return b.array(v)
	case *types.Err:
		if strings.Contains(v.Error(), unreadable) {
			return nil, fieldTooLarge()
		}
		return nil, &EvalError{CodeFailed, "the result holds an error"}
	case types.Duration:
		return nil, &EvalError{CodeType, "a duration can't be kept; use its seconds, as in int(d.getSeconds())"}
	}
	return nil, &EvalError{CodeType, "the result is of a kind that can't be kept: " + v.Type().TypeName()}
}

func (b *budget) array(v traits.Lister) (any, error) {
	if err := b.spend(0); err != nil {
		return nil, err
	}
	out := []any{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		x, err := b.native(it.Next())
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (b *budget) object(v traits.Mapper) (any, error) {
	if err := b.spend(0); err != nil {
		return nil, err
	}
	out := map[string]any{}
	// In the order of the keys: which of two wrong values is named must not depend on chance.
	keys, ok := orderedRange(v).(traits.Lister)
	if !ok {
		return nil, &EvalError{CodeType, "the result is of a kind that can't be kept"}
	}
	for it := keys.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, &EvalError{CodeType, "a map in the result has a key that is not a string"}
		}
		if err := b.spend(len(name)); err != nil {
			return nil, err
		}
		x, err := b.native(v.Get(key))
		if err != nil {
			return nil, err
		}
		out[string(name)] = x
	}
	return out, nil
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "a text"
	case time.Time:
		return "a time"
	case Decimal:
		return "a decimal"
	case []byte:
		return "bytes"
	case []any:
		return "a list"
	}
	return "a map"
}
