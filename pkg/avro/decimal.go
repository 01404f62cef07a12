package avro

import (
	"bytes"
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// decimal is precision and scale of a decimal, and the bound that follows from them: 10^precision as 128 bits.
type decimal struct {
	precision, scale int
	bytes            int // longest two's complement of a value
	high, low        uint64
}

func newDecimal(precision, scale int) decimal {
	d := decimal{precision: precision, scale: scale, low: 1}
	for range precision {
		carry, low := bits.Mul64(d.low, 10)
		d.high, d.low = d.high*10+carry, low
	}
	width := bits.Len64(d.low)
	if d.high > 0 {
		width = 64 + bits.Len64(d.high)
	}
	d.bytes = width/8 + 1 // one more bit for the sign
	return d
}

// fits says whether b is a two's complement of at most precision digits. b is as long as 16 bytes at most.
func (d *decimal) fits(b []byte) bool {
	if len(b) == 0 || len(b) > 16 {
		return false
	}
	sign := uint64(int64(int8(b[0])) >> 63)
	high, low := sign, sign
	for _, c := range b {
		high, low = high<<8|low>>56, low<<8|uint64(c)
	}
	if sign != 0 { // absolute value
		var borrow uint64
		low, borrow = bits.Add64(^low, 1, 0)
		high, _ = bits.Add64(^high, 0, borrow)
	}
	return high < d.high || high == d.high && low < d.low
}

// parse reads decimal digits, such as -12.5, into two's complement bytes. message is "" when s is good.
func (d *decimal) parse(s string) (b []byte, message string) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if !allDigits(whole) || len(whole) > 1 && whole[0] == '0' || dotted && !allDigits(fraction) {
		return nil, "must be decimal digits, such as 1250.75"
	}
	if extra := strings.TrimRight(fraction, "0"); len(extra) > d.scale {
		return nil, fmt.Sprintf("has %d digits after the point, more than %d", len(extra), d.scale)
	} else if len(extra) < len(fraction) && len(fraction) > d.scale {
		fraction = fraction[:d.scale]
	}
	all := strings.TrimLeft(whole+fraction+strings.Repeat("0", d.scale-len(fraction)), "0")
	if len(all) > d.precision {
		return nil, fmt.Sprintf("has more than %d digits before the point", d.precision-d.scale)
	}
	unscaled := new(big.Int)
	if all != "" {
		unscaled.SetString(all, 10)
	}
	if negative {
		unscaled.Neg(unscaled)
	}
	return twosComplement(unscaled), ""
}

// parseSmall does what parse does, without allocating, for digits that fit in 18 with the scale's; ok is false for others and
// for what parse refuses.
func (d *decimal) parseSmall(s []byte) (unscaled int64, ok bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	whole, fraction, dotted := bytes.Cut(s, []byte{'.'})
	if len(whole) == 0 || len(whole)+d.scale > 18 || len(whole) > 1 && whole[0] == '0' || dotted && len(fraction) == 0 {
		return 0, false
	}
	for _, c := range whole {
		if c < '0' || c > '9' {
			return 0, false
		}
		unscaled = unscaled*10 + int64(c-'0')
	}
	for i := range max(d.scale, len(fraction)) {
		c := byte('0')
		if i < len(fraction) {
			c = fraction[i]
		}
		if c < '0' || c > '9' || i >= d.scale && c != '0' {
			return 0, false
		}
		if i < d.scale {
			unscaled = unscaled*10 + int64(c-'0')
		}
	}
	if d.high == 0 && uint64(unscaled) >= d.low {
		return 0, false
	}
	if negative {
		unscaled = -unscaled
	}
	return unscaled, true
}

// appendInt appends the two's complement of v: the shortest form, as twosComplement gives it, or size bytes if that is longer.
func appendInt(dst []byte, v int64, size int) []byte {
	shortest := 1
	for rest := v; rest < -128 || rest > 127; rest >>= 8 {
		shortest++
	}
	for range size - shortest {
		dst = append(dst, byte(v>>63))
	}
	for i := shortest - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// twosComplement returns the shortest big-endian form, one byte for zero.
func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		return n.FillBytes(make([]byte, n.BitLen()/8+1))
	}
	// A negative n takes as many bits as -n-1, whose bits inverted it is.
	inverse := new(big.Int).Not(n)
	b := inverse.FillBytes(make([]byte, inverse.BitLen()/8+1))
	for i := range b {
		b[i] = ^b[i]
	}
	return b
}

