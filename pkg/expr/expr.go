package expr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/interpreter"
)

// Bounds of sources and evaluations.
const (
	MaxSource      = 8 << 10         // bytes of one expression
	CostLimit      = 100_000         // cost units of one evaluation
	BaseCost       = 10              // cost units that an evaluation takes at least
	Deadline       = 5 * time.Second // wall time of one Eval; a safety net far above what CostLimit allows
	MaxResultNodes = 10_000          // values in one result, nested ones counted
	MaxResultBytes = 256 << 10       // bytes of text and bytes in one result
)

// Problem is one thing wrong with a source. Line and Column count from 1; zero means the whole source.
type Problem struct {
	Line, Column int
	Message      string
}

// CompileError lists every problem of a source.
type CompileError struct{ Problems []Problem }

func (e *CompileError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.Message
		if p.Line > 0 {
			parts[i] = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message)
		}
	}
	return strings.Join(parts, "; ")
}

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source string
	prg    cel.Program
	result string
	fields map[string][]string
	reads  map[string]bool
	whole  map[string]bool // of those: see ReadsWhole
	scale  uint64          // what a unit of CEL's counts for; see scaleOf
	least  uint64          // see Estimate
	most   uint64
	plain  plain // nil: only CEL can evaluate it

	edition Edition // and variables that it was compiled with; see Trace
	vars    []string
}

// Compile is CompileIn with Edition1.
func Compile(src string, vars ...string) (*Program, error) {
	return CompileIn(Edition1, src, vars...)
}

// CompileIn parses and checks a source of an edition whose only variables are vars. The variable "event" is a map from string; the
// others may hold any value. The error is *CompileError.
func CompileIn(edition Edition, src string, vars ...string) (*Program, error) {
	if len(src) > MaxSource {
		return nil, &CompileError{[]Problem{{Message: fmt.Sprintf("the expression has %d bytes, more than the %d allowed; split it", len(src), MaxSource)}}}
	}
	if strings.TrimSpace(src) == "" {
		return nil, &CompileError{[]Problem{{Message: "the expression is empty; write a CEL expression such as true or data.score >= 50"}}}
	}
	env, err := envOf(edition, vars)
	if err != nil {
		return nil, err
	}
	checked, issues := check(env, src, nil)
	if issues.Err() != nil {
		return nil, compileError(issues)
	}
	fields, reads, whole, problems := survey(checked.NativeRep(), vars)
	if len(problems) > 0 {
		return nil, &CompileError{problems}
	}
	prices := charger{joins: joins(checked.NativeRep()), library: edition >= Edition3}
	scale := scaleOf(checked.NativeRep())
	options := []cel.ProgramOption{cel.CostTracking(prices), cel.CostLimit(CostLimit / scale), cel.InterruptCheckFrequency(100), cel.CustomDecoratorV2(weigh)}
	if edition >= Edition2 {
		options = append(options, cel.CustomDecoratorV2(exact))
	}
	if edition >= Edition3 {
		if trackers := prices.trackers(checked.NativeRep()); len(trackers) > 0 {
			options = append(options, cel.CostTrackerOptions(trackers...))
		}
	}
	prg, err := env.Program(checked, options...)
	if err != nil {
		return nil, &CompileError{[]Problem{{Message: "the expression cannot be planned: " + err.Error()}}}
	}
	p := &Program{source: src, prg: prg, result: checked.OutputType().String(), fields: fields, reads: reads, whole: whole, scale: scale, edition: edition, vars: vars}
	p.least, p.most = estimate(env, checked, scale)
	if scale == 1 {
		p.plain = plainOf(checked.NativeRep(), vars)
	}
	return p, nil
}

func compileError(issues *cel.Issues) *CompileError {
	ce := &CompileError{}
	for _, e := range issues.Errors() {
		p := Problem{Message: e.Message}
		if e.Location != nil && e.Location.Line() > 0 {
			p.Line, p.Column = e.Location.Line(), e.Location.Column()+1
		}
		// A cascade of recovered parse errors says nothing that the first ones did not say.
		if len(ce.Problems) < 10 {
			ce.Problems = append(ce.Problems, p)
		}
	}
	if len(ce.Problems) == 0 {
		ce.Problems = append(ce.Problems, Problem{Message: issues.Err().Error()})
	}
	return ce
}

