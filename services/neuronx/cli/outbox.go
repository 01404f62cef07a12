package cli

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

func (c *cli) outbox() *cobra.Command {
	return group("outbox", "Derived events on their way to the log", c.outboxMend())
}

type mendRow struct {
	Tenant  string `json:"tenant_id"`
	Deriver string `json:"deriver"`
	Number  int64  `json:"number"`
	Action  string `json:"action"` // missing | mended
}

func (c *cli) outboxMend() *cobra.Command {
	var deriver string
	var execute bool
	cmd := &cobra.Command{
		Use: "mend <tenant>", Short: "Put placeholders under the numbers that a deriver's outbox lacks", Args: args("tenant"),
		Long: `Put placeholders under the numbers that a deriver's outbox lacks. The sequencer takes a
deriver's events by number, without a gap; a row that somebody deleted stops that
deriver for its tenant. A placeholder is refused (deriver_forbidden) and uses its
number up, so that what waits behind it goes on. What stood there is gone.`,
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
			pool, err := postgres.Open(ctx, admin, postgres.Application("neuronx-cli"), postgres.AllowSuperuser(), postgres.MaxConns(1))
			if err != nil {
				return failed("connect to Postgres", err)
			}
			c.closers = append(c.closers, pool.Close)
			box := outbox.New(deriver, keys)
			last, err := sequencer.LastNumbers(ctx, cfg, keys, args[0])
			if err != nil {
				return failed("read the sequencer's state", err)
			}
			gaps, err := box.Missing(ctx, pool, args[0], last[deriver])
			if err != nil {
				return failed("look at the outbox", err)
			}
			// Again: the number of a row that left the outbox in between is used up by now.
			if last, err = sequencer.LastNumbers(ctx, cfg, keys, args[0]); err != nil {
				return failed("read the sequencer's state", err)
			}
			gaps = slices.DeleteFunc(gaps, func(n int64) bool { return n <= last[deriver] })
			action := "missing"
			if execute && len(gaps) > 0 {
				if err := pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) error { return box.Mend(ctx, tx, args[0], gaps) }); err != nil {
					return failed("mend the outbox", err)
				}
				action = "mended"
			}
			rows := make([]mendRow, len(gaps))
			for i, n := range gaps {
				rows[i] = mendRow{args[0], deriver, n, action}
			}
			if err := show(c, rows, []string{"TENANT", "DERIVER", "NUMBER", "ACTION"}, func(r mendRow) []any { return []any{r.Tenant, r.Deriver, r.Number, r.Action} }); err != nil {
				return err
			}
			if len(gaps) > 0 && !execute {
				c.note("%s missing behind %d, which the sequencer has; repeat with --execute", plural(len(gaps), "number"), last[deriver])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&deriver, "deriver", "", "rules, gohighlevel or deadletter")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}
