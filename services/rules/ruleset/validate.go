package ruleset

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// Validate checks a bundle as it must be before it is published: everything that Compile checks, and against the schemas that
// types and fields exist and that expressions fit the fields. All problems are answered at once; Problems.Err tells whether any
// is more than a warning. The error is one of the catalogue, not of the bundle.
func Validate(ctx context.Context, files []File, catalogue typecheck.Catalogue) (rulefile.Problems, error) {
	semantics := SemanticsOf(files)
	set, problems := CompileFor(semantics, files, nil)
	texts := map[string]string{}
	for _, f := range files {
		texts[f.Name] = f.Text
	}
	whole := set != nil
	var pools []string
	if set == nil {
		// What could be read is checked against the schemas all the same: all problems at once.
		set = &Set{Semantics: semantics, byType: map[string][]*Rule{}}
		if len(bounds(semantics, files)) == 0 {
			read := assemble(files, semantics, nil, nil)
			set.Rules, set.reference, pools = read.rules, read.refer, read.pools
		}
	} else {
		pools = set.pools()
	}
	schemas := typecheck.NewSchemas(catalogue)
	state := stateType(set.Rules, whole)
	for _, r := range set.Rules {
		v := &validator{
			Checker: &typecheck.Checker{File: r.File, Rule: r.Name, Text: texts[r.File], Edition: editionOf(semantics), Locations: r.locations, Fails: "the rule fails on the event then"},
			rule:    r, schemas: schemas, state: state, reference: set.reference, pools: pools,
		}
		if err := v.check(ctx); err != nil {
			return nil, err
		}
		problems = append(problems, v.Problems...)
	}
	for _, name := range slices.Sorted(maps.Keys(set.Lookups)) {
		found, err := set.Lookups[name].Check(ctx, schemas, editionOf(semantics), set.reference.Declare)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	problems = append(problems, claimWarnings(set)...)
	found, err := workflows(ctx, files, semantics, catalogue)
	if err != nil {
		return nil, err
	}
	problems = append(problems, found...)
	// A rule that was checked with the types of its events tells it by line and column.
	problems = slices.DeleteFunc(problems, func(p rulefile.Problem) bool { return p.Code == rulefile.CodeStateUnset && p.Warning })
	for i := range problems { // under older semantics a rule has fewer keys, and who misspelt one of the others must read of it
		if text := problems[i].Message; strings.HasSuffix(text, "; known are on, origins, when, emit, set") {
			problems[i].Message = text + ", key, assign, windows"
		}
	}
	problems = append(problems, budgets(set)...)
	problems = problems.Sorted()
	return slices.CompactFunc(problems, func(a, b rulefile.Problem) bool { return semantics >= flowSemantics && a == b }), nil
}

// workflows checks the workflows and the contact policy of a bundle against the schemas. Their files are read once more, because what a schema
// says of whom a command reaches is not known when a published bundle is compiled; what both find is told once.
func workflows(ctx context.Context, files []File, semantics int64, catalogue typecheck.Catalogue) (problems rulefile.Problems, err error) {
	if semantics < flowSemantics || len(bounds(semantics, files)) > 0 {
		return nil, nil
	}
	schemas := typecheck.NewSchemas(catalogue)
	var failed error
	files = slices.Clone(files)
	sortFiles(files)
	read := assemble(files, semantics, nil, func(typ string) string {
		rec, err := schemas.Find(ctx, typ)
		if err != nil && failed == nil {
			failed = err
		}
		if rec == nil {
			return ""
		}
		return rec.Reach
	})
	if failed != nil {
		return nil, failed
	}
	names := flow.Names{Declare: read.refer.Declare, Calendars: read.calendars, Pools: read.pools}
	found, err := flow.Validate(ctx, read.flows, read.policy, catalogue, editionOf(semantics), names)
	if err != nil {
		return nil, err
	}
	problems = append(read.problems, found...)
	for _, p := range read.flows {
		problems = append(problems, p.Costly()...)
	}
	if read.policy != nil {
		problems = append(problems, read.policy.Costly()...)
	}
	return problems, nil
}

type validator struct {
	*typecheck.Checker
	rule      *Rule
	schemas   *typecheck.Schemas
	state     expr.Type       // what the bundle's rules set
	reference *expr.Reference // the bundle's lookups and calendars; nil: not known, or none are possible
	pools     []string        // names of the lookups that are pools, sorted
}

func (v *validator) check(ctx context.Context) error {
	triggers, err := v.heard(ctx, v.rule.On, v.rule.line, "on")
	if err != nil {
		return err
	}
	v.pool()
	if err := v.windows(ctx); err != nil {
		return err
	}
	if err := v.types(triggers); err != nil {
		return err
	}
	v.texts()
	for _, e := range v.rule.Emit {
		if e.Type == "" {
			continue
		}
		if event.Reserved(e.Type) && !mayEmit(e.Type) && !neverEmitted(e.Type) { // of the last Compile tells
			v.Problem(e.line, rulefile.CodeReservedEmit, reservedEmit, rulefile.Cut(e.Type))
		}
		rec, err := v.schemas.Find(ctx, e.Type)
		if err != nil {
			return err
		}
		if rec == nil {
			v.Problem(e.line, rulefile.CodeUnknownType, "emit: no schema has the type %s; %s", rulefile.Cut(e.Type), v.schemas.Hint(ctx, e.Type))
			continue
		}
		if rec.Reach != "" {
			v.Problem(e.line, rulefile.CodeReaches, "emit: %s reaches a person, and a rule may not: it knows neither consent nor opening hours, and can't be cancelled; emit an event on which a workflow starts", rulefile.Cut(e.Type))
		}
		v.Subject(e.Type, e.Subject)
		v.Fields(e.Type, e.line, e.Data, e.broken, rec, nil)
		if e.Subject == nil {
			v.Filed(e.Type, e.line, rec, triggers)
		}
	}
	return nil
}

// heard finds the records of types that a rule or a window hears; what has none is told.
func (v *validator) heard(ctx context.Context, on []string, line int, where string) (map[string]*typecheck.Record, error) {
	triggers := map[string]*typecheck.Record{}
	for _, t := range on {
		if unheard(t) {
			v.Problem(line, rulefile.CodeReservedTrigger, "%s: no rule may listen to %s: it tells about workflows and timers, and what hears it could feed itself; of workflow.* there are "+
				"workflow.completed, workflow.cancelled and workflow.faulted", where, rulefile.Cut(t))
		}
		rec, err := v.schemas.Find(ctx, t)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			v.Problem(line, rulefile.CodeUnknownType, "%s: no schema has the type %s; %s", where, rulefile.Cut(t), v.schemas.Hint(ctx, t))
			continue
		}
		triggers[t] = rec
	}
	return triggers, nil
}

