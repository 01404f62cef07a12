package cli

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/stalled"
	"github.com/neuronx/engine/services/projector"
)

func (c *cli) projections() *cobra.Command {
	return group("projections", "Read models: list, retry, skip", c.projectionsList(), c.projectionsRetry(), c.projectionsSkip())
}

func (c *cli) projectionsList() *cobra.Command {
	var tenantID, state string
	cmd := &cobra.Command{
		Use: "list", Short: "List the read models of tenants and how far they are", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			if err := oneOf("state", state, "", "live", "catching-up", "stalled", "retired"); err != nil {
				return err
			}
			found, err := operate.Ask(ctx, c.env, "list projections", func(pool *pgxpool.Pool) ([]projector.Generation, error) {
				return projector.Generations(ctx, pool, tenantID, consumer.State(state), 10_001)
			})
			if err != nil {
				return err
			}
			found = capped(c, found, 10_000, "--tenant and --state choose")
			return show(c, found, []string{"TENANT", "FEED", "GENERATION", "ACTIVE", "STATE", "APPLIED", "REASON", "LEFT OUT", "DEFINITION", "MADE FOR"}, func(r projector.Generation) []any {
				return []any{r.Tenant, r.Feed, r.Generation, r.Active, r.State, r.Sequence, dash(r.Reason), dash(r.Untouched), definitionCell(r), dash(r.Origin)}
			})
		}),
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().StringVar(&state, "state", "", "live, catching-up, stalled or retired")
	return cmd
}

// definitionCell is what built a generation. It is pure.
func definitionCell(r projector.Generation) string {
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
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			p.Tenant = args[0]
			return c.retry(ctx, p, execute)
		}),
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
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, args []string) error {
			s.Tenant = args[0]
			return c.skip(ctx, s, by, execute)
		}),
	}
	cmd.Flags().StringVar(&s.Feed, "feed", "", "only this one: main or control")
	bindSkip(cmd, &s, &by, &execute)
	return cmd
}
