package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
)

// maxEventsPerSecond and maxBytesPerSecond bound what may be set; more is a slip of the finger.
const (
	maxEventsPerSecond = 1_000_000
	maxBytesPerSecond  = 1 << 40
)

type limitsRow struct {
	Tenant string `json:"tenant_id"`
	Events *int64 `json:"events_per_second"` // null: the doors' default
	Bytes  *int64 `json:"bytes_per_second"`
}

func (c *cli) tenantLimits() *cobra.Command {
	var events, bytes int64
	var reason, by string
	var execute bool
	cmd := &cobra.Command{
		Use: "limits <tenant>", Short: "Show or set how much a tenant may send a second", Args: args("tenant"),
		Long: `Show or set how much a tenant may send a second. Without a flag it shows the limits.
A limit that is not given stays as it is; 0 is the default of the doors. The HTTP
door goes by a new limit within 10 seconds; each of its instances counts for itself.`,
		Example: "  neuronx tenant limits acme\n  neuronx tenant limits acme --events 500 --bytes 1048576 --reason 'import week' --execute",
		RunE: func(cmd *cobra.Command, args []string) error {
			if events < 0 || events > maxEventsPerSecond {
				return operate.Usage("--events must be 0 to %d", maxEventsPerSecond).Hint("0 is the default of the doors; `neuronx tenant suspend` stops a tenant")
			}
			if bytes < 0 || bytes > maxBytesPerSecond {
				return operate.Usage("--bytes must be 0 to %d", int64(maxBytesPerSecond)).Hint("0 is the default of the doors; `neuronx tenant suspend` stops a tenant")
			}
			ctx, cancel := c.bounded(cmd)
			defer cancel()
			t, behind, err := tenants.Look(ctx, c.env, args[0])
			if err != nil {
				return err
			}
			if behind != "" {
				c.note("the limits of %s are not up to date: %s", args[0], behind)
			}
			want := t.Limits
			if cmd.Flags().Changed("events") {
				want.EventsPerSecond = events
			}
			if cmd.Flags().Changed("bytes") {
				want.BytesPerSecond = bytes
			}
			switch {
			case !cmd.Flags().Changed("events") && !cmd.Flags().Changed("bytes"):
				return show(c, []limitsRow{{args[0], orDefault(t.Limits.EventsPerSecond), orDefault(t.Limits.BytesPerSecond)}},
					[]string{"TENANT", "EVENTS/S", "BYTES/S"}, func(r limitsRow) []any { return []any{r.Tenant, limitText(r.Events), limitText(r.Bytes)} })
			case want == t.Limits && behind == "":
				c.note("these are the limits of %s already", args[0])
				return nil
			case !execute:
				c.note("would set %s to %s events/s and %s bytes/s", args[0], limitText(orDefault(want.EventsPerSecond)), limitText(orDefault(want.BytesPerSecond)))
				c.dryRun()
				return nil
			}
			d, err := tenants.SetLimits(cmd.Context(), c.env, actor(by), args[0], want, reason)
			if err != nil {
				return err
			}
			return c.showDone(d, "tenant %s may send %s events/s and %s bytes/s",
				args[0], limitText(orDefault(want.EventsPerSecond)), limitText(orDefault(want.BytesPerSecond)))
		},
	}
	fs := cmd.Flags()
	fs.Int64Var(&events, "events", 0, "events a second; 0: the default of the doors")
	fs.Int64Var(&bytes, "bytes", 0, "bytes of bodies a second; 0: the default of the doors")
	fs.StringVar(&reason, "reason", "", "why, for the record")
	fs.StringVar(&by, "by", "", "who, for the record")
	fs.BoolVar(&execute, "execute", false, "do it")
	return cmd
}

func orDefault(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

func limitText(n *int64) string {
	if n == nil {
		return "default"
	}
	return strconv.FormatInt(*n, 10)
}