// survey walks the checked tree: it lists the fields selected of each variable and refuses comprehension variables that hide
// one, which would make that list, and a reader, wrong.
func survey(tree *ast.AST, vars []string) (fields map[string][]string, reads, whole map[string]bool, problems []Problem) {
	fields, reads, whole = map[string][]string{}, map[string]bool{}, map[string]bool{}
	beyond := map[string]int{} // how often a variable stands for itself, and not for a field of it
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			reads[e.AsIdent()] = true
			beyond[e.AsIdent()]++
		case ast.SelectKind:
			if op := e.AsSelect().Operand(); op.Kind() == ast.IdentKind {
				beyond[op.AsIdent()]--
				fields[op.AsIdent()] = append(fields[op.AsIdent()], e.AsSelect().FieldName())
			}
		case ast.CallKind:
			call := e.AsCall()
			if call.FunctionName() != "_[_]" || len(call.Args()) != 2 || call.Args()[0].Kind() != ast.IdentKind ||
				call.Args()[1].Kind() != ast.LiteralKind {
				return
			}
			if name, ok := call.Args()[1].AsLiteral().Value().(string); ok {
				beyond[call.Args()[0].AsIdent()]--
				fields[call.Args()[0].AsIdent()] = append(fields[call.Args()[0].AsIdent()], name)
			}
		case ast.ComprehensionKind:
			if v := e.AsComprehension().IterVar(); slices.Contains(vars, v) {
				problems = append(problems, Problem{Message: fmt.Sprintf("the loop variable %s hides the variable of that name; rename it", v)})
			}
			if v := e.AsComprehension().AccuVar(); slices.Contains(vars, v) { // of cel.bind
				problems = append(problems, Problem{Message: fmt.Sprintf("the name %s hides the variable of that name; rename it", v)})
			}
		}
	}))
	for root, names := range fields {
		slices.Sort(names)
		fields[root] = slices.Compact(names)
	}
	for root, n := range beyond {
		if n > 0 {
			whole[root] = true
		}
	}
	return fields, reads, whole, problems
}

// Source is the text that was compiled.
func (p *Program) Source() string { return p.source }

// Same reports whether two programs give the same on all values of the variables that both know.
func (p *Program) Same(o *Program) bool { return p.edition == o.edition && p.source == o.source }

// ResultType is the static type of the result as CEL writes it: "bool", "int", "string", "double", "bytes", "null_type",
// "google.protobuf.Timestamp", "list(dyn)", "map(string, dyn)", or "dyn" when only a run can tell.
func (p *Program) ResultType() string { return p.result }

// Fields lists, sorted, the fields that the expression selects of a variable by name: data.score and data["score"] give
// "score" for "data".
func (p *Program) Fields(variable string) []string { return slices.Clone(p.fields[variable]) }

// ReadsWhole reports whether the expression reads a variable otherwise than by the names of Fields: as a whole, or by a name that is only known when
// it runs. Then any field of it may be in the result, whatever Fields lists.
func (p *Program) ReadsWhole(variable string) bool { return p.whole[variable] }

// Reads reports whether the expression reads a variable, in whole or a field of it.
func (p *Program) Reads(variable string) bool { return p.reads[variable] }

// Eval runs the program within Deadline. Values may be nil, bool, int, int64, float64, string, time.Time, []byte, []any,
// map[string]any, Decimal and TooLarge; so is the result, but for the last (int64 for every integer). The error is *EvalError.
func (p *Program) Eval(vars map[string]any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	v, _, err := p.Run(ctx, vars)
	return v, err
}

// Run is Eval under the caller's deadline. It tells what the evaluation cost, in units, also when it failed; the cost is a function of
// the source and the values, as the result is. When ctx ends first, the error has CodeDeadline. A variable may be a func() any: it is called when the
// variable is read for the first time, and vars has its result from then on.
func (p *Program) Run(ctx context.Context, vars map[string]any) (any, uint64, error) {
	if v, cost, ok := p.runPlain(vars); ok {
		if ctx.Err() != nil {
			return nil, cost, tooSlow()
		}
		return v, cost, nil
	}
	return p.runCEL(ctx, vars)
}

