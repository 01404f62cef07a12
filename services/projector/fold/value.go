package fold

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/zone"
)

// numericScale is the number of decimals of a numeric column, as in the catalogue's decimals; maxNumeric its number of digits.
const (
	numericScale = 4
	maxNumeric   = 24
	zeroNumeric  = "0.0000"
	dateLayout   = "2006-01-02"
)

// convert turns an expression's result into what a column of that type holds.
func convert(t Type, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch t {
	case Text:
		if s, ok := v.(string); ok {
			return text(s)
		}
	case BigInt:
		if n, ok := v.(int64); ok {
			return n, nil
		}
	case Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case Numeric:
		return numeric(v)
	case Zone:
		if s, ok := v.(string); ok {
			return zoneName(s)
		}
	case Timestamptz:
		if at, ok := v.(time.Time); ok {
			return instant(at)
		}
	case Date:
		switch x := v.(type) {
		case time.Time:
			if _, err := instant(x); err != nil {
				return nil, err
			}
			return x.UTC().Format(dateLayout), nil
		case string:
			at, err := time.Parse(dateLayout, x)
			if err != nil {
				return nil, invalid("not a date")
			}
			if _, err := instant(at); err != nil {
				return nil, err
			}
			return x, nil
		}
	case TextArray:
		return textArray(v)
	}
	return nil, invalid(fmt.Sprintf("a %T does not fit a column of type %s", v, t))
}

// instant refuses times outside the years 1 to 9999: before, Postgres writes them in another form, and long after, other programs do.
func instant(at time.Time) (any, error) {
	at = at.UTC().Truncate(time.Microsecond)
	if y := at.Year(); y < 1 || y > 9999 {
		return nil, outOfRange("a time outside the years 1 to 9999")
	}
	return at, nil
}

// text refuses what Postgres does not take in text.
func text(s string) (any, error) {
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return nil, invalid("the text has a NUL or is not UTF-8")
	}
	return s, nil
}

func textArray(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, invalid(fmt.Sprintf("a %T does not fit a column of type %s", v, TextArray))
	}
	out := make([]string, len(list))
	for i, x := range list {
		s, ok := x.(string)
		if !ok {
			return nil, invalid(fmt.Sprintf("element %d is a %T, not a text", i, x))
		}
		if _, err := text(s); err != nil {
			return nil, err
		}
		out[i] = s
	}
	return out, nil
}

// numeric takes decimals as text (as avro.Schema.Decode gives them), integers and doubles.
func numeric(v any) (any, error) {
	var r big.Rat
	switch x := v.(type) {
	case string:
		if len(x) > 64 || strings.ContainsAny(x, "/eEpPxX_") {
			return nil, outOfRange("not a decimal number of at most 64 characters")
		}
		if _, ok := r.SetString(x); !ok {
			return nil, invalid("not a decimal number")
		}
	case int64:
		r.SetInt64(x)
	case float64:
		if r.SetFloat64(x) == nil {
			return nil, outOfRange("not a finite number")
		}
	default:
		return nil, invalid(fmt.Sprintf("a %T does not fit a column of type %s", v, Numeric))
	}
	return formatNumeric(&r)
}

func formatNumeric(r *big.Rat) (any, error) {
	s := fixed(r)
	if digits := len(strings.TrimLeft(s, "-0.")); digits > maxNumeric+1 {
		return nil, outOfRange(fmt.Sprintf("more than %d digits", maxNumeric))
	}
	return s, nil
}

func fixed(r *big.Rat) string {
	s := r.FloatString(numericScale)
	if s == "-"+zeroNumeric {
		s = zeroNumeric
	}
	return s
}

// plus adds two decimals exactly. A total holds the sum of more rows of the widest numeric than there can be, so it does not overflow.
func plus(a, b string) (string, error) {
	var x, y big.Rat
	if _, ok := x.SetString(a); !ok {
		return "", errors.New("a total is not a decimal number")
	}
	if _, ok := y.SetString(b); !ok {
		return "", errors.New("an amount is not a decimal number")
	}
	return fixed(x.Add(&x, &y)), nil
}

func negated(a string) string {
	if positive, ok := strings.CutPrefix(a, "-"); ok {
		return positive
	}
	return "-" + a
}

// zoneName takes the names of known time zones; the empty one takes a zone back and is stored as UTC.
func zoneName(s string) (any, error) {
	if s == "" {
		return zone.UTC, nil
	}
	if _, err := zone.Load(s); err != nil {
		return nil, invalid("not a time zone")
	}
	return s, nil
}

// format writes a value as text, the same for the same value; Parse of the column's type reads it again.
func format(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case int64:
		return strconv.FormatInt(x, 10)
	case bool:
		return strconv.FormatBool(x)
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}
