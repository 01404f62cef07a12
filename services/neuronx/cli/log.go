package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/reseed"
)

func (c *cli) logReseed() *cobra.Command {
	var o reseed.Options
	var fromArchive bool
	var adminURL string
	cmd := &cobra.Command{
		Use: "reseed", Short: "Rebuild the log from the archive, after Kafka was lost", Args: noArgs,
		Long: `Rebuild the log and the sequencer's state from the archive, after Kafka was wiped
or its log torn while Postgres lives. Every service must be stopped, and the topics
provisioned again and empty; records that producers have put into neuronx.ingress
since may stay, they are judged afterwards.

Events keep their sequences, positions and ids. What the archive lacks is gone:
records of the old ingress that were not admitted, and events that were admitted
and not archived. A producer that sends such an event again gets it admitted, and
GET /v1/events/{id} says that it is not there.

A run that was interrupted is started again and goes on.`,
		Example: "  neuronx log reseed --from-archive\n  neuronx log reseed --from-archive --execute",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !fromArchive {
				return operate.Usage("--from-archive is required").Hint("the archive is the only source there is")
			}
			var err error
			if adminURL == "" {
				if adminURL, err = c.env.Need(operate.EnvAdmin, "a Postgres role that sees all rows"); err != nil {
					return err
				}
			}
			if err := c.env.PostgresListening(operate.EnvAdmin, adminURL); err != nil {
				return err
			}
			if err := knownTenants(cmd.Context(), adminURL, o.Tenants); err != nil {
				return err
			}
			o.AdminURL, o.Log, o.Progress = app.Secret(adminURL), c.log(), c.note
			if o.Kafka, err = c.env.Kafka(); err != nil {
				return err
			}
			if o.Registry, err = c.env.Registry(); err != nil {
				return err
			}
			path, err := c.env.Need(operate.EnvKeys, "the engine's signing key")
			if err != nil {
				return err
			}
			if o.Keys, err = event.LoadKeyring(path); err != nil {
				return operate.Fail("read the signing keys", err)
			}
			report, err := reseed.Run(cmd.Context(), o)
			var refused *reseed.Refused
			switch {
			case errors.As(err, &refused):
				return operate.Unsafe("the log is not rebuilt").Because("%s", refused.Error()).Hint("see docs/operations.md, \"Kafka is lost\"")
			case err != nil:
				return operate.Fail("rebuild the log", err).Hint("run it again when the cause is gone: it goes on where it stopped")
			}
			return c.showReseed(report, o.Execute)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&fromArchive, "from-archive", false, "yes, from the archive")
	fs.StringSliceVar(&o.Tenants, "tenant", nil, "only these tenants; the others are left out of the new log for good")
	fs.DurationVar(&o.KeyWindow, "key-window", 24*time.Hour, "how long idempotency keys are remembered: as neuronx-ingest has it")
	fs.BoolVar(&o.Execute, "execute", false, "do it")
	fs.StringVar(&adminURL, "postgres-admin-url", "", "Postgres URL of a superuser, or of a role with BYPASSRLS in neuronx_owner ["+operate.EnvAdmin+"]")
	return cmd
}

// knownTenants refuses a tenant that is not there: without it the others would be rebuilt, and it would be left out for good.
func knownTenants(ctx context.Context, adminURL string, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	pool, err := postgres.Open(ctx, adminURL, postgres.AllowSuperuser(), postgres.Application("neuronx-cli"), postgres.MaxConns(1))
	if err != nil {
		return operate.Fail("look up the tenants", err)
	}
	defer pool.Close()
	for _, t := range tenants {
		if err := operate.KnownTenant(ctx, pool, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) showReseed(r *reseed.Report, executed bool) error {
	if r.Done {
		c.note("this log was built from the archive before; there is nothing to do")
	}
	if c.format == formatJSON {
		return c.json(r)
	}
	if err := show(c, r.Partitions, []string{"PARTITION", "TENANTS", "EVENTS", "LOG", "FOLLOWS", "KEYS"}, func(p reseed.Partition) []any {
		return []any{p.Partition, p.Tenants, p.Events, p.LogID, dash(p.Predecessor), p.Keys}
	}); err != nil {
		return err
	}
	if len(r.Lost) > 0 {
		printf(c.out, "\n")
		if err := show(c, r.Lost, []string{"AHEAD OF THE ARCHIVE", "TENANT", "ARCHIVED", "APPLIED", "EVENTS LOST"}, func(l reseed.Lost) []any {
			return []any{l.Consumer, l.Tenant, l.Archived, l.Applied, l.Applied - l.Archived}
		}); err != nil {
			return err
		}
	}
	if len(r.LeftOut) > 0 {
		c.note("left out, and refused at the door from now on: %s", strings.Join(r.LeftOut, ", "))
	}
	c.note("lost besides: whatever the old ingress held and nobody had archived; producers that send it again get it admitted")
	if !executed {
		c.dryRun()
		return nil
	}
	c.note("%s", fmt.Sprintf("%d derived events of the lost tail are sent again, %d that waited had lost their cause, "+
		"%d effects of lost commands are set aside (neuronx effects list)", r.Again, r.Dropped, r.Aside))
	return nil
}