func (p *Program) runCEL(ctx context.Context, vars map[string]any) (any, uint64, error) {
	out, details, err := p.prg.ContextEval(ctx, vars)
	cost := uint64(BaseCost)
	if n := details.ActualCost(); n != nil {
		cost += min(*n, CostLimit/p.scale) * p.scale
	}
	if err != nil {
		return nil, cost, p.evalError(ctx, err)
	}
	// An interrupted loop can hide behind || or &&, and the cost of what did not run is missing.
	if ctx.Err() != nil {
		return nil, cost, tooSlow()
	}
	b := budget{nodes: MaxResultNodes, bytes: MaxResultBytes}
	v, err := b.native(out)
	cost += uint64(MaxResultNodes-b.nodes) + uint64(MaxResultBytes-b.bytes)/bytesPerUnit
	if err != nil {
		return nil, cost, err
	}
	return v, cost, nil
}

func fieldTooLarge() *EvalError {
	return &EvalError{CodeTooLarge, fmt.Sprintf("a field that the expression reads is too large: more than %d bytes of text or %d values", MaxText, MaxValues)}
}

func tooSlow() *EvalError {
	return &EvalError{CodeDeadline, "the evaluation was interrupted before it ended"}
}

// Bool runs a program that must answer true or false. A null is not false: it is an error of code CodeType.
func (p *Program) Bool(vars map[string]any) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	defer cancel()
	b, _, err := p.RunBool(ctx, vars)
	return b, err
}

// RunBool is Bool under the caller's deadline; it tells the cost as Run does.
func (p *Program) RunBool(ctx context.Context, vars map[string]any) (bool, uint64, error) {
	v, cost, err := p.Run(ctx, vars)
	if err != nil {
		return false, cost, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, cost, &EvalError{CodeType, fmt.Sprintf("the expression must give true or false, it gave %s", kind(v))}
	}
	return b, cost, nil
}

// evalError names the failure without repeating values: see the package comment.
func (p *Program) evalError(ctx context.Context, err error) *EvalError {
	var cancelled interpreter.EvalCancelledError
	if errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded {
		return &EvalError{CodeCost, fmt.Sprintf("the expression costs more than %d units; make it cheaper or split it", CostLimit)}
	}
	if ctx.Err() != nil {
		return tooSlow()
	}
	msg := err.Error()
	head, tail, found := strings.Cut(msg, ": ")
	code := CodeFailed
	switch {
	case strings.HasPrefix(msg, "no such key"):
		code, head = CodeMissingKey, "no such key"
	case strings.HasPrefix(msg, "no such overload"):
		return &EvalError{CodeType, "no such overload: an operator or function was given a value of a kind it does not take; test for null first, as in data.x != null"}
	case strings.HasPrefix(msg, noZone):
		return &EvalError{CodeFailed, noZone + `; names are those of the IANA database, such as "Europe/Berlin"`}
	case strings.HasPrefix(msg, unreadable):
		return fieldTooLarge()
	case strings.HasPrefix(msg, tooLarge):
		return &EvalError{CodeResult, fmt.Sprintf("%s: more than %d bytes or %d parts", tooLarge, MaxResultBytes, MaxResultNodes)}
	case strings.HasPrefix(msg, "division by zero"), strings.HasPrefix(msg, "modulus by zero"):
		return &EvalError{CodeArithmetic, head}
	case strings.Contains(msg, "overflow"):
		return &EvalError{CodeArithmetic, "overflow"}
	case strings.HasPrefix(msg, "index out of bounds"):
		return &EvalError{CodeMissingKey, "index out of bounds"}
	case strings.HasPrefix(msg, noRow):
		return &EvalError{CodeMissingKey, noRow}
	case slices.Contains(told, msg):
		return &EvalError{CodeFailed, msg}
	case strings.HasPrefix(msg, "no such attribute") && strings.Contains(msg, referenceVar):
		return &EvalError{CodeFailed, noReference}
	case strings.HasPrefix(msg, "no such attribute"):
		code, head = CodeMissingKey, "no such attribute"
	}
	if found && tail != "" && strings.Contains(p.source, tail) {
		head += ": " + tail
	} else if code == CodeFailed && !strings.Contains(p.source, head) {
		head = "a function was given a value it does not take"
	}
	if code == CodeMissingKey {
		head += "; test with has() first"
	}
	return &EvalError{code, head}
}
