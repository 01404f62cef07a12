package advance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/typecheck"
	"github.com/neuronx/engine/services/rules/value"
)

// Types of errors besides command/… and raised/…
const (
	errExpression = "expression/" // and the code of expr.EvalError
	errData       = "data"        // what a task would emit or keep has no form for it
	errTimeout    = "timeout"
	errTimer      = "timer" // its firings are refused; no catch has it
	errLimit      = "limit"
	errNoCapacity = "no_capacity"
)

const bytesPerUnit = 10 // of an event or of variables, for one more unit of cost

// fault is an error of the file's or the data's: an outcome, which a replay has again.
type fault struct {
	code, detail string
	varies       bool // a value had a part in it
	bound        bool // it ran into a limit
	final        bool // no catch may have it: what it would run has no budget
	personal     bool // the detail may hold what stands in personal fields
}

func (f *fault) Error() string { return f.code + ": " + f.detail }

func faultf(code, format string, args ...any) *fault {
	return &fault{code: code, detail: fmt.Sprintf(format, args...), varies: true}
}

// over is a fault of running into a limit.
func over(format string, args ...any) *fault {
	f := faultf(errLimit, format, args...)
	f.bound = true
	return f
}

// Schema is what an activation must know of the type of an event.
type Schema struct {
	ID       int32
	Avro     *avro.Schema
	fields   map[string]bool
	personal map[string]bool // top-level fields in which personal data stands
	reach    string          // field that names the channel by which a command reaches a person; empty: it reaches nobody
}

// Schemas are schemas by type.
type Schemas map[string]Schema

// NewSchema reads what the text of a schema says.
func NewSchema(id int32, s *avro.Schema) (Schema, error) {
	out := Schema{ID: id, Avro: s, fields: map[string]bool{}, personal: map[string]bool{}}
	var text struct {
		Reach  string `json:"reach"`
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(s.Text(), &text); err != nil {
		return Schema{}, fmt.Errorf("read the fields of schema %d: %w", id, err)
	}
	out.reach = text.Reach
	for _, f := range text.Fields {
		out.fields[f.Name] = true
	}
	for _, p := range s.Personal() {
		top, _, _ := strings.Cut(p.Path, ".")
		out.personal[strings.TrimSuffix(top, "[]")] = true
	}
	return out, nil
}

// Find adds the schemas of types that are not known yet. A type that no schema has is left out.
func (s Schemas) Find(ctx context.Context, catalogue typecheck.Catalogue, types []string) error {
	for _, typ := range types {
		if _, known := s[typ]; known {
			continue
		}
		id, found, err := catalogue.ByType(ctx, typ)
		if errors.Is(err, ruleset.ErrUnknown) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find the schema of %s: %w", typ, err)
		}
		if s[typ], err = NewSchema(id, found); err != nil {
			return err
		}
	}
	return nil
}

// Personal reports whether personal data may stand in a field of the data; without a field, whether it may anywhere.
func (s Schema) Personal(field ...string) bool {
	if len(field) == 0 {
		return s.Avro == nil || len(s.personal) > 0
	}
	return s.Avro == nil || s.personal[field[0]]
}

// base are the variables of every expression of an activation; what changes a variable must forget it.
func (m *machine) base() map[string]any {
	if m.vars == nil {
		vars := make(map[string]any, len(m.in.Vars)+len(m.in.Personal))
		maps.Copy(vars, m.in.Vars)
		maps.Copy(vars, m.in.Personal)
		m.vars = map[string]any{
			"vars": vars, "now": m.now,
			"instance": map[string]any{"id": m.in.ID, "key": m.in.Key, "subject": m.in.Subject, "zone": m.in.Zone, "contact": m.in.Contact,
				"workflow": m.in.Workflow, "version": m.in.Bundle, "number": m.in.Number, "started": m.in.Started},
		}
		m.env.Reference.Bind(m.vars)
	}
	return m.vars
}

// frames are those of a token and of the forks that it is in, outermost first.
func (m *machine) frames(t *Token) []*Frame {
	if t == nil {
		return nil
	}
	if t.Parent == 0 {
		return t.Frames
	}
	return append(slices.Clone(m.frames(m.find(t.Parent))), t.Frames...)
}

