package ruleset

import (
	"strings"

	"github.com/neuronx/engine/pkg/expr"
)

// find is the line and column in a file of a problem in the expression src that stands at p. YAML lets an expression be quoted, folded and
// indented, so its line is looked for as it is written; where it was folded or escaped, only the line of the expression is told.
func (p location) find(file, src string, problem expr.Problem) (line, column int) {
	if problem.Line == 0 {
		return p.line, 0
	}
	written := strings.Split(src, "\n")
	if problem.Line > len(written) {
		return p.line, 0
	}
	wanted := written[problem.Line-1]
	lines := strings.Split(file, "\n")
	for i := p.line - 1; i >= 0 && i < len(lines) && i < p.line+len(written)+1; i++ {
		text, from := lines[i], 0
		if i == p.line-1 {
			from = min(max(0, p.column-1), len(text)) // what stands before it is not its own
		}
		if wanted == "" {
			break
		}
		if at := strings.Index(text[from:], wanted); at >= 0 && (i-p.line+1 >= problem.Line-1) {
			return i + 1, from + at + problem.Column
		}
	}
	if len(written) > 1 {
		return p.line + problem.Line, 0
	}
	return p.line, 0
}
