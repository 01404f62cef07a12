package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
)

// pauseScope are the flags that choose what a pause is about.
type pauseScope struct {
	ledger.Scope
	all bool
}

func (s *pauseScope) bind(fs *pflag.FlagSet) {
	fs.StringVar(&s.Tenant, "tenant", "", "only this tenant's")
	fs.BoolVar(&s.all, "all", false, "those of all tenants")
	fs.StringVar(&s.Kind, "kind", ledger.Every, "one kind, such as crm.note.add, or * for all")
	fs.StringVar(&s.Adapter, "adapter", ledger.Every, "one adapter, such as gohighlevel, or * for all")
}

// check refuses a scope that is not exactly what is meant: a name that is misspelt would pause nothing.
func (s *pauseScope) check(ctx context.Context, c *cli) error {
	if s.all == (s.Tenant != "") {
		return operate.Usage("give --tenant or --all, and not both")
	}
	if err := cmp.Or(oneOf("kind", s.Kind, append([]string{ledger.Every}, effectKinds()...)...), oneOf("adapter", s.Adapter, ledger.Every, gohighlevel.Name)); err != nil {
		return err
	}
	if s.all {
		s.Tenant = ledger.Every
		return nil
	}
	return c.env.CheckTenant(ctx, s.Tenant)
}

func (c *cli) effectsPause() *cobra.Command {
	var s pauseScope
	var ch change
	cmd := &cobra.Command{
		Use: "pause", Short: "Stop requests to the CRM at once", Args: noArgs, Annotations: needFlags("reason"),
		Long: `Stop requests to the CRM: before each one the adapter asks whether it is paused. Requests that are under way end as they do. What waits stays
pending and expires as always, so what is too old when it is resumed is not sent. It works while the log stands still, and with no adapter running.

Use "neuronx tenant effects-mode" to have effects recorded or dropped instead.`,
		Example: "  neuronx effects pause --tenant acme --kind crm.note.add --reason 'wrong text' --execute\n  neuronx effects pause --all --reason 'incident 12' --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := s.check(ctx, c); err != nil {
				return err
			}
			if !ch.execute {
				return c.would("pause %s", effects.ScopeText(s.Scope))
			}
			p, set, err := effects.Pause(ctx, c.env, actor(ch.by), s.Scope, ch.reason)
			if err != nil {
				return err
			}
			if !set {
				c.note("paused since %s already: %s", stamp(p.Since), p.Text())
			}
			return c.showPauses([]ledger.Pause{p})
		}),
	}
	s.bind(cmd.Flags())
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) effectsResume() *cobra.Command {
	var s pauseScope
	var ch change
	cmd := &cobra.Command{
		Use: "resume", Short: "End a pause: what waits and has not expired is sent", Args: noArgs,
		Example: "  neuronx effects resume --tenant acme --kind crm.note.add --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := s.check(ctx, c); err != nil {
				return err
			}
			if !ch.execute {
				return c.would("end the pause of %s", effects.ScopeText(s.Scope))
			}
			if err := effects.Resume(ctx, c.env, actor(ch.by), s.Scope, ch.reason); err != nil {
				return err
			}
			c.note("%s go on within ten seconds, unless another pause covers them", effects.ScopeText(s.Scope))
			left, err := effects.Pauses(ctx, c.env)
			if err != nil {
				return err
			}
			return c.showPauses(left)
		}),
	}
	s.bind(cmd.Flags())
	ch.bind(cmd.Flags())
	return cmd
}

func (c *cli) effectsPauses() *cobra.Command {
	return &cobra.Command{
		Use: "pauses", Short: "List what is paused, by whom and why", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			list, err := effects.Pauses(ctx, c.env)
			if err != nil {
				return err
			}
			return c.showPauses(list)
		}),
	}
}

func (c *cli) showPauses(list []ledger.Pause) error {
	return show(c, list, []string{"TENANT", "ADAPTER", "KIND", "SINCE", "BY", "REASON"}, func(p ledger.Pause) []any {
		return []any{p.Tenant, p.Adapter, p.Kind, stamp(p.Since), dash(p.By), p.Reason}
	})
}
