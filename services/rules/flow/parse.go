package flow

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// Edition is the newest language that workflows are written in.
const Edition = expr.Edition3

// Limits of a workflow, refused before it is published.
const (
	MaxTasks    = 200
	MaxDepth    = 8   // lists in lists
	MaxBranches = 8   // of a fork
	MaxRounds   = 400 // of a loop
	MaxTokens   = 16  // branches and loops that are under way at once
	MaxListens  = 16  // events that are waited for at once, and named ends
	MaxVars     = 64
	MaxTypes    = 32 // that one match or start names
	MaxUndo     = 8
	MaxCases    = 32
	maxFields   = 200
	maxLife     = 400 // days that an instance lives, and with it a wait
)

// Options say how a file is compiled.
type Options struct {
	Edition expr.Edition
	Left    *int // expressions that the bundle may still have; it is counted down
	// Reach is the field of a command that names the channel over which it reaches a person; empty: it reaches nobody. nil: the schemas are not
	// known, as when a published bundle is compiled; then nothing is checked by them.
	Reach func(eventType string) string
}

// Parse reads and compiles the file of a workflow. The program is nil when there is nothing to go on with; with problems that are no
// warnings it is for Validate alone.
func Parse(file, text string, o Options) (*Program, rulefile.Problems) {
	r := reader(file, text, o)
	p := &parser{Reader: r, reach: o.Reach, prog: &Program{File: file, locations: r.Locations, text: text}}
	root, spec := header(r, "Workflow")
	if root == nil {
		return nil, r.Problems
	}
	p.prog.Name, p.prog.line = r.Rule, root.Line
	if spec != nil {
		p.spec(spec)
	}
	return p.prog, r.Problems
}

func reader(file, text string, o Options) *rulefile.Reader {
	return &rulefile.Reader{File: file, Text: text, Edition: o.Edition, Left: o.Left, Templates: true, Locations: map[*expr.Program]rulefile.Location{}}
}

// header reads what stands around the spec of a file of a kind.
func header(r *rulefile.Reader, kind string) (root, spec *yaml.Node) {
	if root = r.Document([]byte(r.Text)); root == nil {
		return nil, nil
	}
	if k := rulefile.Value(root, "kind"); k != nil && k.Value != kind {
		r.Problem(k.Line, rulefile.CodeWrongVersion, "kind is %q; this file must have kind %s", rulefile.Cut(k.Value), kind)
	}
	_, spec = r.Head(root)
	return root, spec
}

// parser reads a workflow.
type parser struct {
	*rulefile.Reader
	reach  func(string) string
	prog   *Program
	tasks  int
	quick  string   // names the place whose tasks neither wait nor reach a person; empty: they may
	scope  []string // loop variables, and errors that are caught
	ways   []way    // on from the tasks of the list that is being read
	reads  []use
	sets   []string // variables, in the order of the file
	sinces []since
}

// use is an expression that reads variables.
type use struct {
	prog *expr.Program
	node *yaml.Node
}

var (
	heard  = []string{"event", "data"}
	joined = []string{"event", "data", "vars", "instance"}
	kept   = []string{"vars", "instance"}
	task   = []string{"vars", "instance", "now"}
)

// in compiles an expression that sees variables.
func (p *parser) in(n *yaml.Node, where, want string, variables ...string) *expr.Program {
	if n == nil {
		return nil
	}
	p.Variables = variables
	prog := p.Expression(n, where, want)
	if prog != nil {
		p.reads = append(p.reads, use{prog, n})
	}
	return prog
}

// step compiles an expression of a task: it sees vars, instance, now, loop variables and errors that are caught.
func (p *parser) step(n *yaml.Node, where, want string) *expr.Program {
	return p.in(n, where, want, slices.Concat(task, p.scope)...)
}

// assignments reads a map of expressions that see variables.
func (p *parser) assignments(n *yaml.Node, where string, most int, variables ...string) []rulefile.Assignment {
	if n == nil {
		return nil
	}
	p.Variables, p.Broken = variables, nil
	as := p.Assignments(n, where, most)
	for _, a := range as {
		p.reads = append(p.reads, use{a.Expr, n})
	}
	return as
}

// set notes a variable that is set.
func (p *parser) set(name string) {
	if !slices.Contains(p.sets, name) {
		p.sets = append(p.sets, name)
	}
}

// setAll notes the variables of a map that was just read, those whose expressions do not compile included.
func (p *parser) setAll(as []rulefile.Assignment) {
	for _, a := range as {
		p.set(a.Key)
	}
	for _, name := range p.Broken {
		p.set(name)
	}
}

