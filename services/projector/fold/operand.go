package fold

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neuronx/engine/pkg/expr"
)

// operand is a compiled expression. Most of them name a field, an attribute or a literal; those need no evaluation. Whatever is not
// plain goes to the expression language, so that both ways give the same, which a test holds.
type operand struct {
	program *expr.Program
	of      string // event or data
	field   string
	literal any
}

func compile(src string, vars ...string) (*operand, error) {
	p, err := expr.Compile(src, vars...)
	if err != nil {
		return nil, err
	}
	o := &operand{program: p}
	if inner, ok := strings.CutPrefix(src, "'"); ok {
		if inner, ok = strings.CutSuffix(inner, "'"); ok && identifier.MatchString(inner) {
			o.literal = inner
		}
		return o, nil
	}
	if of, field, ok := strings.Cut(src, "."); ok && (of == "event" || of == "data") && identifier.MatchString(field) {
		o.of, o.field = of, field
	}
	return o, nil
}

func (o *operand) fields(variable string) []string {
	if o == nil {
		return nil
	}
	return o.program.Fields(variable)
}

// plainText is how many bytes a text may have to be taken as it is; the expression language bounds what it returns.
const plainText = 64 << 10

func (o *operand) eval(vars map[string]any) (any, error) {
	if o.literal != nil {
		return o.literal, nil
	}
	if o.field != "" {
		if of, ok := vars[o.of].(map[string]any); ok {
			if v, ok := of[o.field]; ok && plain(v) {
				return v, nil
			}
		}
	}
	return o.program.Eval(vars)
}

// plain reports whether the expression language returns a value as it is.
func plain(v any) bool {
	switch x := v.(type) {
	case nil, bool, int64:
		return true
	case string:
		return len(x) <= plainText && utf8.ValidString(x)
	case time.Time:
		y := x.Year()
		return x.Location() == time.UTC && y >= 1 && y <= 9999
	}
	return false
}
