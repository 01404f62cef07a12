package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// Names are the other files of a bundle that workflows and policies name.
type Names struct {
	Calendars []string
	Pools     []string // lookups that are pools
	// Declare adds what else expressions see, such as the columns of lookups, to the types of their variables; nil: nothing.
	Declare func(vars map[string]expr.Type)
}

// maxChecks bounds how often expressions are checked, each on each type of event: a few kilobytes can name a hundred thousand pairs.
const maxChecks = 30_000

// Validate checks workflows, and the policy if there is one, as they must be before they are published: types and fields exist, expressions
// fit what they read and what they fill, calendars and pools are those of the bundle, and each event that is waited for can be told to
// belong to an instance. All problems are answered at once. The error is one of the catalogue.
func Validate(ctx context.Context, programs []*Program, policy *Policy, catalogue typecheck.Catalogue, edition expr.Edition, names Names) (rulefile.Problems, error) {
	return validate(ctx, programs, policy, catalogue, edition, names, maxChecks)
}

func validate(ctx context.Context, programs []*Program, policy *Policy, catalogue typecheck.Catalogue, edition expr.Edition, names Names, most int) (rulefile.Problems, error) {
	schemas, left := typecheck.NewSchemas(catalogue), most
	var problems rulefile.Problems
	for _, p := range programs {
		c := &checker{
			Checker: typecheck.Checker{File: p.File, Rule: p.Name, Text: p.text, Edition: edition, Locations: p.locations, Fails: "the task fails then", Left: &left},
			p:       p, schemas: schemas, names: names, ctx: ctx,
		}
		if err := c.workflow(); err != nil {
			return nil, err
		}
		problems = append(problems, c.Problems...)
		if left < 0 {
			return append(problems, tooMany(p.File, p.Name, p.line, most)).Sorted(), nil
		}
	}
	if policy != nil {
		c := &checker{
			Checker: typecheck.Checker{File: policy.File, Rule: policy.Name, Text: policy.text, Edition: edition, Locations: policy.locations, Fails: "the event grants nothing then", Left: &left},
			schemas: schemas, names: names, ctx: ctx,
		}
		if err := c.policy(policy); err != nil {
			return nil, err
		}
		problems = append(problems, c.Problems...)
		if left < 0 {
			problems = append(problems, tooMany(policy.File, policy.Name, policy.line, most))
		}
	}
	return problems.Sorted(), nil
}

func tooMany(file, name string, line, most int) rulefile.Problem {
	return rulefile.Problem{File: file, Line: line, Rule: name, Code: rulefile.CodeTooLarge, Message: fmt.Sprintf(
		"up to this file the bundle has more than %d pairs of an expression and a type of event that it runs on, too many to check; name fewer types, or set fewer variables, where events are heard", most)}
}

// checker checks one file.
type checker struct {
	typecheck.Checker
	ctx     context.Context // of one Validate
	p       *Program
	schemas *typecheck.Schemas
	names   Names
	vars    expr.Type            // what the workflow sets
	locals  map[string]expr.Type // loop variables and caught errors
}

// records finds the records of types that are heard; whole is false when one has none, which is told.
func (c *checker) records(on []string, line int, where string) (found map[string]*typecheck.Record, whole bool, err error) {
	found, whole = map[string]*typecheck.Record{}, len(on) > 0
	for _, typ := range on {
		rec, err := c.schemas.Find(c.ctx, typ)
		if err != nil {
			return nil, false, err
		}
		if rec == nil {
			c.Problem(line, rulefile.CodeUnknownType, "%s: no schema has the type %s; %s", where, rulefile.Cut(typ), c.schemas.Hint(c.ctx, typ))
			whole = false
			continue
		}
		found[typ] = rec
	}
	return found, whole, nil
}

// sees are the types of variables.
func (c *checker) sees(names ...string) map[string]expr.Type {
	out := map[string]expr.Type{}
	for _, name := range names {
		switch name {
		case "vars":
			out[name] = c.vars
		case "instance":
			out[name] = instanceType()
		case "now":
			out[name] = expr.Type{Kind: expr.Time}
		}
	}
	if c.names.Declare != nil {
		c.names.Declare(out)
	}
	return out
}

func instanceType() expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "instance", Fields: map[string]expr.Type{}}
	for _, f := range InstanceFields() {
		t.Fields[f] = expr.Type{Kind: expr.Text}
	}
	t.Fields["started"] = expr.Type{Kind: expr.Time}
	t.Fields["version"], t.Fields["number"] = expr.Type{Kind: expr.Int}, expr.Type{Kind: expr.Int}
	return t
}

