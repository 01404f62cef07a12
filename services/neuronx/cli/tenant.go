package cli

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
)

func (c *cli) tenant() *cobra.Command {
	return group("tenant", "Tenants: create, list, suspend, resume, limit, time zone, access to Kafka",
		c.tenantCreate(), c.tenantList(), c.tenantSwitch("suspend", tenant.StatusSuspended, tenants.Suspend),
		c.tenantSwitch("resume", tenant.StatusActive, tenants.Resume), c.tenantLimits(), c.tenantZone(), c.tenantCRM(), c.tenantEffects(), c.tenantKafka())
}

func (c *cli) tenantCreate() *cobra.Command {
	var name string
	var execute bool
	cmd := &cobra.Command{
		Use: "create <tenant>", Short: "Create a tenant and wait until it can be used", Args: args("tenant"),
		Annotations: map[string]string{newTenant: "it is made"},
		Example:     "  neuronx tenant create acme --name 'Acme Inc.' --execute\n  neuronx tenant create acme --execute && neuronx key issue --tenant acme --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			id := args[0]
			if err := tenants.CheckNew(ctx, c.env, id); err != nil {
				return err
			}
			if !execute {
				return c.would("create tenant %s", id)
			}
			d, err := tenants.Create(cmd.Context(), c.env, actor(""), id, name)
			return c.showDone(d, err, "tenant %s created", id)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "the tenant's name, for people")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// showDone shows what a verb did, if it did not fail.
func (c *cli) showDone(d operate.Done, err error, format string, a ...any) error {
	if err != nil {
		return err
	}
	if c.format == formatJSON {
		return c.json(d)
	}
	printf(c.out, format+" (sequence %s)\n", append(a, d.Sequence)...)
	return nil
}

type tenantRow struct {
	Tenant string `json:"tenant_id"`
	Status string `json:"status"`
	Keys   int    `json:"keys"` // that work now
}

func (c *cli) tenantList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List tenants", Args: noArgs,
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			snap, err := tenants.Directory(ctx, c.env)
			if err != nil {
				return err
			}
			var rows []tenantRow
			for id, t := range snap {
				row := tenantRow{Tenant: id, Status: string(t.Status)}
				for _, k := range t.Keys {
					if tenants.KeyStatus(k, c.env.Now()) == "active" {
						row.Keys++
					}
				}
				rows = append(rows, row)
			}
			slices.SortFunc(rows, func(a, b tenantRow) int { return cmp.Compare(a.Tenant, b.Tenant) })
			return show(c, rows, []string{"TENANT", "STATUS", "KEYS"}, func(r tenantRow) []any { return []any{r.Tenant, r.Status, r.Keys} })
		}),
	}
}

func (c *cli) tenantSwitch(verb string, want tenant.Status, do func(context.Context, *operate.Env, operate.Principal, string, string) (operate.Done, error)) *cobra.Command {
	var reason string
	var execute bool
	cmd := &cobra.Command{
		Use: verb + " <tenant>", Short: map[string]string{
			"suspend": "Refuse a tenant's outside events", "resume": "Take a suspended tenant's events again",
		}[verb], Args: args("tenant"),
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			t, behind, err := tenants.Look(ctx, c.env, args[0])
			if err != nil {
				return err
			}
			switch {
			case t.Status == want && behind != "":
				// It may have been changed since: the event is recorded, whether or not it changes anything.
				c.note("the tables say that %s is %s, but they are not up to date: %s", args[0], want, behind)
				if !execute {
					c.dryRun()
					return nil
				}
			case t.Status == want:
				c.note("tenant %s is already %s", args[0], want)
				return nil
			case !execute:
				return c.would("%s tenant %s, which is %s", verb, args[0], t.Status)
			}
			d, err := do(cmd.Context(), c.env, actor(""), args[0], reason)
			return c.showDone(d, err, "tenant %s is %s", args[0], want)
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	return cmd
}

// tenantCRM is what connecting a CRM was called before accounts had verbs of their own.
func (c *cli) tenantCRM() *cobra.Command {
	cmd := c.crmConnect("connect-crm")
	cmd.Deprecated = "use `neuronx crm connect`"
	return cmd
}

func (c *cli) tenantEffects() *cobra.Command {
	var kind, mode string
	var ch change
	cmd := &cobra.Command{
		Use: "effects-mode <tenant>", Short: "Set what happens to a tenant's effects: off, record, send", Args: args("tenant"),
		Example: "  neuronx tenant effects-mode acme --mode record --reason 'holiday' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if err := cmp.Or(oneOf("mode", mode, "off", "record", "send"), oneOf("kind", kind, append([]string{"*"}, effectKinds()...)...)); err != nil {
				return err
			}
			if err := c.env.CheckTenant(ctx, args[0]); err != nil {
				return err
			}
			if !ch.execute {
				return c.would("set effects %s of %s to %s", kind, args[0], mode)
			}
			d, err := tenants.SetEffectsMode(cmd.Context(), c.env, actor(ch.by), args[0], kind, mode, ch.reason)
			return c.showDone(d, err, "effects %s of %s are now %s", kind, args[0], mode)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&kind, "kind", "*", "one kind, such as crm.note.add, or * for all")
	fs.StringVar(&mode, "mode", "", "off, record or send")
	ch.bind(fs)
	return cmd
}

// maxEventsPerSecond and maxBytesPerSecond bound what may be set; more is a slip of the finger.
const (
	maxEventsPerSecond = 1_000_000
	maxBytesPerSecond  = 1 << 40
)

type limitsRow struct {
	Tenant string `json:"tenant_id"`
	Events *int64 `json:"events_per_second"` // null: the default of the HTTP endpoint and the forwarder
	Bytes  *int64 `json:"bytes_per_second"`
}

func (c *cli) tenantLimits() *cobra.Command {
	var events, bytes int64
	var ch change
	cmd := &cobra.Command{
		Use: "limits <tenant>", Short: "Show or set how much a tenant may send a second", Args: args("tenant"),
		Long: `Show or set how much a tenant may send a second. Without a flag it shows the limits.
A limit that is not given stays as it is; 0 is the default of the process. The HTTP
endpoint applies a new limit within 10 seconds; each of its instances counts for itself.`,
		Example: "  neuronx tenant limits acme\n  neuronx tenant limits acme --events 500 --bytes 1048576 --reason 'import week' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if events < 0 || events > maxEventsPerSecond {
				return operate.Usage("--events must be 0 to %d", maxEventsPerSecond).Hint("0 is the default of the process; `neuronx tenant suspend` stops a tenant")
			}
			if bytes < 0 || bytes > maxBytesPerSecond {
				return operate.Usage("--bytes must be 0 to %d", int64(maxBytesPerSecond)).Hint("0 is the default of the process; `neuronx tenant suspend` stops a tenant")
			}
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
			case !ch.execute:
				return c.would("set %s to %s events/s and %s bytes/s", args[0], limitText(orDefault(want.EventsPerSecond)), limitText(orDefault(want.BytesPerSecond)))
			}
			d, err := tenants.SetLimits(cmd.Context(), c.env, actor(ch.by), args[0], want, ch.reason)
			return c.showDone(d, err, "tenant %s may send %s events/s and %s bytes/s",
				args[0], limitText(orDefault(want.EventsPerSecond)), limitText(orDefault(want.BytesPerSecond)))
		}),
	}
	fs := cmd.Flags()
	fs.Int64Var(&events, "events", 0, "events a second; 0: the default of the process")
	fs.Int64Var(&bytes, "bytes", 0, "bytes of bodies a second; 0: the default of the process")
	ch.bind(fs)
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
