package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/window"
)

// Limits of one evaluation.
const (
	FailureLimit  = 5               // failures in a row of one rule that trip it
	EventDeadline = 5 * time.Second // wall time of all rules of one event; a safety net far above what EventCost allows
	maxBody       = 512 << 10       // bytes of one derived event's body
	longSubject   = 512             // bytes of a subject, over which its length is what is wrong with it
)

// Codes of engine.rule.failed besides those of expr.EvalError.
const (
	codeUnknownType    = "unknown_type"    // no schema of the emitted type
	codeInvalidData    = "invalid_data"    // the data does not fit the schema
	codeInvalidSubject = "invalid_subject" // the subject is no text, or too long
	codeInvalidState   = "invalid_state"   // a value that state can't hold
	codeTooLarge       = "too_large"       // body or state over the limit
	codeInvalidBundle  = "invalid_bundle"  // a published bundle that can't be used
	codeRate           = "rate"            // too many events derived from derived ones
	codeOverBudget     = "over_budget"     // over a budget of the rule or the event
	codeNoCapacity     = "no_capacity"     // nobody of a pool is open and has room
	codeUnknownPool    = "unknown_pool"    // a pool that the bundle has not
	codeInvalidKey     = "invalid_key"     // the key of assign is no text, empty or too long
)

// Types of the events that the service derives itself, and reads back.
const (
	typePublished    = "rules.published"
	typeFailed       = "engine.rule.failed"
	typeReset        = "engine.rule.reset"
	typeRerun        = "engine.rule.rerun"
	typeStorm        = "engine.storm.detected"
	typeTimerRefused = "engine.timer.refused"
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
	Failures  int64  // in a row that count toward a trip
	Tripped   string // why it is off: failures or storm; empty: it is on
	TrippedAt int64  // sequence of the event that tripped it
	ResetAt   int64  // sequence of the last engine.rule.reset

	Subjects   []string // what the failures in a row happened on, from semantics 2 on: hashes of subjects; their number is Failures
	OverBudget int64    // failures over a budget or a bound since the last reset
	LastBudget string   // the budget of the last one
	ByData     int64    // failures that the values of an event explain since the last reset
	LastData   string   // the code of the last one
	ReportedAt int64    // sequence of the last reported failure, from semantics 2 on and of those over a budget
	Last       Failure  // the last failure since the last reset, whatever it counted as; nothing is decided by it
}

// Input is everything that an evaluation depends on.
type Input struct {
	Event   event.Recorded
	Data    map[string]any    // the event's data, as avro.Schema.Decode gives it
	State   State             // of (tenant, subject), before the event
	Health  map[string]Health // of the tenant's rules; a rule that is missing is well
	Version int64             // of the tenant's bundle

	Semantics   int64 // the bundle was published under; 0 is 1
	PublishedAt int64 // sequence of the bundle's rules.published

	Set     *ruleset.Set
	Schemas Schemas

	Only  string          // the only rule to run; empty: all that listen
	Rerun *event.Recorded // the engine.rule.rerun under which a missed event is evaluated; nil: the event is evaluated as it comes

	Pool    func(name, key string) (Pooled, error) // a pool for a key; nil: the bundle's rules don't assign
	Picks   []Picked                               // that were made before and are not kept yet
	Windows window.States                          // of the subject, before the event

	Picked func(rule string, p advance.Pick) // hears of each member that is picked, and of whom it was picked among; nil: nobody asks
	Watch  func(rule string, fired bool)     // hears of each rule that did not fail whether its condition held; nil: nobody asks. Nothing depends on it
}

// effective is the event at which the evaluation takes effect: the input's own, or the request to run the rule over it.
func (in *Input) effective() *event.Recorded {
	if in.Rerun != nil {
		return in.Rerun
	}
	return &in.Event
}

// Output is one derived event before it gets its envelope.
type Output struct {
	Rule    string
	Version int64
	Index   string // number of the output within rule and cause, or "failed"
	Type    string
	Subject string
	Value   []byte // framed

	made *event.Event // it with its envelope; nil: not made yet
}

// Result is what an evaluation changes.
type Result struct {
	Outputs []Output          // in the order of the rules' names
	State   State             // nil: as it was
	Health  map[string]Health // changed ones only
	Fired   int               // rules whose condition held
	Failed  int               // rules that failed
	Cost    uint64            // units spent
	Bytes   int               // derived
	Over    map[string]int    // failures over a budget, by its name; nil: none
	Missed  []string          // rules that would have run if they were not off; from semantics 4 on
	Trips   bool              // a failure says that its rule trips
	Picks   []Picked          // in the order of the rules' names
	Windows window.States     // nil: as they were
}