func errorType() expr.Type {
	t := expr.Type{Kind: expr.Object, Name: "the error", Fields: map[string]expr.Type{}}
	for _, f := range ErrorFields() {
		t.Fields[f] = expr.Type{Kind: expr.Text}
	}
	t.Fields["detail"] = expr.Type{Kind: expr.Text, Nullable: true}
	return t
}

// wanted is an expression, and the type that it must give; empty: any.
type wanted struct {
	p    *expr.Program
	want string
	null bool // it may give null: then nothing is said, or nothing matches
}

// heard checks expressions on each type of event that they run on. The condition comes first: what it proves holds in the others. A null is
// told where it would fail.
func (c *checker) heard(on []string, records map[string]*typecheck.Record, when *expr.Program, others []wanted, variables ...string) error {
	for _, typ := range on {
		vars := c.sees(variables...)
		vars["data"], vars["event"] = typecheck.Data(typ, records), typecheck.Event(typ, on)
		proven, err := c.Check(when, vars, nil, true, typ)
		if err != nil {
			return err
		}
		for _, o := range others {
			if _, err := c.Check(o.p, vars, proven, false, typ); err != nil {
				return err
			}
		}
	}
	c.Tell(on)
	for _, o := range append([]wanted{{p: when, want: "bool"}}, others...) {
		c.gives(o)
	}
	return nil
}

func (c *checker) gives(o wanted) {
	if o.p == nil || o.want == "" {
		return
	}
	c.Gives(o.p, o.want)
	if o.null || o.want == "bool" { // of a condition the check itself tells a null
		return
	}
	for _, path := range c.MayBe(o.p) {
		c.Warn(c.Locations[o.p].Line, rulefile.CodeNullable, "%s must not be null and %s may be; test it first, or give another value, as in %s == null ? … : %s", c.Locations[o.p].Where, path, path, path)
	}
}

// workflow checks a whole program.
func (c *checker) workflow() error {
	s := &c.p.Start
	triggers, whole, err := c.records(s.On, c.p.line, "start.on")
	if err != nil {
		return err
	}
	c.locals = map[string]expr.Type{}
	if whole {
		others := []wanted{{p: s.Key, want: "string"}, {s.Zone, "string", true}, {p: s.Contact, want: "string"}}
		for _, a := range s.Set {
			others = append(others, wanted{p: a.Expr})
		}
		if err := c.heard(s.On, triggers, s.When, others); err != nil {
			return err
		}
		c.contact(triggers)
		c.identifies(triggers, s.Key, "start.key", "stands in every workflow.* event of the instance")
		c.identifies(triggers, s.Contact, "start.contact", "stands in the subject of every command that reaches the person")
	}
	if err := c.variables(); err != nil {
		return err
	}
	if t := c.p.Timeout; t != nil {
		c.calendar(t.In, c.p.line, "timeout.in")
	}
	for _, u := range c.p.Until {
		if err := c.match(u.Match, nil, "until."+u.Name); err != nil {
			return err
		}
		if err := c.tasks(u.Do, nil); err != nil {
			return err
		}
	}
	if err := c.tasks(c.p.Do, nil); err != nil {
		return err
	}
	return c.tasks(c.p.Finally, nil)
}

// contact checks that a workflow that reaches people knows whom.
func (c *checker) contact(triggers map[string]*typecheck.Record) {
	if c.p.Start.Contact != nil {
		return
	}
	var reaching *Emit
	walk(c.p, func(t *Task) {
		if e := emitOf(t); e != nil && reaching == nil && (e.Channel != nil || c.reaches(e.Type)) {
			reaching = e
		}
	})
	if reaching == nil {
		return
	}
	for _, typ := range slices.Sorted(maps.Keys(triggers)) {
		if triggers[typ].Field("lead_id") == nil {
			c.Problem(reaching.line, rulefile.CodeMissingKey, "%s reaches a person, and %s, which starts the workflow, has no lead_id; say whom by start.contact", reaching.Type, typ)
		}
	}
}

