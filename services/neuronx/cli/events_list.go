package cli

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxListed bounds what one listing may hold in memory.
const maxListed = 10_000

// eventFilter chooses archived events of one tenant.
type eventFilter struct {
	tenant, subject, typ, email, since, until string
	limit                                     int
	from, to                                  time.Time
}

// check reads the times and bounds, before anything is asked.
func (f *eventFilter) check() error {
	if err := required("tenant", f.tenant); err != nil {
		return err
	}
	if f.limit < 1 || f.limit > maxListed {
		return operate.Usage("--limit must be 1 to %d", maxListed)
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"since", f.since, &f.from}, {"until", f.until, &f.to}} {
		if t.text == "" {
			continue
		}
		at, err := event.ParseTime(t.text)
		if err != nil {
			return operate.Usage("--%s %q is not a time", t.flag, t.text).Hint("such as 2026-01-31T12:00:00Z")
		}
		*t.to = at
	}
	if f.since != "" && f.until != "" && !f.from.Before(f.to) {
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
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			if err := c.env.CheckType(ctx, f.typ); err != nil {
				return err
			}
			found, err := f.query(ctx, pool)
			if err != nil {
				return err
			}
			if len(found) == 0 && f.subject != "" {
				if err := knownSubject(ctx, pool, f.tenant, f.subject); err != nil {
					return err
				}
			}
			more := len(found) > f.limit
			found = found[:min(len(found), f.limit)]
			slices.Reverse(found)
			if err := show(c, found, []string{"SEQUENCE", "TYPE", "SUBJECT", "RECORDED", "DATA", "ID"}, func(v eventView) []any {
				return []any{v.Sequence, v.Type, dash(v.Subject), v.RecordedTime, dash(string(v.Data)), v.ID}
			}); err != nil {
				return err
			}
			if f.to.IsZero() {
				if err := c.env.NoteBehind(ctx, pool, f.tenant); err != nil {
					return err
				}
			}
			if more {
				c.note("there are older ones: --limit shows more, --until %s goes on from here", found[0].RecordedTime)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.tenant, "tenant", "", "the tenant")
	fs.StringVar(&f.subject, "subject", "", "only about this, such as lead/42")
	fs.StringVar(&f.typ, "type", "", "only of this event type")
	fs.StringVar(&f.email, "email", "", "only with this e-mail address in the data")
	fs.StringVar(&f.since, "since", "", "only recorded at this time or later, RFC 3339")
	fs.StringVar(&f.until, "until", "", "only recorded before this time, RFC 3339")
	fs.IntVarP(&f.limit, "limit", "n", defaultLimit, "at most so many, the newest")
	return cmd
}

// query reads the newest events that fit, newest first, and one more than the limit if there is one.
func (f *eventFilter) query(ctx context.Context, pool *pgxpool.Pool) ([]eventView, error) {
	var from, to *time.Time
	if !f.from.IsZero() {
		from = &f.from
	}
	if !f.to.IsZero() {
		to = &f.to
	}
	return queryArchived(ctx, pool, `tenant_id = $1 AND ($2 = '' OR subject = $2) AND ($3 = '' OR event_type = $3)
		AND ($4 = '' OR jsonb_typeof(data) = 'object' AND EXISTS (SELECT FROM jsonb_each_text(data) f WHERE lower(f.value) = lower($4)))
		AND ($5::timestamptz IS NULL OR recorded_at >= $5) AND ($6::timestamptz IS NULL OR recorded_at < $6)
		ORDER BY sequence DESC LIMIT $7`, f.tenant, f.subject, f.typ, f.email, from, to, f.limit+1)
}

// knownSubject refuses a subject that no archived event of the tenant has.
func knownSubject(ctx context.Context, pool *pgxpool.Pool, tenantID, subject string) error {
	var known bool
	if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM neuronx.tenant_events WHERE tenant_id = $1 AND subject = $2)`, tenantID, subject).Scan(&known); err != nil {
		return operate.Fail("read the archive", err)
	}
	if known {
		return nil
	}
	near, err := recent(ctx, pool, tenantID, "subject")
	if err != nil {
		return err
	}
	return operate.NotArchived(ctx, pool, tenantID, "nothing about "+subject, operate.Nearest(subject, near), "`neuronx events list --tenant "+tenantID+"` lists the newest events")
}