// variable reads the name of a variable.
func (p *parser) variable(n *yaml.Node, where string) string {
	name, ok := p.Scalar(n, where)
	if !ok {
		return ""
	}
	if !rulefile.ValidKey(name) {
		p.Problem(n.Line, rulefile.CodeInvalidName, "%s is %q, not 1 to 63 of a-z, 0-9 and _, a letter first", where, rulefile.Cut(name))
		return ""
	}
	return name
}

// word reads one of a few words.
func (p *parser) word(n *yaml.Node, where string, words ...string) string {
	return word(p.Reader, n, where, words...)
}

func word(r *rulefile.Reader, n *yaml.Node, where string, words ...string) string {
	v, ok := r.Scalar(n, where)
	if !ok {
		return ""
	}
	if !slices.Contains(words, v) {
		r.Problem(n.Line, rulefile.CodeUnknownValue, "%s is %q; write %s", where, rulefile.Cut(v), either(words))
		return ""
	}
	return v
}

// either is "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// integer reads a whole number within bounds.
func integer(r *rulefile.Reader, n *yaml.Node, where string, least, most int64) int64 {
	if n == nil {
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < least || v > most {
		r.Problem(n.Line, rulefile.CodeWrongKind, "%s must be a whole number from %d to %d", where, least, most)
		return 0
	}
	return v
}

// duration reads a duration of at most 400 days.
func duration(r *rulefile.Reader, n *yaml.Node, where string) (calendar.Duration, bool) {
	text, ok := r.Scalar(n, where)
	if !ok {
		return calendar.Duration{}, false
	}
	d, err := calendar.ParseDuration(text)
	if err != nil {
		r.Problem(n.Line, rulefile.CodeDuration, "%s: %v", where, err)
		return d, false
	}
	if days := int64(d.Months)*31 + int64(d.Days) + int64(d.Elapsed/day); days > maxLife {
		r.Problem(n.Line, rulefile.CodeDuration, "%s is %s; the longest is %d days", where, text, maxLife)
		return d, false
	}
	return d, true
}

// length is a duration that must be longer than nothing.
func length(r *rulefile.Reader, n *yaml.Node, where string) (calendar.Duration, bool) {
	d, ok := duration(r, n, where)
	if ok && d == (calendar.Duration{}) {
		r.Problem(n.Line, rulefile.CodeDuration, "%s is no time at all; write a longer one, such as PT15M, or leave the key out", where)
		return d, false
	}
	return d, ok
}

// timer reads the duration of a timer.
func (p *parser) timer(n *yaml.Node, where string) (calendar.Duration, bool) {
	d, ok := length(p.Reader, n, where)
	if ok && d.Months == 0 && d.Days == 0 && d.Elapsed < shortest {
		p.Problem(n.Line, rulefile.CodeDuration, "%s is %s; the shortest timer is PT60S: loops are found by counting the events that cause each other, and each timer begins a new count, so shorter ones would hide a loop; write PT1M or more, or go on without it",
			where, n.Value)
		return d, false
	}
	return d, ok
}

// types reads the types of events that are heard: one, or a list.
func types(r *rulefile.Reader, n *yaml.Node, where string) []string {
	if n == nil {
		return nil
	}
	nodes := []*yaml.Node{n}
	var names []string
	if n.Kind == yaml.SequenceNode {
		var ok bool
		if names, ok = r.Texts(n, where, MaxTypes); !ok {
			return nil
		}
		nodes = n.Content
	} else if name, ok := r.Scalar(n, where); ok {
		names = []string{name}
	}
	for i, t := range names {
		line := nodes[i].Line
		switch {
		case !event.ValidType(t):
			r.Problem(line, rulefile.CodeUnknownType, "%q is not an event type such as lead.created", rulefile.Cut(t))
		case unheard(t):
			r.Problem(line, rulefile.CodeReservedTrigger, "%s may not hear %s: it tells about workflows, rules and timers, and what hears it could feed itself; of workflow.* there are "+
				"workflow.completed, workflow.cancelled and workflow.faulted", where, t)
		case slices.Index(names, t) != i:
			r.Problem(line, rulefile.CodeDuplicateKey, "%s stands twice in %s; keep one", t, where)
		}
	}
	return names
}

func unheard(typ string) bool {
	switch typ {
	case "workflow.completed", "workflow.cancelled", "workflow.faulted":
		return false
	}
	return slices.ContainsFunc([]string{"engine.", "timer.", "workflow."}, func(prefix string) bool { return strings.HasPrefix(typ, prefix) })
}

// named reads the name of another file of the bundle, such as a calendar.
func named(r *rulefile.Reader, n *yaml.Node, where string) string {
	name, ok := r.Scalar(n, where)
	if ok && !rulefile.ValidName(name) {
		r.Problem(n.Line, rulefile.CodeInvalidName, "%s is %q, not the name of a file of the bundle: 1 to 63 of a-z, 0-9 and single hyphens", where, rulefile.Cut(name))
		return ""
	}
	return name
}
