package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/safetext"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
)

func (c *cli) events() *cobra.Command {
	return group("events", "Look at the log: list, tail, get, trace", c.eventsList(), c.eventsTail(), c.eventsGet(), c.eventsTrace())
}

func (c *cli) eventsGet() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "get <id or sequence>", Short: "Show one event from the archive", Args: args("id or sequence"), Annotations: needFlags("tenant"),
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			found, err := events.Get(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			for _, v := range found { // an id may recur after the key window
				if err := c.json(v); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

// maxListed bounds what one listing may hold in memory.
const maxListed = 10_000

// span is the flags that choose by the time at which something was recorded.
type span struct{ since, until string }

func (s *span) bind(fs *pflag.FlagSet) {
	fs.StringVar(&s.since, "since", "", "only recorded at this time or later, RFC 3339")
	fs.StringVar(&s.until, "until", "", "only recorded before this time, RFC 3339")
}

// read parses the times that are given.
func (s *span) read(since, until *time.Time) error {
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", s.since, since}, {"until", s.until, until}} {
		if t.text == "" {
			continue
		}
		at, err := event.ParseTime(t.text)
		if err != nil {
			return operate.Usage("--%s %q is not a time", t.flag, t.text).Hint("such as 2026-01-31T12:00:00Z")
		}
		*t.to = at
	}
	return nil
}

// eventFilter is the flags that choose archived events of one tenant.
type eventFilter struct {
	archive.Filter
	span
}

// check reads the times and bounds, before anything is asked.
func (f *eventFilter) check() error {
	if f.Limit < 1 || f.Limit > maxListed {
		return operate.Usage("--limit must be 1 to %d", maxListed)
	}
	if err := f.span.read(&f.Since, &f.Until); err != nil {
		return err
	}
	if f.since != "" && f.until != "" && !f.Since.Before(f.Until) {
		return operate.Usage("--since %s is not before --until %s", f.since, f.until).Because("no event is recorded between them")
	}
	return nil
}

func (c *cli) eventsList() *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List a tenant's newest events, by subject, type, e-mail or time", Args: noArgs, Annotations: needFlags("tenant"),
		Long: `List a tenant's newest events from the archive, in the order of the log. --email finds events that have the address in a field of
their data, in upper or lower case. The archive follows the log by a moment; neuronx events tail reads the log itself.`,
		Example: "  neuronx events list --tenant acme --subject lead/42\n  neuronx events list --tenant acme --type lead.created --email ada@example.com\n" +
			"  neuronx events list --tenant acme --since 2026-01-31T00:00:00Z -n 1000 -o json",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			found, err := events.List(ctx, c.env, f.Filter)
			if err != nil {
				return err
			}
			if err := show(c, found.Events, []string{"SEQUENCE", "TYPE", "SUBJECT", "RECORDED", "DATA", "ID"}, func(v events.Event) []any {
				return []any{v.Sequence, v.Type, dash(v.Subject), v.RecordedTime, dash(string(v.Data)), v.ID}
			}); err != nil {
				return err
			}
			if f.Until.IsZero() {
				if err := c.env.NoteBehind(ctx, f.Tenant); err != nil {
					return err
				}
			}
			if found.More {
				c.note("there are older ones: --limit shows more, --until %s goes on from here", found.Events[0].RecordedTime)
			}
			return nil
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.Subject, "subject", "", "only about this, such as lead/42")
	fs.StringVar(&f.Type, "type", "", "only of this event type")
	fs.StringVar(&f.Email, "email", "", "only with this e-mail address in the data")
	f.span.bind(fs)
	fs.IntVarP(&f.Limit, "limit", "n", defaultLimit, "at most so many, the newest")
	return cmd
}

func (c *cli) eventsTail() *cobra.Command {
	var f events.TailOptions
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow the log", Args: noArgs,
		Long: `Follow the log from its end on, until Ctrl-C. --limit ends it after so many events, --timeout after so long (without the flag it has
no end), --until-end at the end that the log has now: that begins with the oldest event, partition by partition.`,
		Example: "  neuronx events tail --tenant acme\n  neuronx events tail --until-end --tenant acme -o json\n  neuronx events tail --timeout 10s --limit 1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 0 {
				return operate.Usage("--limit can't be negative")
			}
			look, cancel := c.bounded(cmd)
			defer cancel()
			if err := events.CheckTail(look, c.env, f); err != nil {
				return err
			}
			ctx, cancel := cmd.Context(), func() {}
			if cmd.Flags().Changed("timeout") {
				ctx, cancel = context.WithTimeout(ctx, c.env.Timeout)
			}
			defer cancel()
			seen, err := events.Tail(ctx, c.env, f, c.showTail)
			switch {
			case err != nil:
				return err
			case f.UntilEnd && ctx.Err() != nil && cmd.Context().Err() == nil:
				return operate.Partial("the end of the log was not reached within %s", c.env.Timeout).Hint("raise --timeout")
			case seen == 0:
				c.note("none%s", c.lookedFor())
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Type, "type", "", "only this type")
	fs.StringVar(&f.Subject, "subject", "", "only about this, such as lead/42")
	fs.BoolVar(&f.FromStart, "from-start", false, "begin with the oldest event instead of the next")
	fs.BoolVar(&f.UntilEnd, "until-end", false, "begin with the oldest event, and end where the log ends now")
	fs.IntVarP(&f.Limit, "limit", "n", 0, "stop after so many; 0: never")
	return cmd
}

// showTail writes one event a line; a table can't know its widths in advance.
func (c *cli) showTail(v events.Event) error {
	if c.format == formatJSON {
		return c.line(v)
	}
	data := string(v.Data)
	if v.DataError != "" {
		data = "(" + v.DataError + ")"
	}
	if width := c.columns(); width > 0 {
		line := []string{v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data}
		for i := range line {
			line[i] = safetext.Text(line[i])
		}
		printf(c.out, "%s\n", operate.Cut(strings.Join(line, " "), width))
		return nil
	}
	printf(c.out, "%s  %-12s %6s  %-28s %-24s %s\n", v.RecordedTime, v.Tenant, v.Sequence, v.Type, dash(v.Subject), data)
	return nil
}

func (c *cli) eventsTrace() *cobra.Command {
	var tenantID string
	cmd := &cobra.Command{
		Use: "trace <id or subject>", Short: "Show what caused an event, or all about a lead, and what came of it", Args: args("id or subject"), Annotations: needFlags("tenant"),
		Long: `Show an event, or all events about a subject such as lead/42, with everything that caused them up to each root, and everything that
came of these: the type with the rule that derived it, and its data. It reads the archive, which follows the log by a moment.`,
		Example: "  neuronx events trace lead/42 --tenant acme\n  neuronx events trace 0199c5f2-… --tenant acme -o wide",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			found, more, err := events.Trace(ctx, c.env, tenantID, args[0])
			if err != nil {
				return err
			}
			if err := c.env.NoteBehind(ctx, tenantID); err != nil {
				return err
			}
			if more {
				c.note("these are the first %d events of it; there are more", events.MaxTraced)
			}
			return show(c, found, []string{"SEQUENCE", "EVENT", "RULE", "DATA", "SUBJECT", "RECORDED", "ID"}, func(v events.Traced) []any {
				return []any{v.Sequence, indent(v.Depth) + v.Type, dash(v.Rule), dash(string(v.Data)), dash(v.Subject), v.RecordedTime, v.ID}
			})
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "the tenant")
	return cmd
}

func indent(depth int) string {
	if depth == 0 {
		return ""
	}
	return strings.Repeat("   ", depth-1) + "└─ "
}
