package rulefile

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/expr"
)

// template compiles {text: "Hi ${vars.name}, …"} to one expression: the texts between the expressions as they stand, each expression by
// string(). $${ is written for a literal ${. A value that is missing or null is an error, as it is in any expression.
func (r *Reader) template(n *yaml.Node, where, want string) *expr.Program {
	m := r.Entries(n, where, 1, "text")
	text, ok := r.Scalar(m["text"], where+".text")
	if !ok {
		return nil
	}
	n = m["text"]
	where += ".text"
	if want != "" && want != "string" {
		r.Problem(n.Line, CodeNotAssignable, "%s is a text and must give %s; write one CEL expression", where, want)
		return nil
	}
	parts, problem := split(text)
	if problem != "" {
		r.Problem(n.Line, CodeInvalidExpression, "%s: %s", where, problem)
		return nil
	}
	var src strings.Builder
	whole := true
	for i, p := range parts {
		if i > 0 {
			src.WriteString(" + ")
		}
		if !p.expression {
			src.WriteString(quoted(p.text))
			continue
		}
		// Compiled apart as well, so that what is wrong is told where it stands.
		whole = r.compile(n, p.text, where, "") != nil && whole
		src.WriteString("string(" + p.text + "\n)") // the line ends a comment
	}
	if !whole {
		return nil
	}
	return r.compile(n, src.String(), where, "string")
}

type part struct {
	text       string
	expression bool
}

// split takes a template apart. It knows the texts of CEL, so that a brace in one ends no expression.
func split(text string) (parts []part, problem string) {
	var literal strings.Builder
	for text != "" {
		at := strings.Index(text, "${")
		if at < 0 {
			literal.WriteString(text)
			break
		}
		if at > 0 && text[at-1] == '$' {
			literal.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		literal.WriteString(text[:at])
		text = text[at+2:]
		end := closing(text)
		if end < 0 {
			return nil, "${ has no } that ends it; write $${ for the characters ${"
		}
		if strings.TrimSpace(text[:end]) == "" {
			return nil, "${} is empty; write an expression in it, as in ${vars.name}, or $${ for the characters ${"
		}
		if literal.Len() > 0 {
			parts = append(parts, part{literal.String(), false})
			literal.Reset()
		}
		parts = append(parts, part{text[:end], true})
		text = text[end+1:]
	}
	if literal.Len() > 0 || len(parts) == 0 {
		parts = append(parts, part{literal.String(), false})
	}
	return parts, ""
}

// closing is the index of the brace that ends the expression that src begins with; -1: none does.
func closing(src string) int {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch c := src[i]; c {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		case '"', '\'':
			raw := i > 0 && (src[i-1] == 'r' || src[i-1] == 'R')
			quote := string(c)
			if strings.HasPrefix(src[i:], strings.Repeat(quote, 3)) {
				quote = strings.Repeat(quote, 3)
			}
			for i += len(quote); i < len(src) && !strings.HasPrefix(src[i:], quote); i++ {
				if src[i] == '\\' && !raw {
					i++
				}
			}
			i += len(quote) - 1
		}
	}
	return -1
}

// quoted is a text of CEL. Go's escapes for what can't be printed are CEL's too.
func quoted(s string) string { return strconv.QuoteToASCII(s) }
