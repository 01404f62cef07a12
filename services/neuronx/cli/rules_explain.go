package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/explain"
)

func (c *cli) rulesExplain() *cobra.Command {
	var q ruleadmin.Question
	cmd := &cobra.Command{
		Use: "explain", Short: "Say why rules did what they did about an event, or about a lead", Args: noArgs, Annotations: needFlags("tenant"),
		Long: `Say why rules did what they did about an event, or about the newest events of a subject: which
rules fired and which did not, by which values of their conditions; which were off, and which
did not hear it; what they derived, and what came of that down to the CRM's answer.

What was derived, its outcomes and its attempts are read from the record. The values of
conditions are worked out again, from all events about the subject, with the rules in force
at each. What comes out otherwise than it is recorded is an alarm: it is said first, and the
exit code is 4. Values of fields marked as personal are shown as • without --personal.`,
		Example: "  neuronx rules explain --tenant acme --event 0199c5f2-…\n  neuronx rules explain --tenant acme --event 8114 -o json\n  neuronx rules explain --tenant acme --subject lead/42 -n 5",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if (q.Event == "") == (q.Subject == "") {
				return operate.Usage("give one of --event and --subject").Hint("%s --tenant %s --event <id or sequence>", cmd.CommandPath(), q.Tenant)
			}
			if q.Limit < 1 || q.Limit > ruleadmin.MaxExplained {
				return operate.Usage("--limit must be 1 to %d", ruleadmin.MaxExplained)
			}
			found, err := ruleadmin.Explain(ctx, c.env, q)
			if err != nil {
				return err
			}
			return c.showExplained(ctx, q, found)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&q.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&q.Event, "event", "", "this event: its id or sequence")
	fs.StringVar(&q.Subject, "subject", "", "the newest events about this, such as lead/42")
	fs.IntVarP(&q.Limit, "limit", "n", 10, "of a subject: at most so many events, the newest")
	fs.BoolVar(&q.Personal, "personal", false, "show the values of personal fields")
	return cmd
}

// showExplained prints the alarms first, and ends with them.
func (c *cli) showExplained(ctx context.Context, q ruleadmin.Question, x ruleadmin.Explained) error {
	alarms := x.Alarms()
	if c.format == formatJSON {
		if err := c.json(x); err != nil {
			return err
		}
	} else {
		for _, a := range alarms {
			printf(c.out, "ALARM  %s\n", a)
		}
		for i := range x.Events {
			c.explainEvent(&x.Events[i])
		}
	}
	if x.Earlier {
		c.note("these are the newest %d events about %s; --limit shows earlier ones", len(x.Events), q.Subject)
	}
	if err := c.env.NoteBehind(ctx, q.Tenant); err != nil {
		return err
	}
	return alarmed(alarms)
}

// alarmed is the error of what comes out otherwise than it is recorded; nil: nothing does.
func alarmed(alarms []string) error {
	if len(alarms) == 0 {
		return nil
	}
	what := "1 output comes"
	if len(alarms) > 1 {
		what = fmt.Sprintf("%d outputs come", len(alarms))
	}
	return operate.Unsafe("%s out otherwise than recorded", what).Because("%s", alarms[0]).
		Hint("compare the build of the rules service with this one (`neuronx version`); docs/rules.md says more under \"Why did it do that?\"")
}

// explainEvent prints one event: a line for it, and lines for each rule and workflow.
func (c *cli) explainEvent(e *explain.Event) {
	bundle := "no rules"
	if e.Version > 0 {
		bundle = fmt.Sprintf("bundle %d", e.Version)
	}
	origin := ""
	if e.Origin != event.OriginLive {
		origin = "  " + string(e.Origin)
	}
	printf(c.out, "%s  %s  sequence %s  %s  %s%s\n", e.Type, dash(e.Subject), e.Sequence, stamp(e.Recorded), bundle, origin)
	if e.Pending != "" {
		printf(c.out, "  %s\n", e.Pending)
	}
	width := 0
	for _, r := range e.Rules {
		width = max(width, len(r.Rule))
	}
	for _, w := range e.Workflows {
		width = max(width, len(w.Workflow))
	}
	line := explainLines{c: c, width: min(width, 40)}
	for _, r := range e.Rules {
		line.begin(r.Rule, r.Outcome, r.Why)
		line.condition(r.When)
		for _, p := range r.Picks {
			line.line("pick", p.Pool+" → "+dash(p.Member)+keptText(p))
			for _, m := range p.Members {
				line.line("", memberText(m))
			}
		}
		line.values("set", r.Set)
		line.outputs(r.Outputs)
	}
	for _, w := range e.Workflows {
		line.begin(w.Workflow, w.Outcome, w.Why)
		line.condition(w.When)
		line.step(w.Step, w.Instance)
		line.outputs(w.Outputs)
	}
	line.end()
	if len(e.NotHeard) > 0 {
		printf(c.out, "  %s\n", "not concerned: "+strings.Join(e.NotHeard, ", "))
	}
	for _, n := range e.Notes {
		printf(c.out, "  %s\n", n)
	}
}

