package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/projector"
)

// consumerGroups are the services that stall tenants, by the name that people use.
var consumerGroups = map[string]string{
	"projector": kafka.GroupProjector, "rules": kafka.GroupRules, "archiver": kafka.GroupArchiver, "gohighlevel": kafka.GroupGoHighLevel,
}

func consumerNames() []string { return []string{"projector", "rules", "archiver", "gohighlevel"} }

func (c *cli) stalled() *cobra.Command {
	return group("stalled", "Tenants that a consumer set aside: list, retry, skip", c.stalledList(), c.stalledRetry(), c.stalledSkip())
}

// place is where somebody is stalled: what the flags of these verbs name.
type place struct {
	consumer, feed, tenant string
}

func (p *place) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&p.consumer, "consumer", "", strings.Join(consumerNames(), ", "))
	fs.StringVar(&p.feed, "feed", "", "of the projector: "+strings.Join(projector.Feeds(), " or "))
	fs.StringVar(&p.tenant, "tenant", "", "the tenant")
}

// rowNames are the consumers in neuronx.progress that the flags mean.
func (p *place) rowNames() ([]string, error) {
	if err := oneOf("consumer", p.consumer, append([]string{""}, consumerNames()...)...); err != nil {
		return nil, err
	}
	if err := oneOf("feed", p.feed, append([]string{""}, projector.Feeds()...)...); err != nil {
		return nil, err
	}
	if p.feed == projector.FeedControl && p.consumer != "" && p.consumer != "projector" {
		return nil, operate.Usage("%s has no feed %s", p.consumer, p.feed).Hint("only the projector has several feeds")
	}
	var names []string
	for _, name := range consumerNames() {
		if p.consumer != "" && p.consumer != name {
			continue
		}
		feeds := []string{consumer.FeedMain}
		if name == "projector" {
			feeds = projector.Feeds()
		}
		for _, feed := range feeds {
			if p.feed == "" || p.feed == feed {
				names = append(names, consumer.RowName(consumerGroups[name], feed))
			}
		}
	}
	return names, nil
}

// find lists the stalled rows that the flags name.
func (p *place) find(ctx context.Context, pool *pgxpool.Pool) ([]consumer.Row, error) {
	names, err := p.rowNames()
	if err != nil {
		return nil, err
	}
	var all []consumer.Row
	for _, name := range names {
		rows, err := consumer.Rows(ctx, pool, name, p.tenant, consumer.Stalled)
		if err != nil {
			return nil, operate.Fail("list stalled tenants", err)
		}
		all = append(all, rows...)
	}
	return all, nil
}

type stalledAt struct {
	Consumer   string `json:"consumer"`
	Feed       string `json:"feed"`
	Tenant     string `json:"tenant_id"`
	Generation int64  `json:"generation"`
	Sequence   string `json:"sequence"` // of the event that it is stalled at
	Reason     string `json:"reason"`
}

func (c *cli) showStalled(verb string, rows []consumer.Row) error {
	out := make([]stalledAt, len(rows))
	for i, r := range rows {
		out[i] = stalledAtOf(r)
	}
	return show(c, out, []string{"CONSUMER", "FEED", "TENANT", "GENERATION", verb, "REASON"}, func(r stalledAt) []any {
		return []any{r.Consumer, r.Feed, r.Tenant, r.Generation, r.Sequence, dash(operate.OneLine(r.Reason))}
	})
}

func (c *cli) stalledList() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use: "list", Short: "List stalled tenants, and the event each is stalled at", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			rows, err := p.find(ctx, pool)
			if err != nil {
				return err
			}
			return c.showStalled("STALLED AT", rows)
		},
	}
	p.bind(cmd)
	return cmd
}

func (c *cli) stalledRetry() *cobra.Command {
	var p place
	var all, execute bool
	cmd := &cobra.Command{
		Use: "retry", Short: "Let stalled tenants go on with the event that they stalled at", Args: noArgs,
		Long: `Let stalled tenants go on with the event that they stalled at, and wait for what becomes of
each: it resumed, is stalled again, or its service has not taken it up within --timeout.`,
		Example: "  neuronx stalled retry --consumer gohighlevel --tenant acme --execute\n  neuronx stalled retry --consumer projector --all --execute",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("consumer", p.consumer); err != nil {
				return err
			}
			if all == (p.tenant != "") {
				return operate.Usage("either --tenant or --all says whom to retry")
			}
			if _, err := p.rowNames(); err != nil {
				return err
			}
			return c.retry(cmd, p, execute)
		},
	}
	p.bind(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every stalled tenant of the consumer")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// retry shows what is stalled at a place, or makes it catch up.
func (c *cli) retry(cmd *cobra.Command, p place, execute bool) error {
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	rows, err := p.find(ctx, pool)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nobodyStalled("retry", p)
	}
	if !execute {
		if err := c.showStalled("WOULD RETRY", rows); err != nil {
			return err
		}
		c.dryRun()
		return nil
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Consumer)
	}
	slices.Sort(names)
	var done []consumer.Row
	for _, name := range slices.Compact(names) {
		retried, err := consumer.Retry(ctx, pool, name, p.tenant)
		if err != nil && !errors.Is(err, consumer.ErrNotStalled) { // it may have been retried by somebody else in between
			return operate.Fail("retry", err)
		}
		done = append(done, retried...)
	}
	if len(done) == 0 {
		return nobodyStalled("retry", p)
	}
	return c.showResumed(ctx, pool, "RETRIED AT", done, 0)
}