// types checks every expression against each type of event that the rule hears: an expression that fits one need not fit the other. What
// is found on all of them is told once.
func (v *validator) types(triggers map[string]*typecheck.Record) error {
	if len(triggers) == 0 || len(triggers) < len(v.rule.On) {
		return nil
	}
	for _, typ := range v.rule.On {
		vars := map[string]expr.Type{"data": typecheck.Data(typ, triggers), "event": typecheck.Event(typ, v.rule.On), "state": v.state}
		v.rule.seen(vars)
		v.reference.Declare(vars)
		proven, err := v.Check(v.rule.When, vars, nil, true, typ)
		if err != nil {
			return err
		}
		for _, p := range v.rule.programs() {
			if p != v.rule.When {
				if _, err := v.Check(p, vars, proven, false, typ); err != nil {
					return err
				}
			}
		}
	}
	v.Tell(v.rule.On)
	for _, p := range v.rule.programs() {
		want := ""
		switch v.rule.locations[p].Where {
		case "when":
			want = "bool"
		case "subject", "key", "assign.or":
			want = "string"
		}
		v.Gives(p, want)
	}
	return nil
}

// stateType has the keys that rules set. Values are whatever a rule gave them; before the first, a key is absent. With a rule that can't be
// read, any key may be set.
func stateType(rules []*Rule, whole bool) expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "state", Lacks: typecheck.Unset, Fields: map[string]expr.Type{}}
	for _, r := range rules {
		for _, a := range r.Set {
			t.Fields[a.Key] = expr.Type{Kind: expr.Any, Maybe: true}
		}
	}
	if !whole {
		return expr.Type{}
	}
	return t
}
