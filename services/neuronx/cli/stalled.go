package cli

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/stalled"
	"github.com/neuronx/engine/services/projector"
)

func (c *cli) stalled() *cobra.Command {
	return group("stalled", "Tenants that a consumer set aside: list, retry, skip", c.stalledList(), c.stalledRetry(), c.stalledSkip())
}

// bindPlace declares the flags that say where tenants are stalled.
func bindPlace(cmd *cobra.Command, p *stalled.Place) {
	fs := cmd.Flags()
	fs.StringVar(&p.Consumer, "consumer", "", strings.Join(stalled.Consumers(), ", "))
	fs.StringVar(&p.Feed, "feed", "", "of the projector: "+strings.Join(projector.Feeds(), " or "))
	fs.StringVar(&p.Tenant, "tenant", "", "the tenant")
}

// checkPlace refuses values of these flags that are not possible.
func checkPlace(p stalled.Place) error {
	return cmp.Or(oneOf("consumer", p.Consumer, append([]string{""}, stalled.Consumers()...)...),
		oneOf("feed", p.Feed, append([]string{""}, projector.Feeds()...)...), p.Check())
}

func (c *cli) showStalled(verb string, rows []stalled.At) error {
	return show(c, rows, []string{"CONSUMER", "FEED", "TENANT", "GENERATION", verb, "REASON"}, func(r stalled.At) []any {
		return []any{r.Consumer, r.Feed, r.Tenant, r.Generation, r.Sequence, dash(operate.OneLine(r.Reason))}
	})
}

func (c *cli) stalledList() *cobra.Command {
	var p stalled.Place
	cmd := &cobra.Command{
		Use: "list", Short: "List stalled tenants, and the event each is stalled at", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := checkPlace(p); err != nil {
				return err
			}
			rows, err := stalled.List(ctx, c.env, p)
			if err != nil {
				return err
			}
			return c.showStalled("STALLED AT", rows)
		}),
	}
	bindPlace(cmd, &p)
	return cmd
}

func (c *cli) stalledRetry() *cobra.Command {
	var p stalled.Place
	var all, execute bool
	cmd := &cobra.Command{
		Use: "retry", Short: "Let stalled tenants go on with the event that they stalled at", Args: noArgs, Annotations: needFlags("consumer"),
		Long: `Let stalled tenants go on with the event that they stalled at, and wait for what becomes of
each: it resumed, is stalled again, or its service has not taken it up within --timeout.`,
		Example: "  neuronx stalled retry --consumer gohighlevel --tenant acme --execute\n  neuronx stalled retry --consumer projector --all --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if all == (p.Tenant != "") {
				return operate.Usage("either --tenant or --all says whom to retry")
			}
			return c.retry(ctx, p, execute)
		}),
	}
	bindPlace(cmd, &p)
	cmd.Flags().BoolVar(&all, "all", false, "every stalled tenant of the consumer")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// retry shows what is stalled at a place, or makes it catch up.
func (c *cli) retry(ctx context.Context, p stalled.Place, execute bool) error {
	if err := checkPlace(p); err != nil {
		return err
	}
	if execute {
		rows, err := stalled.Retry(ctx, c.env, p)
		return c.showResumed("RETRIED AT", rows, err)
	}
	rows, err := stalled.WouldRetry(ctx, c.env, p)
	return c.showWould("WOULD RETRY", rows, err)
}

// showWould shows what a dry run found.
func (c *cli) showWould(verb string, rows []stalled.At, err error) error {
	if err != nil {
		return err
	}
	if err := c.showStalled(verb, rows); err != nil {
		return err
	}
	c.dryRun()
	return nil
}

// showResumed shows what became of what was let go on.
func (c *cli) showResumed(verb string, rows []stalled.Resumed, err error) error {
	if err != nil {
		return err
	}
	if err := show(c, rows, []string{"CONSUMER", "FEED", "TENANT", "GENERATION", verb, "RESULT", "REASON"}, func(r stalled.Resumed) []any {
		return []any{r.Consumer, r.Feed, r.Tenant, r.Generation, r.Sequence, r.Result, dash(operate.OneLine(r.Reason))}
	}); err != nil {
		return err
	}
	return stalled.Err(rows)
}

func (c *cli) stalledSkip() *cobra.Command {
	var s stalled.Skipping
	var by string
	var execute bool
	cmd := &cobra.Command{
		Use: "skip", Short: "Pass over the one event that a tenant is stalled at", Args: noArgs, Annotations: needFlags("consumer", "tenant"),
		Long: `Pass over the one event that a tenant is stalled at. What the consumer keeps then lacks
what that event says, also after a rebuild; the skip is recorded as an event. Without
--execute it shows which event that is; --sequence names it, and nothing is done when
the tenant is stalled at another one by then. The archiver skips nothing.`,
		Example: "  neuronx stalled skip --consumer gohighlevel --tenant acme --reason 'its producer sent junk'\n" +
			"  neuronx stalled skip --consumer gohighlevel --tenant acme --sequence 41 --reason 'its producer sent junk' --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error { return c.skip(ctx, s, by, execute) }),
	}
	bindPlace(cmd, &s.Place)
	bindSkip(cmd, &s, &by, &execute)
	return cmd
}

func bindSkip(cmd *cobra.Command, s *stalled.Skipping, by *string, execute *bool) {
	fs := cmd.Flags()
	fs.Int64Var(&s.Sequence, "sequence", 0, "of the event to skip, as the dry run shows it; needed with --execute")
	fs.Int64Var(&s.Generation, "generation", 0, "only this one; 0: every stalled one")
	fs.StringVar(&s.Reason, "reason", "", "why; it stands in the log for ever")
	fs.StringVar(by, "by", "", "who, for the record")
	fs.BoolVar(execute, "execute", false, "do it")
}

// skip shows, or passes over, the event that a tenant is stalled at.
func (c *cli) skip(ctx context.Context, s stalled.Skipping, by string, execute bool) error {
	if err := cmp.Or(checkPlace(s.Place), s.Check(), required("reason", s.Reason)); err != nil {
		return err
	}
	if execute && s.Sequence <= 0 {
		return operate.Usage("--sequence is required with --execute").Hint("without --execute, this shows which event would be skipped")
	}
	if execute {
		rows, err := stalled.Skip(ctx, c.env, actor(by), s)
		return c.showResumed("SKIPPED", rows, err)
	}
	rows, err := stalled.WouldSkip(ctx, c.env, s)
	return c.showWould("WOULD SKIP", rows, err)
}