func nobodyStalled(verb string, p place) error {
	who := p.tenant + " is not stalled"
	if p.tenant == "" {
		who = "no tenant is stalled"
	}
	where := p.consumer
	if where == "" {
		where = "any consumer"
	}
	return operate.Fail(verb, event.Refuse(event.CodeNotFound, "%s in %s", who, where).Hint("neuronx stalled list"))
}

func (c *cli) stalledSkip() *cobra.Command {
	var p place
	opt, execute := consumer.SkipOptions{}, false
	cmd := &cobra.Command{
		Use: "skip", Short: "Pass over the one event that a tenant is stalled at", Args: noArgs,
		Long: `Pass over the one event that a tenant is stalled at. What the consumer keeps then lacks
what that event says, also after a rebuild; the skip is recorded as an event. Without
--execute it shows which event that is; --sequence names it, and nothing is done when
the tenant is stalled at another one by then. The archiver skips nothing.`,
		Example: "  neuronx stalled skip --consumer gohighlevel --tenant acme --reason 'its producer sent junk'\n" +
			"  neuronx stalled skip --consumer gohighlevel --tenant acme --sequence 41 --reason 'its producer sent junk' --execute",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("consumer", p.consumer); err != nil {
				return err
			}
			if err := required("tenant", p.tenant); err != nil {
				return err
			}
			if _, err := p.rowNames(); err != nil {
				return err
			}
			return c.skip(cmd, p, opt, execute)
		},
	}
	p.bind(cmd)
	bindSkip(cmd, &opt, &execute)
	return cmd
}

func bindSkip(cmd *cobra.Command, opt *consumer.SkipOptions, execute *bool) {
	fs := cmd.Flags()
	fs.Int64Var(&opt.Sequence, "sequence", 0, "of the event to skip, as the dry run shows it; needed with --execute")
	fs.Int64Var(&opt.Generation, "generation", 0, "only this one; 0: every stalled one")
	fs.StringVar(&opt.Reason, "reason", "", "why; it stands in the log for ever")
	fs.StringVar(&opt.By, "by", "", "who, for the record")
	fs.BoolVar(execute, "execute", false, "do it")
}

// skip shows, or passes over, the event that a tenant is stalled at.
func (c *cli) skip(cmd *cobra.Command, p place, opt consumer.SkipOptions, execute bool) error {
	if p.consumer == "archiver" {
		return operate.Unsafe("the archiver skips no event").Because("%s", consumer.ErrNoSkip).
			Hint("mend what its reason says, then `neuronx stalled retry --consumer archiver --tenant %s --execute`", p.tenant)
	}
	if err := required("reason", opt.Reason); err != nil {
		return err
	}
	if execute && opt.Sequence <= 0 {
		return operate.Usage("--sequence is required with --execute").Hint("without --execute, this shows which event would be skipped")
	}
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	rows, err := p.find(ctx, pool)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r consumer.Row) bool { return opt.Generation != 0 && r.Generation != opt.Generation })
	if len(rows) == 0 {
		return nobodyStalled("skip", p)
	}
	if opt.Sequence > 0 && !slices.ContainsFunc(rows, func(r consumer.Row) bool { return r.Sequence+1 == opt.Sequence }) {
		return movedOn(p, rows[0].Sequence+1, opt.Sequence)
	}
	if !execute {
		if opt.Sequence > 0 { // the others would not be skipped
			rows = slices.DeleteFunc(rows, func(r consumer.Row) bool { return r.Sequence+1 != opt.Sequence })
		}
		if err := c.showStalled("WOULD SKIP", rows); err != nil {
			return err
		}
		c.dryRun()
		return nil
	}
	pub, err := c.env.Publisher()
	if err != nil {
		return err
	}
	var done []consumer.Row
	names, err := p.rowNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		opt.Consumer, opt.Tenant = name, p.tenant
		skipped, err := consumer.SkipAnnounced(ctx, pool, archive.NewReader(pool), pub, opt)
		if err != nil && !errors.Is(err, consumer.ErrNotStalled) && !errors.Is(err, consumer.ErrMoved) {
			return operate.Fail("skip", err)
		}
		done = append(done, skipped...)
	}
	if len(done) == 0 {
		return operate.Unsafe("nothing was skipped: %s is not stalled at sequence %d any more", p.tenant, opt.Sequence).Hint("neuronx stalled list --tenant %s", p.tenant)
	}
	return c.showResumed(ctx, pool, "SKIPPED", done, 1)
}

func movedOn(p place, at, asked int64) error {
	return operate.Unsafe("%s is stalled at sequence %d, not %d", p.tenant, at, asked).
		Because("it has gone on since, or the number is of another consumer").Hint("neuronx stalled list --tenant %s", p.tenant)
}