// explainLines prints what belongs to a rule or a workflow: its name and outcome once, then lines below them.
type explainLines struct {
	c             *cli
	width         int
	name, outcome string
}

// begin begins a rule or a workflow. Its name stands before the first of its lines.
func (l *explainLines) begin(name, outcome, why string) {
	l.end()
	l.name, l.outcome = name, outcome
	if why != "" {
		l.line("", why)
	}
}

// end prints a name that has no lines.
func (l *explainLines) end() {
	if l.name != "" {
		l.line("", "")
	}
}

func (l *explainLines) line(label, text string) {
	printf(l.c.out, "%s\n", strings.TrimRight(fmt.Sprintf("  %-*s  %-9s  %-4s  %s", l.width, l.name, l.outcome, label, text), " "))
	l.name, l.outcome = "", ""
}

func (l *explainLines) condition(w *explain.Condition) {
	if w == nil {
		return
	}
	l.line("when", w.Source)
	var parts []string
	for _, p := range w.Parts {
		if len(w.Parts) > 1 {
			parts = append(parts, p.Source+" is "+p.Result)
		} else if p.Result != "true" && p.Result != "false" {
			parts = append(parts, p.Result)
		}
	}
	for _, p := range parts {
		l.line("", p)
	}
	l.values("", w.Values)
}

func (l *explainLines) values(label string, values []explain.Value) {
	texts := operate.Each(values, func(v explain.Value) string {
		if v.Value == "absent" {
			return v.Name + " is absent"
		}
		return v.Name + " = " + v.Value
	})
	if len(texts) > 0 {
		l.line(label, strings.Join(texts, " · "))
	}
}

func (l *explainLines) outputs(outputs []explain.Output) {
	for _, o := range outputs {
		text := o.Type
		if o.Type == "" {
			text = o.ID
		}
		if o.Sequence != "" {
			text += " " + o.Sequence
		}
		if o.State != explain.InLog {
			text += " " + o.State
		}
		if o.Code != "" {
			text += " (" + o.Code + ")"
		}
		if f := o.Effect; f != nil {
			text += " → " + f.Status + " " + stamp(f.Updated) + ", " + operate.Plural(f.Attempts, "attempt")
			if f.Code != "" {
				text += " (" + f.Code + ")"
			}
		}
		for _, end := range o.Outcomes {
			text += " → " + end.Type + " " + end.Sequence
		}
		l.line("emit", text)
	}
}

func (l *explainLines) step(s *explain.Step, instance string) {
	if s == nil {
		return
	}
	l.line("", "instance "+instance)
	for _, d := range s.Decisions {
		l.line("", fmt.Sprintf("%s: %s %s → %s", d.Task, d.Kind, d.Name, d.Value))
	}
	for _, x := range s.Incidents {
		l.line("", fmt.Sprintf("%s failed: %s: %s", x.Task, x.Code, x.Detail))
	}
	if len(s.Done) > 0 {
		l.line("done", strings.Join(s.Done, ", "))
	}
	if s.Outcome != "" {
		l.line("end", s.Outcome)
	} else if len(s.At) > 0 {
		l.line("at", strings.Join(s.At, ", ")+dueText(s.Due))
	}
}

func dueText(due *time.Time) string {
	if due == nil {
		return ""
	}
	return ", due " + stamp(*due)
}
