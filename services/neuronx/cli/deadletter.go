package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/deadletters"
)

func (c *cli) deadletter() *cobra.Command {
	return group("deadletter", "What the sequencer refused: list, show, retry, edit, drop",
		c.deadletterList(), c.deadletterShow(), c.deadletterRetry(), c.deadletterEdit(), c.deadletterDrop())
}

// letterFilter is the flags that choose letters.
type letterFilter struct {
	deadletter.Filter
	since, until string
}

func (f *letterFilter) bind(fs *pflag.FlagSet, code string, limit int) {
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Reason, code, "", "only refused as this, such as invalid_body")
	fs.StringVar(&f.Type, "type", "", "only of this event type")
	fs.StringVar(&f.since, "since", "", "only recorded at this time or later, RFC 3339")
	fs.StringVar(&f.until, "until", "", "only recorded before this time, RFC 3339")
	fs.IntVarP(&f.Limit, "limit", "n", limit, "at most so many")
}

func (f *letterFilter) check() error {
	if f.Limit < 1 {
		return operate.Usage("--limit must be at least 1")
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
	return nil
}

func (c *cli) deadletterList() *cobra.Command {
	var f letterFilter
	var state, by string
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, newest first, or count them", Args: noArgs,
		Example: "  neuronx deadletter list --by reason\n  neuronx deadletter list --tenant acme --reason invalid_body --since 2026-01-31T00:00:00Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", state, "open", "retried", "resolved", "refused_again", "dropped", "all"); err != nil {
				return err
			}
			if by != "" {
				if err := oneOf("by", by, "reason", "tenant", "type", "state"); err != nil {
					return err
				}
			}
			if err := f.check(); err != nil {
				return err
			}
			if f.State = state; state == "all" {
				f.State = ""
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			if by != "" {
				return c.countLetters(ctx, by, f.Filter)
			}
			rows, err := deadletters.List(ctx, c.env, f.Filter)
			if err != nil {
				return err
			}
			if err := c.showLetters(rows); err != nil {
				return err
			}
			return c.noteFurther(ctx, f.Filter, len(rows))
		},
	}
	f.bind(cmd.Flags(), "reason", defaultLimit)
	cmd.Flags().StringVar(&state, "state", "open", "open, retried, resolved, refused_again, dropped or all")
	cmd.Flags().StringVar(&by, "by", "", "count them by reason, tenant, type or state instead")
	return cmd
}

func (c *cli) showLetters(rows []deadletters.Letter) error {
	return show(c, rows, []string{"REF", "TENANT", "REASON", "TYPE", "ID", "RECORDED", "STATE"}, func(r deadletters.Letter) []any {
		return []any{r.Ref, dash(r.Tenant), r.Reason, dash(r.Type), dash(r.ID), stamp(r.Recorded), r.State}
	})
}

func (c *cli) countLetters(ctx context.Context, by string, f deadletter.Filter) error {
	counts, err := deadletters.CountBy(ctx, c.env, by, f)
	if err != nil {
		return err
	}
	return show(c, counts, []string{strings.ToUpper(by), "COUNT", "OLDEST", "NEWEST"}, func(r deadletters.Count) []any {
		return []any{dash(r.Name), r.Count, stamp(r.Oldest), stamp(r.Newest)}
	})
}

func (c *cli) deadletterShow() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show <topic/partition/offset>", Short: "Show one dead letter with what was received", Args: args("topic/partition/offset"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, _, err := deadletters.ParseRef(args[0]); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			v, err := deadletters.Show(ctx, c.env, args[0], raw)
			if err != nil {
				return err
			}
			return c.json(v)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "with the whole value as received, in base64")
	return cmd
}