// identifies refuses personal values where an id belongs: what stands in the subject or the envelope of events is shown to everybody who lists
// them, and no erasure takes it out.
func (c *checker) identifies(triggers map[string]*typecheck.Record, p *expr.Program, where, because string) {
	for _, typ := range slices.Sorted(maps.Keys(triggers)) {
		if field := triggers[typ].PersonalRead(p); field != "" {
			c.Problem(c.Locations[p].Line, rulefile.CodePersonal, "%s reads %s, which is personal in %s, and %s; use an id%s, and keep the value by start.set", where, field, typ, because, like(triggers[typ]))
			return
		}
	}
}

func (c *checker) reaches(typ string) bool {
	rec, err := c.schemas.Find(c.ctx, typ)
	return err == nil && rec != nil && rec.Reach != ""
}

// match checks an event that is waited for: set are variables that it sets.
func (c *checker) match(m Match, set []rulefile.Assignment, where string) error {
	records, whole, err := c.records(m.On, m.line, where+".on")
	if err != nil || !whole {
		return err
	}
	others := []wanted{{m.From, "string", true}}
	for _, a := range set {
		others = append(others, wanted{p: a.Expr})
	}
	variables := kept
	if set != nil {
		variables = append(slices.Clone(kept), "now")
	}
	if err := c.heard(m.On, records, m.When, others, variables...); err != nil {
		return err
	}
	if m.Expect != nil {
		if _, err := c.Check(m.Expect, c.sees(kept...), nil, false, ""); err != nil {
			return err
		}
		c.Tell([]string{""})
		c.gives(wanted{p: m.Expect, want: "string"})
	}
	if !m.correlated && c.p.Start.Key != nil {
		return c.correlates(m, records, where)
	}
	return nil
}

// correlates checks that the key of the workflow can be told from each event that is waited for.
func (c *checker) correlates(m Match, records map[string]*typecheck.Record, where string) error {
	key := c.p.Start.Key
	for _, typ := range m.On {
		if *c.Left--; *c.Left < 0 {
			return nil // Validate tells it
		}
		vars := c.sees()
		vars["event"], vars["data"] = typecheck.Event(typ, m.On), records[typ].Object(typ)
		typed, err := expr.CheckTypes(c.Edition, key.Source(), vars, nil, false)
		why := ""
		switch wrong := (*expr.CompileError)(nil); {
		case asCompileError(err, &wrong):
			why = wrong.Problems[0].Message
		case err != nil:
			return fmt.Errorf("check the key on %s: %w", typ, err)
		case !slices.Contains([]string{"string", "wrapper(string)", "dyn"}, typed.Result):
			why = "it gives " + typecheck.Describe(typed.Result) + ", not a text"
		}
		if why != "" {
			c.Problem(m.line, rulefile.CodeCorrelation, "%s: start.key is %s, which does not tell an instance from %s (%s); add correlate: {from: …} with the expression that gives the key of that event%s",
				where, rulefile.Cut(key.Source()), typ, why, like(records[typ]))
		}
	}
	return nil
}

// like suggests where a key may be found.
func like(rec *typecheck.Record) string {
	for _, name := range []string{"lead_id", "opportunity_id", "appointment_id", "contact_id"} {
		if rec.Field(name) != nil {
			return ", such as data." + name
		}
	}
	return ""
}

// calendar checks the name of a calendar; empty names none.
func (c *checker) calendar(name string, line int, where string) {
	c.named(name, c.names.Calendars, "calendar", line, where)
}

func (c *checker) named(name string, all []string, kind string, line int, where string) {
	if name == "" || slices.Contains(all, name) {
		return
	}
	hint := "it has none"
	if near := expr.Nearest(name, all); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(all) > 0 {
		hint = "it has " + strings.Join(all, ", ")
	}
	c.Problem(line, rulefile.CodeUnknownName, "%s: the bundle has no %s %s; %s", where, kind, rulefile.Cut(name), hint)
}

// policy checks a contact policy.
func (c *checker) policy(p *Policy) error {
	for _, channel := range slices.Sorted(maps.Keys(p.Quiet)) {
		c.calendar(p.Quiet[channel], p.line, "quiet_hours."+channel)
	}
	for _, g := range p.Grants {
		records, whole, err := c.records(g.On, g.line, "grants.on")
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		if err := c.heard(g.On, records, g.When, []wanted{{p: g.Lead, want: "string"}}); err != nil {
			return err
		}
		for _, typ := range g.On {
			if g.Lead == nil && records[typ].Field("lead_id") == nil {
				c.Problem(g.line, rulefile.CodeMissingKey, "grants: %s has no lead_id; say whose consent it is by lead", typ)
			}
		}
	}
	return nil
}
