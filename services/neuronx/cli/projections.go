package cli

import (
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/projector"
)

func (c *cli) projections() *cobra.Command {
	return group("projections", "Read models: list, retry, skip", c.projectionsList(), c.projectionsRetry(), c.projectionsSkip())
}

type projectionRow struct {
	Tenant     string `json:"tenant_id"`
	Generation int64  `json:"generation"`
	Active     bool   `json:"active"`
	State      string `json:"state"`
	Sequence   string `json:"sequence"`
	Reason     string `json:"reason,omitempty"`
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
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			rows, err := pool.Query(ctx, `SELECT p.tenant_id, p.generation, coalesce(a.generation = p.generation, false), p.state, p.sequence::text, p.reason
				FROM neuronx.progress p LEFT JOIN projection.active a ON a.tenant_id = p.tenant_id
				WHERE p.consumer = 'neuronx.projector' AND ($1 = '' OR p.tenant_id = $1) AND ($2 = '' OR p.state = $2)
				ORDER BY p.tenant_id, p.generation LIMIT 10000`, tenantID, state)
			if err != nil {
				return failed("list projections", err)
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[projectionRow])
			if err != nil {
				return failed("list projections", err)
			}
			return show(c, found, []string{"TENANT", "GENERATION", "ACTIVE", "STATE", "SEQUENCE", "REASON"}, func(r projectionRow) []any {
				return []any{r.Tenant, r.Generation, r.Active, r.State, r.Sequence, dash(r.Reason)}
			})
		},
	}
	cmd.Flags().StringVar(&tenantID, "tenant", "", "only this tenant's")
	cmd.Flags().StringVar(&state, "state", "", "live, catching-up, stalled or retired")
	return cmd
}

// changed shows the rows of a retry or skip as they were before.
func (c *cli) changed(verb string, rows []consumer.Row) error {
	out := make([]projectionRow, len(rows))
	for i, r := range rows {
		out[i] = projectionRow{Tenant: r.TenantID, Generation: r.Generation, State: string(r.State), Sequence: strconv.FormatInt(r.Sequence, 10), Reason: r.Reason}
	}
	return show(c, out, []string{"TENANT", "GENERATION", "STATE", "SEQUENCE", verb}, func(r projectionRow) []any {
		return []any{r.Tenant, r.Generation, r.State, r.Sequence, dash(r.Reason)}
	})
}

func notStalled(what, tenantID string, err error) error {
	if errors.Is(err, consumer.ErrNotStalled) {
		return failed(what, event.Refuse(event.CodeNotFound, "no projection of %s is stalled", tenantID).Hint("neuronx projections list --state stalled"))
	}
	return failed(what, err)
}

func (c *cli) projectionsRetry() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "retry <tenant>", Short: "Let a stalled tenant go on with the event that it stalled at", Args: args("tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			if !execute {
				rows, err := projector.List(ctx, pool, args[0], consumer.Stalled)
				if err == nil && len(rows) == 0 {
					err = consumer.ErrNotStalled
				}
				if err != nil {
					return notStalled("retry", args[0], err)
				}
				if err := c.changed("WOULD RETRY", rows); err != nil {
					return err
				}
				c.dryRun()
				return nil
			}
			rows, err := projector.Retry(ctx, pool, args[0])
			if err != nil {
				return notStalled("retry", args[0], err)
			}
			return c.changed("WAS STALLED BY", rows)
		},
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

func (c *cli) projectionsSkip() *cobra.Command {
	var opt projector.SkipOptions
	var execute bool
	cmd := &cobra.Command{
		Use: "skip <tenant>", Short: "Pass over the one event that a tenant is stalled at", Args: args("tenant"),
		Long: `Pass over the one event that a tenant is stalled at. The read model then lacks what
that event says, until it is rebuilt; the skip is recorded as an event.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required("reason", opt.Reason); err != nil {
				return err
			}
			opt.Tenant = args[0]
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			pool, err := c.pool(ctx)
			if err != nil {
				return err
			}
			if !execute {
				rows, err := projector.List(ctx, pool, args[0], consumer.Stalled)
				if err == nil && len(rows) == 0 {
					err = consumer.ErrNotStalled
				}
				if err != nil {
					return notStalled("skip", args[0], err)
				}
				if err := c.changed("WOULD SKIP THE EVENT AFTER", rows); err != nil {
					return err
				}
				c.dryRun()
				return nil
			}
			pub, err := c.publisher()
			if err != nil {
				return err
			}
			rows, err := projector.Skip(ctx, pool, pub, opt)
			if err != nil {
				return notStalled("skip", args[0], err)
			}
			return c.changed("WAS STALLED BY", rows)
		},
	}
	fs := cmd.Flags()
	fs.Int64Var(&opt.Generation, "generation", 0, "only this one; 0: every stalled one")
	fs.StringVar(&opt.Reason, "reason", "", "why; it stands in the log for ever")
	fs.StringVar(&opt.By, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}
