package cli

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

func (c *cli) outbox() *cobra.Command {
	return group("outbox", "Derived events on their way to the log", c.outboxMend())
}

type mendRow struct {
	Tenant  string `json:"tenant_id"`
	Deriver string `json:"deriver"`
	Number  int64  `json:"number"`
	Action  string `json:"action"` // missing | mended | there (somebody else was faster) | jump | closed
}

func (c *cli) outboxMend() *cobra.Command {
	var deriver string
	var execute bool
	cmd := &cobra.Command{
		Use: "mend <tenant>", Short: "Put placeholders under the numbers that a deriver's outbox lacks", Args: args("tenant"),
		Long: `Put placeholders under the numbers that a deriver's outbox lacks. The sequencer takes a
deriver's events by number, without a gap; a row that somebody deleted stops that
deriver for its tenant. A placeholder is refused (deriver_forbidden) and uses its
number up, so that what waits behind it goes on. What stood there is gone. More than 10,000
missing numbers in a row are a jump: somebody raised the deriver's number. It is closed:
what waits behind it, and what is derived from now on, follows the number before it.`,
		Example: "  neuronx outbox mend acme --deriver rules\n  neuronx outbox mend acme --deriver rules --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("deriver", deriver, event.Derivers()...); err != nil {
				return err
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			path, err := c.need(envKeys, "the engine's signing key")
			if err != nil {
				return err
			}
			keys, err := event.LoadKeyring(path)
			if err != nil {
				return failed("read the signing keys", err)
			}
			cfg, err := c.kafka()
			if err != nil {
				return err
			}
			admin, err := c.need(envAdmin, "a Postgres role that may write every outbox")
			if err != nil {
				return err
			}
			if err := c.postgresListening(envAdmin, admin); err != nil {
				return err
			}
			pool, err := postgres.Open(ctx, admin, postgres.Application("neuronx-cli"), postgres.AllowSuperuser(), postgres.MaxConns(1))
			if err != nil {
				return failed("connect to Postgres", err)
			}
			c.closers = append(c.closers, pool.Close)
			if err := knownTenant(ctx, pool, args[0]); err != nil {
				return err
			}
			box := outbox.New(deriver, keys)
			last, err := statelog.LastNumbers(ctx, cfg, keys, args[0])
			if err != nil {
				return failed("read the sequencer's state", err)
			}
			read := func() (int64, error) {
				last, err := statelog.LastNumbers(ctx, cfg, keys, args[0])
				return last[deriver], err
			}
			jump, err := closeJump(ctx, pool, box, args[0], read, execute)
			if err != nil {
				return failed("mend the outbox", err)
			}
			gaps, err := box.Missing(ctx, pool, args[0], last[deriver])
			if err != nil {
				return failed("look at the outbox", err)
			}
			// Again: the number of a row that left the outbox in between is used up by now.
			if last, err = statelog.LastNumbers(ctx, cfg, keys, args[0]); err != nil {
				return failed("read the sequencer's state", err)
			}
			gaps = slices.DeleteFunc(gaps, func(n int64) bool { return n <= last[deriver] })
			var mended []int64
			if execute && len(gaps) > 0 {
				err := pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) (err error) { mended, err = box.Mend(ctx, tx, args[0], gaps); return err })
				if err != nil {
					return failed("mend the outbox", err)
				}
			}
			rows := append(jump, mendRows(args[0], deriver, gaps, mended, execute)...)
			if err := show(c, rows, []string{"TENANT", "DERIVER", "NUMBER", "ACTION"}, func(r mendRow) []any { return []any{r.Tenant, r.Deriver, r.Number, r.Action} }); err != nil {
				return err
			}
			if len(rows) > 0 && !execute {
				c.note("%s missing and %s behind %d, which the sequencer has; repeat with --execute", plural(len(gaps), "number"), plural(len(jump), "jump"), last[deriver])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&deriver, "deriver", "", "rules, gohighlevel or deadletter")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// mendRows says what became of each missing number. It is pure.
func mendRows(tenant, deriver string, gaps, mended []int64, execute bool) (rows []mendRow) {
	for _, n := range gaps {
		action := "missing"
		switch {
		case slices.Contains(mended, n):
			action = "mended"
		case execute:
			action = "there"
		}
		rows = append(rows, mendRow{tenant, deriver, n, action})
	}
	return rows
}

// closeJump finds the first jump in a deriver's numbers behind those that the sequencer has, and closes it and those behind it if execute.
// last reads the sequencer's number. It is read again after the look: what left the outbox in between is no jump.
func closeJump(ctx context.Context, pool *pgxpool.Pool, box *outbox.Outbox, tenant string, last func() (int64, error), execute bool) ([]mendRow, error) {
	before, err := last()
	if err != nil {
		return nil, err
	}
	after, found, err := box.Jump(ctx, pool, tenant, before)
	if err != nil || !found {
		return nil, err
	}
	if now, err := last(); err != nil || now > after {
		return nil, err
	}
	action := "jump"
	if execute {
		action = "closed"
		err = pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) error {
			_, _, err := box.Renumber(ctx, tx, tenant, after, func(*event.Event) (bool, error) { return true, nil })
			return err
		})
	}
	return []mendRow{{tenant, box.Deriver(), after + 1, action}}, err
}
