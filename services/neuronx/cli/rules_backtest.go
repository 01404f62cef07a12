package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/ruleadmin"
	"github.com/neuronx/engine/services/rules/backtest"
)

func (c *cli) rulesBacktest() *cobra.Command {
	var ask ruleadmin.BacktestAsk
	cmd := &cobra.Command{
		Use: "backtest <file or folder>…", Short: "Say what other rules would have done, from the record; nothing is sent", Args: someArgs("file or folder"),
		Annotations: map[string]string{neededFlags: "tenant from", ownFormat: formatHTML},
		Long: `Say what other rules would have done. The files and the rules in force each run in
memory over the facts that the archive has of a time, from the same state. What they
decide differently is shown: by rule and type, with examples. Nothing is sent, and
nothing but the archive and the registry is asked.

Only what came from outside is fed: what the engine derived from it then, and what the
CRM answered, is left out, and each of the two makes its own. Commands succeed after the
tenant's own median time, or end as --outcomes says.

-o json writes all of it, -o html one page without links. Personal values are hidden
unless --personal. It reads for as long as it takes, whatever --timeout is.`,
		Example: "  neuronx rules backtest rules/ --tenant acme --from -30d\n" +
			"  neuronx rules backtest rules/ --tenant acme --from -12w --to -4w --against v7 --outcomes fail=2%\n" +
			"  neuronx rules backtest rules/ --tenant acme --from -7d --warm P90D -o html > report.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := c.backtest(cmd, args, ask)
			if err != nil {
				return err
			}
			switch c.format {
			case formatJSON:
				return c.json(report)
			case formatHTML:
				page, err := report.HTML()
				if err != nil {
					return operate.Fail("write the page", err)
				}
				printLines(c.out, string(page))
				return c.written()
			}
			return c.showBacktest(report)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&ask.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&ask.From, "from", "", "facts admitted then or later: RFC 3339, or an age such as -30d (m, h, d, w)")
	fs.StringVar(&ask.To, "to", "", "facts admitted before then (default: where the archive ends)")
	fs.StringVar(&ask.Against, "against", "", "compare with a version that was published, such as v7 (default: the one in force)")
	fs.StringVar(&ask.Outcomes, "outcomes", "", "how commands end: succeed, recorded, or fail=2% (default: succeed)")
	fs.StringVar(&ask.Warm, "warm", "", "fold only so much of what lies before --from, such as P90D (default: all)")
	fs.BoolVar(&ask.Personal, "personal", false, "show values of fields that are marked as personal")
	return cmd
}

// backtest plans within --timeout, and runs without it.
func (c *cli) backtest(cmd *cobra.Command, args []string, ask ruleadmin.BacktestAsk) (report backtest.Report, err error) {
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	b, problems, err := ruleadmin.PlanBacktest(ctx, c.env, args, ask)
	for _, p := range problems { // stdout is for the report
		c.note("%s", p)
	}
	if err != nil {
		return report, err
	}
	return b.Run(cmd.Context())
}