// TooSlowError says that an evaluation was interrupted by the clock although its cost is within the budgets. It is no outcome, because it
// depends on the machine: the tenant is set aside before the event, and retry or skip brings it back.
type TooSlowError struct {
	Rule  string
	Where string
}

func (e *TooSlowError) Error() string {
	return fmt.Sprintf("rule %s, %s: the evaluation of one event took longer than %s", e.Rule, e.Where, EventDeadline)
}

// Evaluate runs the rules that listen to an event. It is pure: the same input gives the same result, to the byte. The error is one of
// the machine, not of a rule: *TooSlowError after EventDeadline, anything else (a schema of engine.* that is missing) can be tried again.
func Evaluate(in Input) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), EventDeadline)
	defer cancel()
	return evaluate(ctx, in, 0)
}

// evaluate gives up with errLater when the event costs more than most units, 0 being no bound. That is no outcome: the event is evaluated
// from its beginning elsewhere.
func evaluate(ctx context.Context, in Input, most uint64) (Result, error) {
	res := Result{Health: map[string]Health{}}
	rules, counting := in.Set.For(in.Event.Type), in.Set.Counting(in.Event.Type)
	if len(rules) == 0 && len(counting) == 0 {
		return res, nil
	}
	if in.State == nil {
		in.State = State{}
	}
	origin := in.Event.EffectiveOrigin()
	data := in.Data
	if in.Semantics >= 2 {
		data = expr.Visible(data)
	}
	vars := map[string]any{"event": func() any { return expr.EventVars(in.Event) }, "data": data, "state": map[string]any(visible(in.State))}
	in.Set.Reference().Bind(vars)
	next := in.State
	changed := false
	rate := rateOf(in)
	spent := spending{most: most}
	var uncounted map[string]*ruleFailure // by rule: why a window of it could not count the event
	if len(counting) > 0 && in.Rerun == nil && countable(&in.Event) {
		var err error
		if res.Windows, uncounted, err = (&evaluation{ctx: ctx, in: &in, vars: vars, spent: &spent}).count(counting); err != nil {
			return Result{}, err
		}
		if res.Windows != nil {
			in.Windows = res.Windows
		}
		for _, c := range counting {
			if f := uncounted[c.Rule.Name]; f != nil && in.Health[c.Rule.Name].Tripped == "" && res.Health[c.Rule.Name].Last.Code == "" {
				if err := res.fail(in, &spent, c.Rule.Name, f); err != nil {
					return Result{}, err
				}
			}
		}
	}
	for _, r := range rules {
		before := in.Health[r.Name]
		if uncounted[r.Name] != nil && before.Tripped == "" {
			continue // it failed on the event already
		}
		if in.Only != "" && r.Name != in.Only || !r.FiresOn(origin) {
			continue
		}
		if before.Tripped != "" {
			if in.Semantics >= 4 {
				res.Missed = append(res.Missed, r.Name)
			}
			continue
		}
		one := evaluation{ctx: ctx, in: &in, rule: r, vars: vars, spent: &spent}
		if r.Assign != nil {
			one.picks = slices.Concat(in.Picks, res.Picks)
		}
		outputs, set, err := one.run()
		if err == nil {
			err = rate.take(len(outputs))
		}
		if err == nil && len(set) > 0 {
			candidate := next.with(set)
			var size int
			if size, err = candidate.check(); err == nil {
				err = spent.write(size)
			}
			if failure := failureOf(err); failure != nil && failure.code == codeInvalidState {
				failure.data = one.explainedBy(4, r.Set)
			}
			if err == nil {
				changed = changed || !candidate.equal(next)
				next = candidate
			}
		}
		switch failure := failureOf(err); {
		case err == nil:
			res.Outputs = append(res.Outputs, outputs...)
			if one.pick != nil {
				res.Picks = append(res.Picks, *one.pick)
			}
			if one.fired {
				res.Fired++
			}
			if in.Watch != nil {
				in.Watch(r.Name, one.fired)
			}
			if before.Failures > 0 {
				res.Health[r.Name] = before.succeeded()
			}
		case failure != nil:
			if err := res.fail(in, &spent, r.Name, failure); err != nil {
				return Result{}, err
			}
		default:
			return Result{}, err
		}
	}
	if rate.took > 0 && rate.counts {
		next = maps.Clone(next)
		next[rateKey] = []any{rate.minute, rate.used}
		changed = true
	}
	if changed {
		res.State = next
	}
	res.Cost, res.Bytes = spent.cost, spent.bytes
	return res, nil
}

