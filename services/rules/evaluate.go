package rules

import (
	"errors"
	"fmt"
	"maps"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Limits of one evaluation.
const (
	FailureLimit = 5         // failures in a row of one rule that trip it
	maxBody      = 512 << 10 // bytes of one derived event's body
)

// Codes of engine.rule.failed beside those of expr.EvalError.
const (
	codeUnknownType    = "unknown_type"    // no schema of the emitted type
	codeInvalidData    = "invalid_data"    // the data does not fit the schema
	codeInvalidSubject = "invalid_subject" // the subject is no text, or too long
	codeInvalidState   = "invalid_state"   // a value that state can't hold
	codeTooLarge       = "too_large"       // body or state over the limit
	codeInvalidBundle  = "invalid_bundle"  // a published bundle that can't be used
	codeRate           = "rate"            // too many events derived from derived ones
)

// Types of the events that the service derives itself, and reads back.
const (
	typePublished = "rules.published"
	typeFailed    = "engine.rule.failed"
	typeReset     = "engine.rule.reset"
	typeStorm     = "engine.storm.detected"
)

// Schema is a schema with the id that its values are framed with.
type Schema struct {
	ID   int32
	Avro *avro.Schema
}

// Schemas holds the schemas of the types that a bundle emits, and of engine.*; a type that is missing, or whose Avro is nil, has none.
type Schemas map[string]Schema

// Health is how a rule does for a tenant.
type Health struct {
	Failures  int64  // in a row
	Tripped   string // why it is off: failures or storm; empty: it is on
	TrippedAt int64  // sequence of the event that tripped it
	ResetAt   int64  // sequence of the last engine.rule.reset
}

// Input is everything that an evaluation depends on.
type Input struct {
	Event   event.Recorded
	Data    map[string]any    // the event's data, as avro.Schema.Decode gives it
	State   State             // of (tenant, subject), before the event
	Health  map[string]Health // of the tenant's rules; a rule that is missing is well
	Version int64             // of the tenant's bundle
	Set     *ruleset.Set
	Schemas Schemas
}

// Output is one derived event before it gets its envelope.
type Output struct {
	Rule    string
	Version int64
	Index   string // number of the output within rule and cause, or "failed"
	Type    string
	Subject string
	Value   []byte // framed
}

// Result is what an evaluation changes.
type Result struct {
	Outputs []Output          // in the order of the rules' names
	State   State             // nil: as it was
	Health  map[string]Health // changed ones only
	Fired   int               // rules whose condition held
	Failed  int               // rules that failed
}

// Evaluate runs the rules that listen to an event. It is pure: the same input gives the same result, to the byte. The error is one of
// the machine, not of a rule (an evaluation that ran out of wall time, a schema of engine.* that is missing): try again.
func Evaluate(in Input) (Result, error) {
	res := Result{Health: map[string]Health{}}
	rules := in.Set.For(in.Event.Type)
	if len(rules) == 0 {
		return res, nil
	}
	if in.State == nil {
		in.State = State{}
	}
	vars := map[string]any{"event": expr.EventVars(in.Event), "data": in.Data, "state": map[string]any(visible(in.State))}
	next := maps.Clone(in.State)
	changed := false
	rate := rateOf(in)
	for _, r := range rules {
		before := in.Health[r.Name]
		if before.Tripped != "" || !r.FiresOn(in.Event.EffectiveOrigin()) {
			continue
		}
		one := evaluation{in: in, rule: r, vars: vars}
		outputs, set, err := one.run()
		if err == nil {
			err = rate.take(len(outputs))
		}
		if err == nil && len(set) > 0 {
			candidate := next.with(set)
			if err = candidate.check(); err == nil {
				changed = changed || !candidate.equal(next)
				next = candidate
			}
		}
		var failure *ruleFailure
		switch {
		case err == nil:
			res.Outputs = append(res.Outputs, outputs...)
			if one.fired {
				res.Fired++
			}
			if before.Failures > 0 {
				before.Failures = 0
				res.Health[r.Name] = before
			}
		case errors.As(err, &failure):
			res.Failed++
			before.Failures++
			res.Health[r.Name] = before
			out, err := failed(in, r.Name, failure, before.Failures >= FailureLimit)
			if err != nil {
				return Result{}, err
			}
			res.Outputs = append(res.Outputs, out)
		default:
			return Result{}, err
		}
	}
	if rate.took > 0 && rate.counts {
		next[rateKey] = []any{rate.minute, rate.used}
		changed = true
	}
	if changed {
		res.State = next
	}
	return res, nil
}

// ruleFailure is a failure that is an outcome: recorded, and derived again by a replay.
type ruleFailure struct{ code, detail string }

func (f *ruleFailure) Error() string { return f.code + ": " + f.detail }

func fail(code, format string, args ...any) error {
	return &ruleFailure{code, fmt.Sprintf(format, args...)}
}

// evaluation is one rule on one event.
type evaluation struct {
	in    Input
	rule  *ruleset.Rule
	vars  map[string]any
	fired bool
}

func (e *evaluation) run() ([]Output, map[string]any, error) {
	if e.rule.When != nil {
		holds, err := e.rule.When.Bool(e.vars)
		if err != nil {
			return nil, nil, outcome("when", err)
		}
		if !holds {
			return nil, nil, nil
		}
	}
	e.fired = true
	var outputs []Output
	for i, emit := range e.rule.Emit {
		out, err := e.emit(i, emit)
		if err != nil {
			return nil, nil, err
		}
		outputs = append(outputs, out)
	}
	var set map[string]any
	for _, a := range e.rule.Set {
		v, err := a.Expr.Eval(e.vars)
		if err != nil {
			return nil, nil, outcome("set."+a.Key, err)
		}
		if set == nil {
			set = map[string]any{}
		}
		set[a.Key] = v
	}
	return outputs, set, nil
}

func (e *evaluation) emit(i int, emit ruleset.Emit) (Output, error) {
	where := fmt.Sprintf("emit[%d] %s", i, emit.Type)
	subject := e.in.Event.Subject
	if emit.Subject != nil {
		v, err := emit.Subject.Eval(e.vars)
		if err != nil {
			return Output{}, outcome(where+" subject", err)
		}
		s, ok := v.(string)
		if !ok {
			return Output{}, fail(codeInvalidSubject, "%s: the subject must be a text", where)
		}
		subject = s
	}
	data := make(map[string]any, len(emit.Data))
	for _, a := range emit.Data {
		v, err := a.Expr.Eval(e.vars)
		if err != nil {
			return Output{}, outcome(where+" data."+a.Key, err)
		}
		data[a.Key] = v
	}
	schema := e.in.Schemas[emit.Type]
	if schema.Avro == nil {
		return Output{}, fail(codeUnknownType, "%s: no schema has this type", where)
	}
	body, err := schema.Avro.EncodeMap(data)
	if err != nil {
		return Output{}, fail(codeInvalidData, "%s: %v", where, err)
	}
	if len(body) > maxBody {
		return Output{}, fail(codeTooLarge, "%s: the data has %d bytes, more than %d", where, len(body), maxBody)
	}
	out := Output{Rule: e.rule.Name, Version: e.in.Version, Index: fmt.Sprint(i), Type: emit.Type, Subject: subject, Value: event.Frame(schema.ID, body)}
	if err := checkEnvelope(e.in.Event, out); err != nil {
		return Output{}, fail(codeInvalidSubject, "%s: the subject is not one: empty, too long, or with control characters", where)
	}
	return out, nil
}

// checkEnvelope makes sure that the sequencer will be able to read what is derived.
func checkEnvelope(cause event.Recorded, out Output) error {
	e := derive(cause, out)
	return e.CheckAttributes()
}

// outcome turns a failed expression into a failure of the rule, unless only the machine was too slow.
func outcome(where string, err error) error {
	var ee *expr.EvalError
	if !errors.As(err, &ee) || ee.Code == expr.CodeDeadline {
		return fmt.Errorf("%s: %w", where, err)
	}
	return fail(ee.Code, "%s: %s", where, ee.Message)
}

// failed makes engine.rule.failed.
func failed(in Input, rule string, f *ruleFailure, tripped bool) (Output, error) {
	schema := in.Schemas[typeFailed]
	if schema.Avro == nil {
		return Output{}, fmt.Errorf("no schema of %s: run neuronx schemas push", typeFailed)
	}
	body, err := schema.Avro.EncodeMap(map[string]any{
		"rule": rule, "version": in.Version, "cause_sequence": in.Event.Sequence, "cause_id": in.Event.ID,
		"code": f.code, "detail": bounded(f.detail), "tripped": tripped,
	})
	if err != nil {
		return Output{}, fmt.Errorf("encode %s: %w", typeFailed, err)
	}
	return Output{Rule: rule, Version: in.Version, Index: "failed", Type: typeFailed, Subject: "rule/" + rule, Value: event.Frame(schema.ID, body)}, nil
}

// bounded keeps a detail readable; it is cut at a byte that begins a character.
func bounded(s string) string {
	const most = 1000
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