// showBacktest writes the tables that have rows, under a line that says what was compared.
func (c *cli) showBacktest(r backtest.Report) error {
	printf(c.out, "%s, %s to %s: %s against %s\n", r.Tenant, stamp(r.From), stamp(r.To), named(r.Candidate), named(r.Against))
	printf(c.out, "%s; commands end as %s after %d ms; state folded from %s on\n", operate.Plural(r.Facts.Total, "fact"), r.Outcomes, r.LatencyMS, stamp(r.FoldedFrom))
	if err := section(c, "Decisions", r.Decisions, []string{"NAME", "TYPE", "AGAINST", "CANDIDATE", "SAME", "CHANGED", "ADDED", "REMOVED"}, func(d backtest.Decisions) []any {
		return []any{d.Name, d.Type, d.Against, d.Candidate, d.Same, d.Changed, d.Added, d.Removed}
	}); err != nil {
		return err
	}
	p := r.People
	printf(c.out, "\nLeads: %d against, %d candidate; %d both, %d only against, %d only candidate\n", p.Against, p.Candidate, p.Both, p.OnlyAgainst, p.OnlyCandidate)
	for _, part := range []func() error{
		func() error {
			return section(c, "Messages by hour (UTC)", r.Messages, []string{"CHANNEL", "HOUR", "AGAINST", "CANDIDATE"}, func(m backtest.Messages) []any { return []any{m.Channel, m.Hour, m.Against, m.Candidate} })
		},
		func() error {
			return section(c, "Held back", r.Held, []string{"WHAT", "NAME", "REASON", "AGAINST", "CANDIDATE"}, func(h backtest.Held) []any { return []any{h.Kind, h.Name, h.Reason, h.Against, h.Candidate} })
		},
		func() error {
			return section(c, "Commands to the CRM, which takes 200,000 a day", r.Commands, []string{"DAY", "AGAINST", "CANDIDATE"}, func(d backtest.Commands) []any { return []any{d.Day, d.Against, d.Candidate} })
		},
		func() error {
			return section(c, "Assignments", r.Assignments, []string{"POOL", "MEMBER", "AGAINST", "CANDIDATE"}, func(a backtest.Assignment) []any { return []any{dash(a.Pool), a.Member, a.Against, a.Candidate} })
		},
		func() error {
			return section(c, "Instances left open", r.Open, []string{"WORKFLOW", "AGAINST", "CANDIDATE"}, func(o backtest.Open) []any { return []any{o.Workflow, o.Against, o.Candidate} })
		},
		func() error {
			return section(c, "Failures", r.Failures, []string{"NAME", "CODE", "AGAINST", "CANDIDATE", "FIRST"}, func(f backtest.Failures) []any {
				return []any{f.Name, f.Code, f.Against, f.Candidate, c.errorCell(f.Detail)}
			})
		},
		func() error { return c.showExamples("Added", r.Examples.Added) },
		func() error { return c.showExamples("Removed", r.Examples.Removed) },
		func() error { return c.showExamples("Changed", r.Examples.Changed) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	c.sayBacktest(&r)
	return c.written()
}

// sayBacktest says what the numbers do not.
func (c *cli) sayBacktest(r *backtest.Report) {
	if !r.Differs() {
		c.note("nothing is decided differently")
	}
	if n := r.Waiting(); n > 0 {
		c.note("%s of the candidate live at the end, and what they do later is not in the numbers: begin earlier with --from, or end earlier with --to", operate.Plural(n, "instance"))
	}
	answers := 0
	for _, f := range r.Facts.Answering {
		answers += f.Events
	}
	if answers > 0 {
		c.note("%s came within 14 days after a message to the same lead, and may answer it: they would have come otherwise, or not at all", operate.Plural(answers, "fact"))
	}
	for _, d := range r.Commands {
		if d.Candidate > r.Limit {
			c.note("on %s the candidate gives the CRM %d commands, more than the %d that a location takes a day", d.Day, d.Candidate, r.Limit)
		}
	}
}

func named(b backtest.Bundle) string {
	if b.Files == 0 {
		return b.Name
	}
	return b.Name + " (" + b.Hash[:12] + ")"
}

// section is a table under a heading; without rows it is left out.
func section[T any](c *cli, heading string, rows []T, header []string, cells func(T) []any) error {
	if len(rows) == 0 {
		return nil
	}
	printf(c.out, "\n%s\n", heading)
	return show(c, rows, header, cells)
}

func (c *cli) showExamples(heading string, list []backtest.Example) error {
	return section(c, "First "+strings.ToLower(heading), list, []string{"AT", "NAME", "TYPE", "SUBJECT", "FIELDS", "FACT", "TASK"}, func(e backtest.Example) []any {
		var fields []string
		for _, f := range e.Fields {
			switch {
			case f.Was != "" && f.Value != "":
				fields = append(fields, f.Field+": "+f.Was+" → "+f.Value)
			default:
				fields = append(fields, f.Field+": "+f.Was+f.Value)
			}
		}
		return []any{stamp(e.At), e.Name, e.Type, dash(e.Subject), strings.Join(fields, ", "), e.Fact, dash(e.Task)}
	})
}
