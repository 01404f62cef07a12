package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/logrepair"
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
			o.AdminURL = app.Secret(adminURL)
			report, err := logrepair.Reseed(cmd.Context(), c.env, o)
			if err != nil {
				return err
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
		c.note("left out, and refused from now on: %s", strings.Join(r.LeftOut, ", "))
	}
	c.note("lost besides: what the old ingress held and was not archived; producers that send it again get it admitted")
	if !executed {
		c.dryRun()
		return nil
	}
	c.note("%s", fmt.Sprintf("%d derived events of the lost tail are sent again, %d that waited had lost their cause, "+
		"%d effects of lost commands are set aside (neuronx effects list)", r.Again, r.Dropped, r.Aside))
	return nil
}

func (c *cli) logCmd() *cobra.Command {
	return group("log", "The log itself", c.logHanging(), c.logReseed())
}

func (c *cli) logHanging() *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "hanging", Short: "Find transactions that nobody will end, and end them", Args: noArgs,
		Long: `Find hanging transactions (KIP-664) on the engine's topics and on its groups' offsets:
open ones that their coordinator does not know, or knows to be over. Readers of such a
partition wait for ever. With --execute they are ended as their coordinator had decided,
by its own log (__transaction_state): committed or aborted. kafka-transactions.sh abort
always aborts, which tears a transaction that was committed elsewhere. The sequencer
does the same by itself on its own topics where its Kafka user may.`,
		Example: "  neuronx log hanging\n  neuronx log hanging --execute",
		RunE: c.within(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			h, err := logrepair.EndHanging(ctx, c.env, execute)
			if err != nil {
				return err
			}
			if err := show(c, h.Found, []string{"TOPIC", "PARTITION", "START OFFSET", "TRANSACTIONAL ID", "LAST WRITE", "REASON", "OUTCOME", "ENDED"}, func(r logrepair.HangingTxn) []any {
				return []any{r.Topic, r.Partition, r.StartOffset, dash(r.TransactionalID), stamp(r.LastWrite), r.Reason, r.Outcome, r.Ended}
			}); err != nil {
				return err
			}
			if len(h.Hidden) > 0 {
				printf(c.err, "not looked at, as this Kafka user may not see them or they are missing: %s\n", strings.Join(h.Hidden, ", "))
			}
			if h.Failed == nil && len(h.Found) > 0 && !execute {
				c.dryRun()
			}
			return h.Failed
		}),
	}
	cmd.Flags().BoolVar(&execute, "execute", false, "end them")
	return cmd
}
