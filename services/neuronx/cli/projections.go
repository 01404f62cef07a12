package cli

import (
	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/stalled"
	"github.com/neuronx/engine/services/projector"
)

func (c *cli) projections() *cobra.Command {
	return group("projections", "Read models: list, retry, skip", c.projectionsList(), c.projectionsRetry(), c.projectionsSkip())
}

type projectionRow struct {
	Tenant     string `json:"tenant_id"`
	Feed       string `json:"feed"` // control: tenants and keys; main: the read models
	Generation int64  `json:"generation"`
	Active     bool   `json:"active"`
	State      string `json:"state"`
	Sequence   string `json:"sequence"` // that was applied last; a stalled one is stalled at the next
	Reason     string `json:"reason,omitempty"`
	Untouched  string `json:"untouched,omitempty"` // events left out, by projection and reason
	Definition string `json:"definition"`          // that built it; mixed: several did; empty: not known
	Newest     bool   `json:"newest_definition"`   // it is the newest one that a build came with
	Origin     string `json:"origin,omitempty"`    // what it was made for; empty: the tenant's first event
}

func (c *cli) projectionsList() *cobra.Command {
	var tenantID, state string
	cmd := &cobra.Command{
		Use: "list", Short: "List the read models of tenants and how far they are", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("state", state, "", "live", "catching-up", "stalled", "retired"); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.env.Pool(ctx)
			if err != nil {
				return err
			}
			var names []string
			for _, feed := range projector.Feeds() {
				names = append(names, consumer.RowName(kafka.GroupProjector, feed))
			}
			rows, err := pool.Query(ctx, `SELECT p.Tenant_id, f.feed, p.generation, coalesce(a.generation = p.generation, false), p.state, p.sequence::text, p.reason,
				(SELECT coalesce(string_agg(u.projection || ' ' || u.reason || ' ' || u.events, ', ' ORDER BY u.projection, u.reason), '')
					FROM projection.untouched u WHERE u.tenant_id = p.Tenant_id AND u.feed = f.feed AND u.generation = p.generation),
				coalesce(p.definition, ''), coalesce(p.definition = (SELECT d.definition FROM neuronx.definitions d WHERE d.consumer = p.consumer ORDER BY d.n DESC LIMIT 1), false), p.origin
				FROM neuronx.progress p JOIN unnest($3::text[], $4::text[]) AS f (consumer, feed) ON f.consumer = p.consumer
				LEFT JOIN projection.active a ON a.tenant_id = p.Tenant_id AND a.feed = f.feed
				WHERE ($1 = '' OR p.Tenant_id = $1) AND ($2 = '' OR p.state = $2)
				ORDER BY p.Tenant_id, f.feed, p.generation LIMIT 10001`, tenantID, state, names, projector.Feeds())
			if err != nil {
				return operate.Fail("list projections", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[projectionRow])
			if err != nil {
				return operate.Fail("list projections", err)
			}
			found = capped(c, found, 10_000, "--tenant and --state choose")
			return show(c, found, []string{"TENANT", "FEED", "GENERATION", "ACTIVE", "STATE", "APPLIED", "REASON", "LEFT OUT", "DEFINITION", "MADE FOR"}, func(r projectionRow) []any {
				return []any{r.Tenant, r.Feed, r.Generation, r.Active, r.State, r.Sequence, dash(r.Reason), dash(r.Untouched), definitionCell(r), dash(r.Origin)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().StringVar(&state, "state", "", "live, catching-up, stalled or retired")
	return cmd
}

// definitionCell is what built a generation. It is pure.
func definitionCell(r projectionRow) string {
	switch {
	case r.Sequence == "0":
		return "-" // nothing has
	case r.Definition == "":
		return notKnown
	case r.Newest || r.Definition == consumer.DefinitionMixed:
		return r.Definition
	}
	return r.Definition + " (not the newest)"
}

func (c *cli) projectionsRetry() *cobra.Command {
	var execute bool
	p := stalled.Place{Consumer: "projector"}
	cmd := &cobra.Command{
		Use: "retry <tenant>", Short: "Let a stalled tenant go on with the event that it stalled at", Args: args("tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Tenant = args[0]
			return c.retry(cmd, p, execute)
		},
	}
	cmd.Flags().StringVar(&p.Feed, "feed", "", "only this one: main or control")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

func (c *cli) projectionsSkip() *cobra.Command {
	s := stalled.Skipping{Place: stalled.Place{Consumer: "projector"}}
	var by string
	var execute bool
	cmd := &cobra.Command{
		Use: "skip <tenant>", Short: "Pass over the one event that a tenant is stalled at", Args: args("tenant"),
		Long: `Pass over the one event that a tenant is stalled at. The read model then lacks what
that event says, also after a rebuild; the skip is recorded as an event. Without
--execute it shows which event that is, and --sequence names it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Tenant = args[0]
			return c.skip(cmd, s, by, execute)
		},
	}
	cmd.Flags().StringVar(&s.Feed, "feed", "", "only this one: main or control")
	bindSkip(cmd, &s, &by, &execute)
	return cmd
}
