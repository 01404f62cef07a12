package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/events"
)

// maxListed bounds what one listing may hold in memory.
const maxListed = 10_000

// eventFilter is the flags that choose archived events of one tenant.
type eventFilter struct {
	archive.Filter
	since, until string
}

// check reads the times and bounds, before anything is asked.
func (f *eventFilter) check() error {
	if err := required("tenant", f.Tenant); err != nil {
		return err
	}
	if f.Limit < 1 || f.Limit > maxListed {
		return operate.Usage("--limit must be 1 to %d", maxListed)
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &f.Since}, {"until", f.until, &f.Until}} {
		if t.text == "" {
			continue
		}
		at, err := event.ParseTime(t.text)
		if err != nil {
			return operate.Usage("--%s %q is not a time", t.flag, t.text).Hint("such as 2026-01-31T12:00:00Z")
		}
		*t.to = at
	}
	if f.since != "" && f.until != "" && !f.Since.Before(f.Until) {
		return operate.Usage("--since %s is not before --until %s", f.since, f.until).Because("no event is recorded between them")
	}
	return nil
}

func (c *cli) eventsList() *cobra.Command {
	var f eventFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List a tenant's newest events, by subject, type, e-mail or time", Args: noArgs,
		Long: `List a tenant's newest events from the archive, in the order of the log. --email finds events that have the address in a field of
their data, in upper or lower case. The archive follows the log by a moment; neuronx events tail reads the log itself.`,
		Example: "  neuronx events list --tenant acme --subject lead/42\n  neuronx events list --tenant acme --type lead.created --email ada@example.com\n" +
			"  neuronx events list --tenant acme --since 2026-01-31T00:00:00Z -n 1000 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
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
				if err := c.noteBehind(ctx, f.Tenant); err != nil {
					return err
				}
			}
			if found.More {
				c.note("there are older ones: --limit shows more, --until %s goes on from here", found.Events[0].RecordedTime)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.Subject, "subject", "", "only about this, such as lead/42")
	fs.StringVar(&f.Type, "type", "", "only of this event type")
	fs.StringVar(&f.Email, "email", "", "only with this e-mail address in the data")
	fs.StringVar(&f.since, "since", "", "only recorded at this time or later, RFC 3339")
	fs.StringVar(&f.until, "until", "", "only recorded before this time, RFC 3339")
	fs.IntVarP(&f.Limit, "limit", "n", defaultLimit, "at most so many, the newest")
	return cmd
}

// noteBehind says when what is shown from the archive lacks the newest events.
func (c *cli) noteBehind(ctx context.Context, tenantID string) error {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	return c.env.NoteBehind(ctx, pool, tenantID)
}
