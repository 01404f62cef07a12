package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
)

func (c *cli) effects() *cobra.Command {
	return group("effects", "What was and may have been done in the CRM: list, resolve", c.effectsList(), c.effectsResolve())
}

type effectRow struct {
	Tenant    string     `json:"tenant_id"`
	ID        string     `json:"effect_id"` // the command event's id
	Sequence  int64      `json:"command_sequence"`
	Kind      string     `json:"kind"`
	Class     string     `json:"class"`
	Subject   string     `json:"subject"`
	Status    string     `json:"status"`
	Attempts  int        `json:"attempts"`
	Code      string     `json:"code,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	RemoteID  string     `json:"remote_id,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Updated   time.Time  `json:"updated_at"`

	resolutions int // how often a person decided
}

// unresolved is the error about a decision that is recorded and changed nothing.
func unresolved(d operate.Done, now []effectRow) error {
	status := "gone"
	if len(now) > 0 {
		status = now[0].Status
	}
	return operate.Partial("the decision is recorded as sequence %s and changed nothing", d.Sequence).Because("by then the effect was %s", status).
		Hint("`neuronx effects list --tenant %s` shows it", d.Tenant)
}

func (c *cli) effectsList() *cobra.Command {
	var tenantID, kind, subject string
	var statuses []string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List effects", Args: noArgs,
		Example: "  neuronx effects list --status unknown\n  neuronx effects list --tenant acme --subject lead/42",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return operate.Usage("--limit must be at least 1")
			}
			if kind != "" {
				if err := oneOf("kind", kind, effect.Kinds()...); err != nil {
					return err
				}
			}
			f := ledger.Filter{Tenant: tenantID, Kind: kind, Subject: subject, Limit: limit + 1}
			for _, s := range statuses {
				if err := oneOf("status", s, "pending", "sending", "done", "failed", "unknown", "recorded", "off"); err != nil {
					return err
				}
				f.Statuses = append(f.Statuses, effect.Status(s))
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			rows, err := c.listEffects(ctx, f)
			if err != nil {
				return err
			}
			rows = capped(c, rows, min(limit, 10_000), "--tenant, --status, --kind and --subject choose; --limit takes up to 10,000")
			if err := show(c, rows, []string{"TENANT", "EFFECT", "KIND", "STATUS", "SUBJECT", "ERROR", "ATTEMPTS", "UPDATED"}, func(r effectRow) []any {
				return []any{r.Tenant, r.ID, r.Kind, r.Status, r.Subject, dash(strings.TrimSpace(r.Code + " " + r.LastError)), r.Attempts, stamp(r.Updated)}
			}); err != nil {
				return err
			}
			return c.noteWhyPending(ctx, rows)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "only this tenant's")
	fs.StringVar(&kind, "kind", "", "only this kind, such as crm.note.add")
	fs.StringVar(&subject, "subject", "", "only about this, such as lead/42")
	fs.StringSliceVar(&statuses, "status", nil, "only in this status; may be repeated")
	fs.IntVarP(&limit, "limit", "n", defaultLimit, "at most so many")
	return cmd
}

func (c *cli) listEffects(ctx context.Context, f ledger.Filter) ([]effectRow, error) {
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	found, err := ledger.List(ctx, pool, f)
	if err != nil {
		return nil, operate.Fail("list effects", err)
	}
	rows := make([]effectRow, len(found))
	for i, e := range found {
		rows[i] = effectRow{
			Tenant: e.TenantID, ID: e.ID, Sequence: e.Sequence, Kind: e.Kind, Class: string(e.Class), Subject: e.Subject,
			Status: string(e.Status), Attempts: e.Attempts, Code: e.Code, LastError: e.LastError, RemoteID: e.RemoteID, Updated: e.UpdatedAt, resolutions: e.Resolutions,
		}
		if !e.NotAfter.IsZero() {
			rows[i].NotAfter = &found[i].NotAfter
		}
	}
	return rows, nil
}

func (c *cli) effectsResolve() *cobra.Command {
	var tenantID, as, remote, reason, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "resolve <effect id>", Short: "Decide an effect whose outcome is unknown", Args: args("effect id"),
		Long: `Decide an effect whose outcome is unknown, after looking into the CRM:

  done    it was carried out
  failed  it was not, and shall not be
  resend  it was not, and shall be sent again`,
		Example: "  neuronx effects resolve 8c1f… --tenant acme --as done --remote-id note_123 --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("tenant", tenantID); err != nil {
				return err
			}
			if err := oneOf("as", as, "done", "failed", "resend"); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			rows, err := c.listEffects(ctx, ledger.Filter{Tenant: tenantID, EffectID: args[0]})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return c.noEffect(ctx, tenantID, args[0])
			}
			row := rows[0]
			// What is still on its way decides itself; a decision now could send it twice.
			if !slices.Contains([]string{"unknown", "failed", "recorded"}, row.Status) {
				return operate.Unsafe("effect %s is %s", row.ID, row.Status).Because("only unknown, failed and recorded effects wait for a person")
			}
			if as == "resend" && row.Code == effect.CodeOrigin {
				return operate.Unsafe("effect %s is not sent", row.ID).Because("%s", row.LastError).
					Hint("publish a live event about %s, if it is to reach the CRM", row.Subject)
			}
			if as == "resend" && row.Status == "unknown" && row.Class == "once" {
				c.note("this is a %s effect: sending it again doubles it if the first one did arrive", row.Class)
			}
			if !execute {
				c.note("would resolve %s %s on %s, which is %s, as %s", row.Kind, row.ID, row.Subject, row.Status, as)
				c.dryRun()
				return nil
			}
			d, err := c.env.Act(ctx, actor(""), tenantID, "engine.effect.resolved", "effect/"+row.ID, "", map[string]any{
				"effect_id": row.ID, "resolution": as, "remote_id": operate.OrNil(remote), "by": operate.OrNil(by), "reason": operate.OrNil(reason),
			})
			if err != nil {
				return err
			}
			if err := c.env.TakenBy(ctx, kafka.GroupGoHighLevel, d); err != nil {
				return err
			}
			now, err := c.listEffects(ctx, ledger.Filter{Tenant: tenantID, EffectID: args[0]})
			if err != nil {
				return err
			}
			if len(now) == 0 || now[0].resolutions == row.resolutions { // it changed between the look and the decision
				return unresolved(d, now)
			}
			return c.showDone(d, "effect %s is resolved as %s", row.ID, as)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&tenantID, "tenant", "", "the tenant")
	fs.StringVar(&as, "as", "", "done, failed or resend")
	fs.StringVar(&remote, "remote-id", "", "id of the object in the CRM")
	fs.StringVar(&reason, "reason", "", "why, for the record")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// noEffect is the error about an effect that is not there, with one that is like it.
func (c *cli) noEffect(ctx context.Context, tenantID, id string) error {
	rows, err := c.listEffects(ctx, ledger.Filter{Tenant: tenantID, Limit: 1000})
	if err != nil {
		return err
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return operate.Unknown("effect of "+tenantID, id, ids, "`neuronx effects list --tenant "+tenantID+"`")
}

func join(in []string) string { return dash(strings.Join(in, ",")) }
