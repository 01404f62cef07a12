package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/explain"
)

func (c *cli) newWorkflowsExplain() *cobra.Command {
	var q ruleadmin.InstanceQuestion
	cmd := &cobra.Command{
		Use: "explain [instance]", Short: "Say what instances of workflows did, step by step, and why", Annotations: needFlags("tenant"),
		Args: func(cmd *cobra.Command, got []string) error {
			if len(got) > 1 {
				return operate.Usage("%s explains one instance at a time, got %q", cmd.CommandPath(), got[1]).Hint("--subject explains all of a lead")
			}
			return nil
		},
		Long: `Say what an instance of a workflow did and why, step by step: which event moved it, what its
conditions came to, whom a pool chose among, what it derived and what came of that down to the
CRM's answer; then where it stands, and what ends it. --subject explains the newest instances that
a subject started, or that reach the lead.

What was done is read from the log. The values of conditions and the members of pools are worked
out again from all events of the tenant before. What comes out otherwise than it is recorded is
an alarm: it is said first, and the exit code is 4. Values of fields marked as personal are
shown as • without --personal.`,
		Example: "  neuronx workflows explain --tenant acme --subject lead/42\n  neuronx workflows explain 0199c5f2-… --tenant acme -o json",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.Instance = args[0]
			}
			if (q.Instance == "") == (q.Subject == "") {
				return operate.Usage("name an instance, or give --subject").Hint("%s --tenant %s --subject lead/42", cmd.CommandPath(), q.Tenant)
			}
			found, err := ruleadmin.ExplainInstances(ctx, c.env, q)
			if err != nil {
				return err
			}
			return c.showInstances(ctx, q, found)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&q.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&q.Subject, "subject", "", "the newest instances about this, such as lead/42")
	fs.BoolVar(&q.Personal, "personal", false, "show the values of personal fields")
	return cmd
}

// showInstances prints the alarms first, and ends with them.
func (c *cli) showInstances(ctx context.Context, q ruleadmin.InstanceQuestion, found []*explain.Instance) error {
	var alarms []string
	for _, in := range found {
		for _, a := range in.Alarms {
			alarms = append(alarms, "instance "+in.ID+": "+a)
		}
	}
	if c.format == formatJSON {
		if err := c.json(found); err != nil {
			return err
		}
	} else {
		for _, a := range alarms {
			printf(c.out, "ALARM  %s\n", a)
		}
		for _, in := range found {
			c.explainInstance(in)
		}
		if len(found) == 0 {
			c.note("no instance is kept about %s; those that ended are kept for 30 days", q.Subject)
		}
	}
	if err := c.env.NoteBehind(ctx, q.Tenant); err != nil {
		return err
	}
	return alarmed(alarms)
}

func (c *cli) explainInstance(in *explain.Instance) {
	head := []string{in.Workflow + " at bundle " + dash(in.Bundle), dash(in.Status), "key " + in.Key}
	if in.Outcome != "" {
		head = append(head, "outcome "+in.Outcome)
	}
	if in.Number > 0 {
		head = append(head, fmt.Sprintf("start %d of the key", in.Number))
	}
	printf(c.out, "%s  %s\n", strings.Join(head, "  "), in.ID)
	for _, s := range in.Steps {
		late := ""
		if s.Late > 0 {
			late = fmt.Sprintf(", %s late", s.Late)
		}
		l := explainLines{c: c, width: 8}
		l.begin(s.Cause, dash(s.CauseType), "")
		for _, q := range s.Conditions {
			text := q.Where + ": " + q.Source
			if q.Holds != nil {
				text += fmt.Sprintf(" is %t", *q.Holds)
			}
			l.line("if", text+late)
			l.values("", q.Values)
			late = ""
		}
		for _, p := range s.Picks {
			l.line("pick", p.Task+": "+p.Pool+" → "+dash(p.Member)+keptText(p))
			for _, m := range p.Members {
				l.line("", memberText(m))
			}
		}
		for _, d := range s.Decisions {
			l.line("", fmt.Sprintf("%s: %s %s → %s", d.Task, d.Kind, d.Name, d.Value))
		}
		l.outputs(s.Outputs)
		for _, x := range s.Incidents {
			l.line("fail", fmt.Sprintf("%s: %s: %s", x.Task, x.Code, x.Detail))
		}
		if len(s.Done) > 0 {
			l.line("done", strings.Join(s.Done, ", "))
		}
		if s.Outcome != "" {
			l.line("end", s.Outcome+late)
		} else {
			l.line("at", strings.Join(s.At, ", ")+dueText(s.Due)+late)
		}
	}
	for _, r := range in.Rests {
		text := "  stands at " + r.Task + " (" + r.Why + ")" + dueText(r.Due)
		if r.Code != "" {
			text += ": " + r.Code
		}
		printf(c.out, "%s\n", text)
	}
	if len(in.EndsBy) > 0 || in.Deadline != nil {
		text := "  ends by: " + dash(strings.Join(in.EndsBy, ", "))
		if in.Deadline != nil {
			text += "; by itself " + stamp(*in.Deadline)
		}
		printf(c.out, "%s\n", text)
	}
	if len(in.Vars) > 0 {
		printf(c.out, "  vars: %s\n", strings.Join(operate.Each(in.Vars, func(v explain.Value) string { return v.Name + " = " + v.Value }), " · "))
	}
	for _, n := range in.Notes {
		printf(c.out, "  %s\n", n)
	}
}

func keptText(p explain.Picked) string {
	if p.Kept {
		return " (who had it)"
	}
	return ""
}

func memberText(m explain.Member) string {
	text := m.Name + ": "
	if m.Eligible {
		text += "eligible"
	} else {
		text += m.Why
	}
	if m.Opens != nil {
		text += " until " + stamp(*m.Opens)
	}
	text += fmt.Sprintf(", weight %d, turn %d, has %d", m.Weight, m.Turn, m.Claims)
	if m.Capacity > 0 {
		text += fmt.Sprintf(" of %d", m.Capacity)
	}
	return text
}
