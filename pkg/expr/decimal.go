package expr

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of what is calculated with decimals.
const (
	maxDigits     = 76 // of a decimal, point left out; twice the 38 that a field of a schema may have, so that a product fits
	maxScale      = 38 // digits after the point; more are rounded
	quotientScale = 16 // digits after the point that a quotient is rounded to at least
)

// Decimal is a decimal number, such as an amount of money, as its digits: "-12.5000". In Edition2 it compares and calculates exactly
// with decimals, integers and doubles; of a double it takes the shortest digits that stand for it, so that price * 1.1 is what it says.
// Quotients have 16 digits after the point or as many as their operands, and everything is rounded half away from zero, as Postgres does.
type Decimal string

// ParseDecimal reads an optional minus, digits, and digits after a point.
func ParseDecimal(s string) (Decimal, error) {
	n, ok := parseNumber(s)
	if !ok {
		return "", fmt.Errorf("%.50q is not a decimal such as 1250.75 of at most %d digits", s, maxDigits)
	}
	return Decimal(n.String()), nil
}

// Digits is the number rounded half away from zero to at most scale digits after the point. A Decimal that was not parsed is returned as
// it is.
func (d Decimal) Digits(scale int) string {
	n, ok := parseNumber(string(d))
	if !ok || n.scale <= scale {
		return string(d)
	}
	return n.round(scale).String()
}

// number is the CEL value of a Decimal: n / 10^scale. It is immutable.
type number struct {
	n     *big.Int
	scale int
}

// decimalType is the type of decimals in expressions.
var decimalType = types.NewOpaqueType("decimal")

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func parseNumber(s string) (number, bool) {
	if len(s) > maxDigits+2 {
		return number{}, false
	}
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || dotted && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" || len(whole)+len(fraction) > maxDigits || len(fraction) > maxScale {
		return number{}, false
	}
	n, _ := new(big.Int).SetString(whole+fraction, 10) // only digits
	if len(digits) < len(s) {
		n.Neg(n)
	}
	return number{n, len(fraction)}, true
}

// String writes exactly scale digits after the point.
func (d number) String() string {
	digits := new(big.Int).Abs(d.n).String()
	if missing := d.scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if d.scale > 0 {
		digits = digits[:len(digits)-d.scale] + "." + digits[len(digits)-d.scale:]
	}
	if d.n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}

// at is the unscaled value at a scale that is not smaller than the number's.
func (d number) at(scale int) *big.Int {
	if scale == d.scale {
		return d.n
	}
	return new(big.Int).Mul(d.n, pow10(scale-d.scale))
}

// round gives exactly scale digits after the point.
func (d number) round(scale int) number {
	if scale >= d.scale {
		return number{d.at(scale), scale}
	}
	return number{quotient(d.n, pow10(d.scale-scale)), scale}
}

// quotient is a / b rounded half away from zero.
func quotient(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(b) >= 0 {
		q.Add(q, big.NewInt(int64(a.Sign()*b.Sign())))
	}
	return q
}

// bounded is the number as a value, or the error of being over the bounds.
func (d number) bounded() ref.Val {
	if d.scale > maxScale {
		d = d.round(maxScale)
	}
	if len(new(big.Int).Abs(d.n).String()) > maxDigits {
		return types.NewErrFromString("decimal overflow")
	}
	return d
}

// beyond is larger than any decimal: nothing is calculated with such doubles.
const beyond = 1e80

// toNumber takes decimals, integers and doubles below beyond.
func toNumber(v ref.Val) (number, bool) {
	switch v := v.(type) {
	case number:
		return v, true
	case types.Int:
		return number{big.NewInt(int64(v)), 0}, true
	case types.Uint:
		return number{new(big.Int).SetUint64(uint64(v)), 0}, true
	case types.Double:
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) >= beyond {
			return number{}, false
		}
		digits := strconv.FormatFloat(float64(v), 'f', -1, 64) // at most 400 bytes
		whole, fraction, _ := strings.Cut(digits, ".")
		n, ok := new(big.Int).SetString(whole+fraction, 10)
		return number{n, len(fraction)}, ok
	}
	return number{}, false
}

