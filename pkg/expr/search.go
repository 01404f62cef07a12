package expr

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
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
	maxProgram    = 1_000    // instructions of one regular expression
	maxPattern    = 4 << 10  // bytes of a pattern whose compiled form is kept
	maxPatterns   = 1_000    // compiled patterns that are kept
	keptPatterns  = 16 << 20 // bytes of their programs, roughly
	freeRanges    = 10_000   // ranges of its character classes that cost nothing
	stepsPerUnit  = 20       // instructions times bytes that a match makes for one unit
	wideClass     = 100      // units of reading \p{...}, whose table has hundreds of ranges
	widePerUnit   = 256      // characters of a range in a pattern without regard to case, which are folded one by one, for one unit
	tooExpensive  = "the match costs more than an evaluation may"
	programTooBig = "the regular expression is too large"
)

// pattern is a compiled regular expression, or why there is none.
type pattern struct {
	re      *regexp.Regexp
	size    int // instructions, or a number over maxProgram
	ranges  int // of all character classes
	problem string
}

var patterns = struct {
	sync.Mutex
	kept  map[string]*pattern
	bytes int
}{kept: map[string]*pattern{}}

func patternOf(src string) *pattern {
	if len(src) > maxPattern {
		return compilePattern(src)
	}
	patterns.Lock()
	defer patterns.Unlock()
	p := patterns.kept[src]
	if p == nil {
		p = compilePattern(src)
		bytes := len(src) + 128*p.size + 16*p.ranges
		if p.re == nil {
			bytes = len(src)
		}
		if len(patterns.kept) >= maxPatterns || patterns.bytes+bytes > keptPatterns {
			clear(patterns.kept) // what is in use comes back
			patterns.bytes = 0
		}
		patterns.kept[strings.Clone(src)] = p
		patterns.bytes += bytes
	}
	return p
}

// compilePattern reckons what a pattern needs before each step of compiling it: the pattern can be data, and a few kilobytes of it can
// ask for millions of instructions.
func compilePattern(src string) *pattern {
	if len(src) > MaxSource {
		return &pattern{size: maxProgram + 1, problem: programTooBig}
	}
	if readPrice(src) > CostLimit {
		return &pattern{size: maxProgram + 1, problem: tooExpensive}
	}
	tree, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return &pattern{problem: err.Error()}
	}
	p := &pattern{}
	if p.size, p.ranges = extent(tree); p.size > 10*maxProgram { // the count is rough; up to here compiling is cheap
		p.problem = programTooBig
		return p
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		p.problem = err.Error()
		return p
	}
	p.size = len(program.Inst)
	if p.size > maxProgram {
		p.problem = programTooBig
		return p
	}
	if p.re, err = regexp.Compile(src); err != nil {
		p.problem = err.Error()
	}
	return p
}

// extent counts, roughly, the instructions that a pattern compiles to, with what it repeats, and the ranges of its character classes as
// they are written. It stops counting at numbers far over the bounds.
func extent(re *syntax.Regexp) (instructions, ranges int) {
	const most = 1 << 30
	for _, sub := range re.Sub {
		n, r := extent(sub)
		instructions, ranges = min(instructions+n, most), min(ranges+r, most)
	}
	switch re.Op {
	case syntax.OpLiteral:
		instructions += len(re.Rune)
	case syntax.OpCharClass:
		instructions, ranges = instructions+1, ranges+len(re.Rune)/2
	case syntax.OpRepeat:
		instructions = min((instructions+1)*max(re.Min, re.Max, 1), most)
	case syntax.OpEmptyMatch:
		// nothing, however often it is repeated
	default:
		instructions++
	}
	return instructions, ranges
}

// readPrice is what parsing a pattern costs beyond its length: tables of Unicode, and ranges whose characters are folded one by one.
func readPrice(src string) uint64 {
	tables := strings.Count(src, `\p`) + strings.Count(src, `\P`)
	price := uint64(max(0, tables-4)) * wideClass // a few are ordinary
	if !strings.Contains(src, "(?") || !strings.Contains(src, "i") {
		return price
	}
	price += uint64(strings.Count(src, `\x{`)) * (unicode.MaxRune / widePerUnit / 8) // no range that is folded has more: folds end at U+1E943
	for at := strings.IndexByte(src, '-'); at >= 0; {
		src = src[at+1:]
		last, _ := utf8.DecodeRuneInString(src)
		price += uint64(min(last, 0x1FFFF)) / widePerUnit
		at = strings.IndexByte(src, '-')
	}
	return price
}

// matchPrice is what matching costs: compiling the pattern, and walking its program over the text.
func matchPrice(p *pattern, text, pattern string) uint64 {
	size := uint64(min(p.size, maxProgram))
	price := size + uint64(len(pattern))/bytesPerUnit + readPrice(pattern) + uint64(max(0, p.ranges-freeRanges))/weighsPerUnit
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
		case p.problem == tooExpensive:
			return nil, eh.NewError(re.ID(), "invalid matches argument: the regular expression has too many \\p classes and wide ranges without regard to case; use fewer")
		case p.problem == programTooBig:
			return nil, eh.NewError(re.ID(), "invalid matches argument: the regular expression is larger than 1000 instructions; repeat less")
		case p.problem != "":
			return nil, eh.NewError(re.ID(), "invalid matches argument: "+p.problem)
		}
	}
	return eh.NewCall("@matches", text, re), nil
}

// from reads the optional index to search from.
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
		s = s[:min(len(s), at+len(sub))] // the last index that may be found is start
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
