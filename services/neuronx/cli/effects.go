package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

func (c *cli) effects() *cobra.Command {
	return group("effects", "What was and may have been done in the CRM: list, resolve, pause, resume, pauses",
		c.effectsList(), c.effectsResolve(), c.effectsPause(), c.effectsResume(), c.effectsPauses())
}

func (c *cli) effectsList() *cobra.Command {
	var f ledger.Filter
	var statuses []string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List effects", Args: noArgs,
		Example: "  neuronx effects list --status unknown\n  neuronx effects list --tenant acme --subject lead/42",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if limit < 1 {
				return operate.Usage("--limit must be at least 1")
			}
			if err := oneOf("kind", f.Kind, append([]string{""}, effectKinds()...)...); err != nil {
				return err
			}
			f.Limit = limit + 1
			for _, s := range statuses {
				if err := oneOf("status", s, "pending", "sending", "done", "failed", "unknown", "recorded", "off"); err != nil {
					return err
				}
				f.Statuses = append(f.Statuses, crm.Status(s))
			}
			rows, err := effects.List(ctx, c.env, f)
			if err != nil {
				return err
			}
			rows = capped(c, rows, min(limit, 10_000), "--tenant, --status, --kind and --subject choose; --limit takes up to 10,000")
			if err := show(c, rows, []string{"TENANT", "EFFECT", "KIND", "STATUS", "SUBJECT", "ERROR", "ATTEMPTS", "UPDATED"}, func(r effects.Effect) []any {
				return []any{r.Tenant, r.ID, r.Kind, r.Status, r.Subject, dash(strings.TrimSpace(r.Code + " " + r.LastError)), r.Attempts, stamp(r.Updated)}
			}); err != nil {
				return err
			}
			return c.noteWhyPending(ctx, rows)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Tenant, "tenant", "", "only this tenant's")
	fs.StringVar(&f.Kind, "kind", "", "only this kind, such as crm.note.add")
	fs.StringVar(&f.Subject, "subject", "", "only about this, such as lead/42")
	fs.StringSliceVar(&statuses, "status", nil, "only in this status; may be repeated")
	fs.IntVarP(&limit, "limit", "n", defaultLimit, "at most so many")
	return cmd
}

func (c *cli) effectsResolve() *cobra.Command {
	var tenantID, as, remote string
	var ch change
	cmd := &cobra.Command{
		Use: "resolve <effect id>", Short: "Decide an effect whose outcome is unknown", Args: args("effect id"), Annotations: needFlags("tenant"),
		Long: `Decide an effect whose outcome is unknown, after looking into the CRM:

  done    it was carried out
  failed  it was not, and shall not be
  resend  it was not, and shall be sent again`,
		Example: "  neuronx effects resolve 8c1f… --tenant acme --as done --remote-id note_123 --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if err := oneOf("as", as, effects.Done, effects.Failed, effects.Resend); err != nil {
				return err
			}
			row, err := effects.Resolvable(ctx, c.env, tenantID, args[0], as)
			if err != nil {
				return err
			}
			if as == effects.Resend && row.Status == "unknown" && row.Class == "once" {
				c.note("this is a %s effect: sending it again doubles it if the first one did arrive", row.Class)
			}
			if !ch.execute {
				return c.would("resolve %s %s on %s, which is %s, as %s", row.Kind, row.ID, row.Subject, row.Status, as)
			}
			d, err := effects.Resolve(ctx, c.env, actor(ch.by), row, as, remote, ch.reason)
			return c.showDone(d, err, "effect %s is resolved as %s", row.ID, as)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&as, "as", "", "done, failed or resend")
	fs.StringVar(&remote, "remote-id", "", "id of the object in the CRM")
	ch.bind(fs)
	return cmd
}

func join(in []string) string { return dash(strings.Join(in, ",")) }

// noteWhyPending says of each tenant with a listed effect that is pending why all wait, if its CRM refuses it or does not answer, or an operator
// paused them: most of its effects were never tried, and have no error of their own.
func (c *cli) noteWhyPending(ctx context.Context, rows []effects.Effect) error {
	pending := map[string]bool{}
	for _, r := range rows {
		if r.Status == string(crm.Pending) {
			pending[r.Tenant] = true
		}
	}
	if len(pending) == 0 {
		return nil
	}
	paused, err := operate.Ask(ctx, c.env, "list effects", func(pool *pgxpool.Pool) ([]ledger.Paused, error) {
		return ledger.ListPaused(ctx, pool, status.MaxPaused)
	})
	if err != nil {
		return err
	}
	for _, p := range paused {
		if pending[p.Tenant] {
			c.note("%s; %s", status.PausedWhat(p), status.PausedNext(p))
		}
	}
	pauses, err := effects.Pauses(ctx, c.env)
	if err != nil {
		return err
	}
	for _, p := range pauses {
		if p.Tenant == ledger.Every || pending[p.Tenant] {
			c.note("%s: %s; neuronx effects resume ends it", effects.ScopeText(p.Scope), p.Text())
		}
	}
	return nil
}

// effectKinds lists the kinds of effect that an adapter carries out.
func effectKinds() []string { return slices.Sorted(maps.Keys(gohighlevel.Adapter{}.Kinds())) }