func isDecimal(v ref.Val) bool {
	_, ok := v.(number)
	return ok
}

// compareDecimal orders two values of which one is a decimal; ok is false when the other is no number. The callers have looked for NaN.
func compareDecimal(a, b ref.Val) (order int, ok bool) {
	for i, v := range []ref.Val{a, b} {
		if f, isDouble := v.(types.Double); isDouble && math.Abs(float64(f)) >= beyond {
			order = 1
			if (f < 0) != (i == 1) {
				order = -1
			}
			return order, true
		}
	}
	x, okX := toNumber(a)
	y, okY := toNumber(b)
	if !okX || !okY {
		return 0, false
	}
	scale := max(x.scale, y.scale)
	return x.at(scale).Cmp(y.at(scale)), true
}

// calculate is + - * / of two values of which one is a decimal.
func calculate(op byte, a, b ref.Val) ref.Val {
	x, okX := toNumber(a)
	y, okY := toNumber(b)
	if !okX || !okY {
		if _, double := a.(types.Double); double {
			return types.NewErrFromString("overflow")
		}
		if _, double := b.(types.Double); double {
			return types.NewErrFromString("overflow")
		}
		return types.NoSuchOverloadErr()
	}
	scale := max(x.scale, y.scale)
	switch op {
	case '+':
		return number{new(big.Int).Add(x.at(scale), y.at(scale)), scale}.bounded()
	case '-':
		return number{new(big.Int).Sub(x.at(scale), y.at(scale)), scale}.bounded()
	case '*':
		return number{new(big.Int).Mul(x.n, y.n), x.scale + y.scale}.bounded()
	}
	if y.n.Sign() == 0 {
		return types.NewErrFromString("division by zero")
	}
	places := min(max(scale, quotientScale), maxScale)
	// x.n/10^x.scale / (y.n/10^y.scale), with places digits after the point; scale is not smaller than either.
	return number{quotient(new(big.Int).Mul(x.at(scale), pow10(places)), y.at(scale)), places}.trim(scale).bounded()
}

// trim takes zeros from the end, down to least digits after the point.
func (d number) trim(least int) number {
	ten, n, scale := big.NewInt(10), new(big.Int).Set(d.n), d.scale
	for scale > least {
		q, r := new(big.Int).QuoRem(n, ten, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		n, scale = q, scale-1
	}
	return number{n, scale}
}

// ConvertToNative implements ref.Val.
func (d number) ConvertToNative(t reflect.Type) (any, error) {
	if t == reflect.TypeFor[Decimal]() || t == reflect.TypeFor[any]() {
		return Decimal(d.String()), nil
	}
	return nil, fmt.Errorf("a decimal is no %s", t)
}

// ConvertToType implements ref.Val.
func (d number) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(d.String())
	case types.DoubleType:
		f, err := strconv.ParseFloat(d.String(), 64)
		if err != nil {
			return types.NewErrFromString("overflow")
		}
		return types.Double(f)
	case types.IntType: // toward zero, as int(double) does
		whole := new(big.Int).Quo(d.n, pow10(d.scale))
		if !whole.IsInt64() {
			return types.NewErrFromString("integer overflow")
		}
		return types.Int(whole.Int64())
	case types.TypeType:
		return decimalType
	case decimalType:
		return d
	}
	return types.NewErr("type conversion error from 'decimal' to '%s'", t)
}

// Equal implements ref.Val: numbers of other kinds may be equal.
func (d number) Equal(other ref.Val) ref.Val {
	if f, double := other.(types.Double); double && math.IsNaN(float64(f)) {
		return types.False
	}
	order, ok := compareDecimal(d, other)
	return types.Bool(ok && order == 0)
}

// Type implements ref.Val.
func (d number) Type() ref.Type { return decimalType }

// Value implements ref.Val.
func (d number) Value() any { return Decimal(d.String()) }
