package rulefile

import (
	"strings"

	"github.com/neuronx/engine/pkg/expr"
)

// Location is where an expression stands.
type Location struct {
	Where        string // such as when, or emit.data.score
	Line, Column int    // of its YAML node, from 1
}

// Find is the line and column in a file of a problem in the expression src that stands at p. YAML lets an expression be quoted, folded and
// indented, so its line is looked for as it is written; where it was folded or escaped, only the line of the expression is told.
func (p Location) Find(file, src string, problem expr.Problem) (line, column int) {
	if problem.Line == 0 {
		return p.Line, 0
	}
	written := strings.Split(src, "\n")
	if problem.Line > len(written) {
		return p.Line, 0
	}
	wanted := written[problem.Line-1]
	lines := strings.Split(file, "\n")
	for i := p.Line - 1; i >= 0 && i < len(lines) && i < p.Line+len(written)+1; i++ {
		text, from := lines[i], 0
		if i == p.Line-1 {
			from = min(max(0, p.Column-1), len(text)) // what stands before it is not its own
		}
		if wanted == "" {
			break
		}
		if at := strings.Index(text[from:], wanted); at >= 0 && (i-p.Line+1 >= problem.Line-1) {
			return i + 1, from + at + problem.Column
		}
	}
	if len(written) > 1 {
		return p.Line + problem.Line, 0
	}
	return p.Line, 0
}