// scope are the variables that expressions of a token see: loop variables and the error of a catch besides the base.
func (m *machine) scope(frames []*Frame) (vars map[string]any, personal []string, err error) {
	vars = m.base()
	if len(frames) == 0 {
		return vars, nil, nil
	}
	own := false
	for _, f := range frames {
		task, err := m.task(f.Task)
		if err != nil {
			return nil, nil, err
		}
		var name string
		var set any
		switch s := task.Step.(type) {
		case *flow.For:
			if len(f.Values) == 0 {
				continue
			}
			name, set = s.Each, f.Values[0]
			if s.At != "" {
				if !own {
					vars, own = maps.Clone(vars), true
				}
				vars[s.At] = f.Index
			}
		case *flow.Try:
			if f.Caught == nil {
				continue
			}
			if name = s.As; name == "" {
				name = "error"
			}
			set = map[string]any{"type": f.Caught.Type, "detail": f.Caught.Detail, "task": f.Caught.Task}
		default:
			continue
		}
		if name == "" {
			continue
		}
		if !own {
			vars, own = maps.Clone(vars), true
		}
		vars[name] = set
		if f.Personal {
			personal = append(personal, name)
		}
	}
	return vars, personal, nil
}

// pay charges for n units. What is over the budget of an activation ends it: nothing more is evaluated.
func (m *machine) pay(n uint64) error {
	m.cost += n
	if m.cost > m.allowed {
		f := over("the activation costs more than %d units; make its expressions cheaper or wait between tasks", ruleset.RuleCost)
		f.final = true
		return f
	}
	return nil
}

// count adds units to what the activation costs and takes none of them from its budget: they say how long others would wait for it, and are no outcome.
func (m *machine) count(n uint64) {
	m.cost += n
	m.allowed += n
}

// Watcher hears what an activation asks, for a person who wants to know why. Nothing depends on it, and it changes nothing. Of a start, the instance
// is the zero one but for what is known already.
type Watcher interface {
	// Asked hears of a condition, before it is evaluated.
	Asked(in Instance, p *flow.Program, where string, when *expr.Program, vars map[string]any)
	// Picked hears of a pick of a pool.
	Picked(in Instance, task string, pick Pick)
}

// Pick is a choice of a member of a pool.
type Pick struct {
	Pool    string
	Members []pool.Member         // Closed is filled in
	Opens   func(i int) time.Time // when a closed member opens next; zero: never, or it is open. It looks up to 400 days ahead: ask of those that are shown
	Except  []string
	State   pool.State // of the turns, before
	Claim   pool.Claim // of the key, before
	Member  string     // that was picked, or taken as or says; empty: nobody
	Now     time.Time
}

// eval runs an expression.
func (m *machine) eval(where string, p *expr.Program, vars map[string]any) (any, error) {
	if err := m.pay(0); err != nil {
		return nil, err
	}
	v, cost, err := p.Run(m.ctx, vars)
	return v, m.paid(where, p, cost, err)
}

// holds runs a condition; nil holds.
func (m *machine) holds(where string, p *expr.Program, vars map[string]any) (bool, error) {
	if p == nil {
		return true, nil
	}
	if err := m.pay(0); err != nil {
		return false, err
	}
	if m.env.Watch != nil {
		m.env.Watch.Asked(m.in, m.p, where, p, vars)
	}
	b, cost, err := p.RunBool(m.ctx, vars)
	return b, m.paid(where, p, cost, err)
}

func (m *machine) paid(where string, p *expr.Program, cost uint64, err error) error {
	after := m.pay(cost)
	if err == nil {
		return after
	}
	var ee *expr.EvalError
	if !errors.As(err, &ee) {
		return fmt.Errorf("%s: %w", where, err)
	}
	f := &fault{code: errExpression + ee.Code, detail: where + ": " + ee.Message, varies: varies(p)}
	switch ee.Code {
	case expr.CodeDeadline:
		return fmt.Errorf("%s: the evaluation was interrupted, which is no outcome: %w", where, err)
	case expr.CodeCost, expr.CodeResult, expr.CodeTooLarge:
		f.code, f.bound = errLimit, true
	}
	return f
}