// format writes two's complement bytes as digits with exactly scale digits after the point.
func (d *decimal) format(dst, b []byte) []byte {
	unscaled := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(len(b)*8)))
		dst = append(dst, '-')
		unscaled.Neg(unscaled)
	}
	digits := unscaled.String()
	if missing := d.scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - d.scale
	dst = append(dst, digits[:point]...)
	if d.scale > 0 {
		dst = append(append(dst, '.'), digits[point:]...)
	}
	return dst
}

// extend widens two's complement bytes to size bytes.
func extend(b []byte, size int) []byte {
	if len(b) >= size {
		return b
	}
	out := make([]byte, size)
	if len(b) > 0 && b[0]&0x80 != 0 {
		for i := range out {
			out[i] = 0xff
		}
	}
	copy(out[size-len(b):], b)
	return out
}

// Digits is a decimal that is rounded to the scale of the field that takes it.
type Digits interface {
	// Digits are at most scale digits after the point.
	Digits(scale int) string
}

const (
	maxSignificant = 16 // parsers on the way here may have gone through a double, which holds 15 digits
	maxExponent    = 64 // no field holds more digits than that
)

// significant counts the digits of a JSON number between the first and the last that is not 0.
func significant(literal string) int {
	if at := strings.IndexAny(literal, "eE"); at >= 0 {
		literal = literal[:at]
	}
	return len(strings.Trim(literal, "-0."))
}

// plain writes a JSON number without its exponent: 1.2E+2 is 120 (RFC 8259, section 6), and Java's BigDecimal writes amounts so that
// end in zeros, depending on the amount. One without an exponent stays as it is; ok is false beyond maxExponent.
func plain(literal string) (digits string, ok bool) {
	at := strings.IndexAny(literal, "eE")
	if at < 0 {
		return literal, true
	}
	exponent, err := strconv.Atoi(literal[at+1:])
	if err != nil || exponent < -maxExponent || exponent > maxExponent {
		return "", false
	}
	mantissa, negative := strings.CutPrefix(literal[:at], "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all, point := whole+fraction, len(whole)+exponent
	if point < 1 {
		all, point = strings.Repeat("0", 1-point)+all, 1
	}
	all += strings.Repeat("0", max(0, point-len(all)))
	if digits = strings.TrimLeft(all[:point], "0"); digits == "" {
		digits = "0"
	}
	if point < len(all) {
		digits += "." + all[point:]
	}
	if negative {
		digits = "-" + digits
	}
	return digits, true
}

// wholeNumber reads a JSON number that is an integer however it is written: 50, 50.0, 5e1. What may have been rounded on the way is not.
func wholeNumber(v number) (int64, bool) {
	if i, ok := integer(v); ok {
		return i, true
	}
	digits, ok := plain(string(v))
	whole, fraction, _ := strings.Cut(digits, ".")
	if !ok || whole == string(v) || significant(string(v)) > maxSignificant || strings.Trim(fraction, "0") != "" {
		return 0, false
	}
	i, err := strconv.ParseInt(whole, 10, 64)
	return i, err == nil
}

func (e *encoder) decimal(n *node, v any) any {
	var digits string
	switch v := v.(type) {
	case string:
		digits = v
	case Digits:
		digits = v.Digits(n.decimal.scale)
	case int:
		digits = strconv.Itoa(v)
	case int32:
		digits = strconv.FormatInt(int64(v), 10)
	case int64:
		digits = strconv.FormatInt(v, 10)
	case number:
		if digits = string(v); significant(digits) > maxSignificant {
			return e.problem("has more digits than a JSON number surely holds: write it as a string")
		}
		var ok bool
		if digits, ok = plain(digits); !ok {
			return e.problem("has an exponent that no decimal holds")
		}
	default:
		return e.problem("must be a string of decimal digits, such as \"1250.75\"")
	}
	b, message := n.decimal.parse(digits)
	if message != "" {
		return e.problem(message)
	}
	if n.kind == kindFixed {
		b = extend(b, n.size)
	}
	return b
}
