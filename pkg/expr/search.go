package expr

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"
)

// Searching a text takes time by the product of text and what is looked for: cel-go's indexOf compares character by character, and a
// regular expression walks its whole program at each byte. A charge that follows the call comes too late for that, so these calls are
// replaced while parsing, as those of text.go are: indexes by a search in linear time, matches by one that reckons its price first.

const (
	maxProgram    = 1_000   // instructions of one regular expression
	maxPattern    = 4 << 10 // bytes of a pattern whose compiled form is kept
	maxPatterns   = 1_000   // compiled patterns that are kept
	stepsPerUnit  = 20      // instructions times bytes that a match makes for one unit
	tooExpensive  = "the match costs more than an evaluation may"
	programTooBig = "the regular expression is too large"
)

// pattern is a compiled regular expression, or why there is none.
type pattern struct {
	re      *regexp.Regexp
	size    int // instructions
	problem string
}

var patterns = struct {
	sync.Mutex
	kept map[string]*pattern
}{kept: map[string]*pattern{}}

func patternOf(src string) *pattern {
	if len(src) > maxPattern {
		return compilePattern(src)
	}
	patterns.Lock()
	defer patterns.Unlock()
	p := patterns.kept[src]
	if p == nil {
		if len(patterns.kept) >= maxPatterns {
			clear(patterns.kept) // what is in use comes back
		}
		p = compilePattern(src)
		patterns.kept[strings.Clone(src)] = p
	}
	return p
}

func compilePattern(src string) *pattern {
	tree, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return &pattern{problem: err.Error()}
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return &pattern{problem: err.Error()}
	}
	p := &pattern{size: len(program.Inst)}
	if p.size > maxProgram {
		p.problem = programTooBig
		return p
	}
	if p.re, err = regexp.Compile(src); err != nil {
		p.problem = err.Error()
	}
	return p
}

// matchPrice is what matching costs: compiling the pattern, and walking its program over the text.
func matchPrice(p *pattern, text, pattern string) uint64 {
	size := uint64(min(p.size, maxProgram))
	price := size + uint64(len(pattern))/bytesPerUnit
	if p.problem == "" {
		price += uint64(len(text)) * size / stepsPerUnit
	}
	return price
}

func matches(text, src ref.Val) ref.Val {
	s, re := string(text.(types.String)), string(src.(types.String))
	p := patternOf(re)
	switch {
	case p.problem != "":
		return types.NewErrFromString(p.problem)
	case matchPrice(p, s, re) > CostLimit: // the charge that follows ends the evaluation
		return types.NewErrFromString(tooExpensive)
	}
	return types.Bool(p.re.MatchString(s))
}

// matchMacro checks a pattern that stands in the source.
func matchMacro(eh parser.ExprHelper, text, re ast.Expr) (ast.Expr, *common.Error) {
	if re.Kind() == ast.LiteralKind {
		src, ok := re.AsLiteral().(types.String)
		if !ok {
			return nil, eh.NewError(re.ID(), "invalid matches argument: the pattern must be a text")
		}
		switch p := compilePattern(string(src)); {
		case p.problem == programTooBig:
			return nil, eh.NewError(re.ID(), "invalid matches argument: the regular expression is larger than 1000 instructions; repeat less")
		case p.problem != "":
			return nil, eh.NewError(re.ID(), "invalid matches argument: "+p.problem)
		}
	}
	return eh.NewCall("@matches", text, re), nil
}

// from reads the optional place to search from.
func from(args []ref.Val) (int, bool) {
	if len(args) < 3 {
		return 0, false
	}
	n := args[2].(types.Int)
	if n < 0 {
		return -1, true
	}
	return int(min(n, 1<<40)), true
}

const outOfRange = "index out of range"

// indexOf counts characters, as cel-go's does.
func indexOf(args ...ref.Val) ref.Val {
	s, sub := string(args[0].(types.String)), string(args[1].(types.String))
	start, _ := from(args)
	if start < 0 {
		return types.NewErrFromString(outOfRange)
	}
	if sub == "" {
		return types.Int(min(start, utf8.RuneCountInString(s)))
	}
	at, ok := offset(s, start)
	if !ok {
		return types.Int(-1)
	}
	found := strings.Index(s[at:], sub)
	if found < 0 {
		return types.Int(-1)
	}
	return types.Int(start + utf8.RuneCountInString(s[at:at+found]))
}

func lastIndexOf(args ...ref.Val) ref.Val {
	s, sub := string(args[0].(types.String)), string(args[1].(types.String))
	start, given := from(args)
	if start < 0 {
		return types.NewErrFromString(outOfRange)
	}
	n := utf8.RuneCountInString(s)
	switch {
	case sub == "" && !given:
		return types.Int(n)
	case sub == "":
		return types.Int(min(start, n))
	case given && start >= n, len(s) < len(sub):
		return types.Int(-1)
	case given:
		at, _ := offset(s, start)
		s = s[:min(len(s), at+len(sub))] // the last place that may be found is start
	}
	found := strings.LastIndex(s, sub)
	if found < 0 {
		return types.Int(-1)
	}
	return types.Int(utf8.RuneCountInString(s[:found]))
}

// offset is the byte at which a character begins; false if there is none.
func offset(s string, characters int) (int, bool) {
	for i := range s {
		if characters == 0 {
			return i, true
		}
		characters--
	}
	return 0, false
}