// varies reports whether a value has a part in what an expression gives.
func varies(p *expr.Program) bool {
	return slices.ContainsFunc([]string{"vars", "instance", "now", "event", "data", "error"}, p.Reads) || len(p.Fields("error")) > 0
}

// text runs an expression that must give a text; nil gives otherwise.
func (m *machine) text(where string, p *expr.Program, vars map[string]any, otherwise string) (string, error) {
	if p == nil {
		return otherwise, nil
	}
	v, err := m.eval(where, p, vars)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", &fault{code: errData, detail: where + " must give a text", varies: varies(p)}
	}
	if hasNUL(s) {
		return "", &fault{code: errData, detail: where + " gives a text with the character NUL, which no event can hold", varies: varies(p)}
	}
	return s, nil
}

// hasNUL reports whether a text has the character NUL. An event can't hold it: one that told of such a text could not be encoded, however often that
// is tried, and the tenant would stand at its cause for ever. Events bring none, but a text of a file may spell it.
func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

// isPersonal reports whether an expression may repeat what stands in personal fields: of the event of a type, of variables, or of loop
// variables and errors that are themselves personal.
func (m *machine) isPersonal(p *expr.Program, typ string, locals []string) bool {
	if p.Reads("data") && touches(p, "data", func(f string) bool { return m.env.Schemas[typ].Personal(f) }, m.env.Schemas[typ].Personal()) {
		return true
	}
	if p.Reads("vars") && touches(p, "vars", func(f string) bool { _, there := m.in.Personal[f]; return there }, len(m.in.Personal) > 0) {
		return true
	}
	return slices.ContainsFunc(locals, p.Reads)
}

// touches reports whether one of the fields that an expression selects is personal, or any where it reads the whole.
func touches(p *expr.Program, name string, personal func(string) bool, some bool) bool {
	return p.ReadsWhole(name) && some || slices.ContainsFunc(p.Fields(name), personal)
}

// assign evaluates assignments all under the same values, and changes variables only if every one has a value.
func (m *machine) assign(where string, list []rulefile.Assignment, vars map[string]any, typ string, locals []string) error {
	set, personal, err := m.assigned(where, list, vars, typ, locals)
	if err != nil {
		return err
	}
	return m.set(set, personal)
}

func (m *machine) assigned(where string, list []rulefile.Assignment, vars map[string]any, typ string, locals []string) (set State, personal []string, err error) {
	set = make(State, len(list))
	for _, a := range list {
		if set[a.Key], err = m.eval(where+"."+a.Key, a.Expr, vars); err != nil {
			return nil, nil, err
		}
		if m.isPersonal(a.Expr, typ, locals) {
			personal = append(personal, a.Key)
		}
	}
	return set, personal, nil
}

// set changes variables; nil takes one away. Over the limits nothing changes.
func (m *machine) set(set State, personal []string) error {
	if len(set) == 0 {
		return nil
	}
	plain, own := maps.Clone(m.in.Vars), maps.Clone(m.in.Personal)
	if plain == nil {
		plain = State{}
	}
	if own == nil {
		own = State{}
	}
	for k, v := range set {
		delete(plain, k)
		delete(own, k)
		switch {
		case v == nil:
		case slices.Contains(personal, k):
			own[k] = v
		default:
			plain[k] = v
		}
	}
	if len(plain)+len(own) > MaxVars {
		return over("the instance would have more than %d variables; set one to null to take it away", MaxVars)
	}
	size, err := sizeOf(plain, own)
	if err != nil {
		return faultf(errData, "%v", err)
	}
	if size > MaxVarsBytes {
		return over("the variables of the instance would have more than %d bytes", MaxVarsBytes)
	}
	if err := m.pay(uint64(size) / bytesPerUnit); err != nil {
		return err
	}
	m.in.Vars, m.in.Personal, m.vars = plain, own, nil
	if m.changed == nil {
		m.changed = map[string]bool{}
	}
	for k := range set {
		m.changed[k] = true
	}
	return nil
}

func sizeOf(states ...State) (int, error) {
	n := 0
	for _, s := range states {
		b, err := value.Append(nil, map[string]any(s))
		if err != nil {
			return 0, fmt.Errorf("a variable can't be kept: %w", err)
		}
		n += len(b)
	}
	return n, nil
}
