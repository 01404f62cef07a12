package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func (c *cli) rulesPublish() *cobra.Command {
	var tenantID, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "publish <file or folder>…", Short: "Replace a tenant's whole set of rules", Args: someArgs("file or folder"), Annotations: needFlags("tenant"),
		Long: `Replace a tenant's whole set of rules by the given files. It is an event in the
tenant's stream: the switch happens at one sequence, and replay uses what was in force.

It lists which rules are added, changed and REMOVED: a rule whose file is not given is taken
away. A rule that tripped stays off until neuronx rules reset, whatever is published.`,
		Example: "  neuronx rules publish rules/ --tenant acme\n  neuronx rules publish rules/ --tenant acme --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			files, problems, err := ruleadmin.Check(ctx, c.env, args, false)
			for _, p := range problems { // stdout is for what was published
				c.note("%s", p)
			}
			if err != nil {
				return err
			}
			p, current, same, err := ruleadmin.Plan(ctx, c.env, tenantID, files)
			if err != nil {
				return err
			}
			if same {
				c.note("version %d is in force and is the same", current.Version)
				c.sayTripped(p)
				return nil
			}
			if !execute {
				instead := "; the tenant has no rules yet"
				if current.Version > 0 {
					instead = fmt.Sprintf(" in place of version %d", current.Version)
				}
				c.note("would publish %s as version %d (hash %.12s)%s", operate.Plural(len(files), "file"), p.Version, p.Hash, instead)
				if semantics := ruleset.SemanticsOf(files); current.Version > 0 && current.Semantics != semantics {
					c.note("semantics %d in place of %d: see docs/operations.md, \"Semantics of rules\"", semantics, current.Semantics)
				}
				if err := c.showPublication(p); err != nil {
					return err
				}
				c.dryRun()
				return nil
			}
			if err := ruleadmin.Publish(ctx, c.env, actor(by), &p, files); err != nil {
				return err
			}
			c.note("version %d is in force from sequence %s on", p.Version, p.Sequence)
			return c.showPublication(p)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// showPublication lists what changes, and which rules stay off.
func (c *cli) showPublication(p ruleadmin.Publication) error {
	if c.format == formatJSON {
		return c.json(p)
	}
	changed := slices.DeleteFunc(slices.Clone(p.Changes), func(ch ruleset.Change) bool { return ch.Change == ruleset.Kept })
	if err := show(c, changed, []string{"CHANGE", "RULE", "FILE"}, func(ch ruleset.Change) []any { return []any{ch.Change, ch.Rule, ch.File} }); err != nil {
		return err
	}
	if kept := len(p.Changes) - len(changed); kept > 0 {
		c.note("%s unchanged", operate.Plural(kept, "rule"))
	}
	c.sayTripped(p)
	return nil
}

func (c *cli) sayTripped(p ruleadmin.Publication) {
	for _, t := range p.Tripped {
		c.note("rule %s is off (%s) and stays off: neuronx rules reset %s --tenant %s", t.Rule, t.Reason, t.Rule, p.Tenant)
	}
}

// rerunFlags are the flags of `rules rerun`.
type rerunFlags struct {
	tenant, since, rule string
	change
}

func (c *cli) rulesRerun() *cobra.Command {
	var f rerunFlags
	cmd := &cobra.Command{
		Use: "rerun", Short: "Run rules over the events that they missed while they were off, once each", Args: noArgs, Annotations: needFlags("tenant", "since"),
		Long: `Run rules over the events that they missed while they were off, once each. The dry run
counts them from the record, and says how old they are and what the rules would derive.

A rule runs in the text that is in force now, with the state that its subjects have now.
What it derives has the missed event as its cause, and so the event's time and origin: of
an import nobody is contacted, of a live event they are, however old it is. What was run
over is missed no longer: the same command again does nothing. A rule that is off is left
out; neuronx rules reset turns it on.`,
		Example: "  neuronx rules rerun --tenant acme --since 2026-01-31T22:00:00Z\n  neuronx rules rerun --tenant acme --since 4711 --rule qualify --execute",
		RunE:    c.within(func(ctx context.Context, cmd *cobra.Command, _ []string) error { return c.rerun(ctx, cmd, f) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.since, "since", "", "what was recorded at this time or later, RFC 3339, or a sequence: from there on")
	fs.StringVar(&f.rule, "rule", "", "only this rule")
	f.bind(fs)
	return cmd
}

func (c *cli) rerun(ctx context.Context, cmd *cobra.Command, f rerunFlags) error {
	r, err := ruleadmin.PlanRerun(ctx, c.env, f.tenant, f.since, f.rule)
	if err != nil {
		return err
	}
	if f.execute {
		return c.executeRerun(cmd.Context(), r, actor(f.by), f.reason)
	}
	r.Foresee(ctx, c.env)
	if err := show(c, r.Rules, []string{"RULE", "MISSED", "STATE", "OLDEST", "WOULD DERIVE", "NEWEST", "FROM", "THROUGH"}, func(r ruleadmin.Missed) []any {
		return []any{r.Rule, r.Missed, r.State, stamp(r.Oldest), wouldDerive(r), stamp(r.Newest), r.First, r.Last}
	}); err != nil {
		return err
	}
	if len(r.Rules) > 0 {
		c.note("rules run in the text of version %d, which is in force; what they derive has the time of its cause", r.Version)
	}
	for _, m := range r.Rules {
		c.sayRerun(m)
	}
	c.dryRun()
	return nil
}

// wouldDerive is what is foreseen, as a cell.
func wouldDerive(r ruleadmin.Missed) string {
	if r.Foreseen == nil {
		return "-"
	}
	if len(r.Foreseen.Events) == 0 {
		return "nothing"
	}
	parts := make([]string, len(r.Foreseen.Events))
	for i, d := range r.Foreseen.Events {
		parts[i] = fmt.Sprintf("%d %s", d.Events, d.Type)
		if d.Origin != event.OriginLive {
			parts[i] += " (" + string(d.Origin) + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// sayRerun says what a table has no room for.
func (c *cli) sayRerun(r ruleadmin.Missed) {
	switch {
	case r.State == rules.RerunOff:
		c.note("rule %s is off and would be left out: neuronx rules reset %s --tenant %s", r.Rule, r.Rule, r.Tenant)
	case r.State == rules.RerunNotInForce:
		c.note("rule %s is not in force and would be left out", r.Rule)
	case r.Foreseen == nil:
	case r.Foreseen.Trips:
		c.note("rule %s would trip again after %s; mend it first", r.Rule, operate.Plural(r.Foreseen.Ran, "event"))
	case int64(r.Foreseen.Ran) < r.Missed:
		c.note("of rule %s, %s of %d were evaluated for this", r.Rule, operate.Plural(r.Foreseen.Ran, "event"), r.Missed)
	}
	if r.Foreseen != nil && r.Foreseen.Failed > 0 {
		c.note("rule %s would fail on %s", r.Rule, operate.Plural(r.Foreseen.Failed, "event"))
	}
	if r.Reaches > 0 {
		c.note("PEOPLE: %s of rule %s would go to the CRM, as the tenant's mode has it, about events since %s (%s ago); what other rules answer comes on top",
			operate.Plural(r.Reaches, "command"), r.Rule, stamp(r.Oldest), time.Since(r.Oldest).Round(time.Second))
	}
}

// executeRerun runs the rules, and shows how far it came also when that is not the end.
func (c *cli) executeRerun(ctx context.Context, r *ruleadmin.Rerun, who operate.Principal, reason string) error {
	undone := r.Execute(ctx, c.env, who, reason)
	if err := show(c, r.Rules, []string{"RULE", "MISSED", "RAN", "FIRED", "DERIVED", "FAILED", "STATE", "REQUESTS"}, func(r ruleadmin.Missed) []any {
		return []any{r.Rule, r.Missed, r.Ran, r.Fired, r.Derived, r.Failed, r.State, dash(join(r.Requests))}
	}); err != nil {
		return err
	}
	if undone != nil {
		return undone
	}
	return r.Remaining(ctx, c.env)
}