// fail takes in that a rule failed.
func (res *Result) fail(in Input, spent *spending, rule string, failure *ruleFailure) error {
	res.Failed++
	spent.forget()
	if failure.budget != "" {
		if res.Over == nil {
			res.Over = map[string]int{}
		}
		res.Over[failure.budget]++
	}
	after, report, trips := in.Health[rule].failedOn(in, failure)
	res.Health[rule] = after
	res.Trips = res.Trips || trips
	if !report {
		return nil
	}
	spent.cost += outputCost // also past the budget: that a rule was cut must be told
	out, err := failed(in, rule, failure, trips)
	if err != nil {
		return err
	}
	res.Outputs = append(res.Outputs, out)
	return nil
}

// evaluation is one rule on one event.
type evaluation struct {
	ctx   context.Context // ends at the event's deadline
	spent *spending
	in    *Input
	rule  *ruleset.Rule
	vars  map[string]any
	fired bool
	picks []Picked // that are not kept yet
	pick  *Picked  // the rule's own; nil: it claimed nobody
}

func (e *evaluation) run() ([]Output, map[string]any, error) {
	if err := e.spent.begin(); err != nil {
		return nil, nil, err
	}
	if len(e.rule.Windows) > 0 {
		e.vars["windows"] = counts(e.rule, e.in.Windows, positionTime(e.in.effective()))
	}
	if e.rule.When != nil {
		holds, cost, err := e.rule.When.RunBool(e.ctx, e.vars)
		if err := e.paid(place{part: "when"}, e.rule.When, cost, err); err != nil {
			return nil, nil, err
		}
		if !holds {
			return nil, nil, nil
		}
	}
	e.fired = true
	if err := e.assign(); err != nil {
		return nil, nil, err
	}
	outputs := make([]Output, 0, len(e.rule.Emit))
	for i := range e.rule.Emit {
		out, err := e.emit(i, &e.rule.Emit[i])
		if err != nil {
			return nil, nil, err
		}
		outputs = append(outputs, out)
	}
	var set map[string]any
	for _, a := range e.rule.Set {
		v, cost, err := a.Expr.Run(e.ctx, e.vars)
		if err := e.paid(place{part: "set.", key: a.Key}, a.Expr, cost, err); err != nil {
			return nil, nil, err
		}
		if set == nil {
			set = map[string]any{}
		}
		set[a.Key] = v
	}
	return outputs, set, nil
}

func (e *evaluation) emit(i int, emit *ruleset.Emit) (Output, error) {
	where := place{emitted: emit.Type, index: i}
	subject := e.in.Event.Subject
	if emit.Subject != nil {
		v, cost, err := emit.Subject.Run(e.ctx, e.vars)
		if err := e.paid(place{emit.Type, i, " subject", ""}, emit.Subject, cost, err); err != nil {
			return Output{}, err
		}
		s, ok := v.(string)
		if !ok {
			failure := fail(codeInvalidSubject, "%s: the subject must be a text", where)
			failure.data = e.in.Semantics >= 3 && v == nil || e.in.Semantics >= 4 && varies(emit.Subject)
			return Output{}, failure
		}
		subject = s
	}
	data := make(map[string]any, len(emit.Data))
	for _, a := range emit.Data {
		v, cost, err := a.Expr.Run(e.ctx, e.vars)
		if err := e.paid(place{emit.Type, i, " data.", a.Key}, a.Expr, cost, err); err != nil {
			return Output{}, err
		}
		data[a.Key] = v
	}
	schema := e.in.Schemas[emit.Type]
	if schema.Avro == nil {
		return Output{}, fail(codeUnknownType, "%s: no schema has this type", where)
	}
	body, err := schema.Avro.EncodeMap(data)
	if err != nil {
		failure := fail(codeInvalidData, "%s: %v", where, err)
		failure.data = e.explainedBy(3, emit.Data)
		return Output{}, failure
	}
	if len(body) > maxBody {
		return Output{}, tooLarge(budgetRuleOutput, "%s: the data has %d bytes, more than %d", where, len(body), maxBody)
	}
	if err := e.spent.write(len(body)); err != nil {
		return Output{}, err
	}
	if err := e.spent.pay(outputCost); err != nil {
		return Output{}, err
	}
	out := Output{Rule: e.rule.Name, Version: e.in.Version, Index: strconv.Itoa(i), Type: emit.Type, Subject: subject, Value: event.Frame(schema.ID, body)}
	made := derive(e.in.Event, out)
	if out.made = &made; made.CheckAttributes() != nil { // the sequencer must be able to read it
		failure := fail(codeInvalidSubject, "%s: the subject is not one: empty, too long, or with control characters", where)
		failure.data = e.in.Semantics >= 3 && (emit.Subject == nil || varies(emit.Subject))
		if len(out.Subject) > longSubject {
			failure.budget = budgetField
		}
		return Output{}, failure
	}
	return out, nil
}
