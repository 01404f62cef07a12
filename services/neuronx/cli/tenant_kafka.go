package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/tenants"
)

// accessFlags are the flags of `tenant kafka-access`.
type accessFlags struct {
	rate       int64
	access     tenants.Access
	execute    bool
	reason, by string
}

func (c *cli) tenantKafka() *cobra.Command {
	var f accessFlags
	cmd := &cobra.Command{
		Use: "kafka-access <tenant>", Short: "Let a tenant's own producers write to its landing topic", Args: args("tenant"),
		Long: `Let a tenant's own producers write to its landing topic, neuronx.ingress.<tenant>, and
to nothing else: topic, user (SCRAM-SHA-512), rights and quota. The password is shown
once. What is there already stays; --rate changes the quota, --new-password the
password. --revoke takes all of it back but the topic, whose records are still
forwarded. An administrator of the Kafka cluster has to run it, because nobody else may
make users and rights. The tenant's stream records it before it is done.`,
		Example: "  neuronx tenant kafka-access acme --rate 2097152 --execute\n  neuronx tenant kafka-access acme --revoke --reason 'contract ended' --execute",
		RunE: c.within(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if f.access.Tenant = args[0]; cmd.Flags().Changed("rate") {
				f.access.Rate = &f.rate
			}
			return c.kafkaAccess(ctx, cmd, f)
		}),
	}
	fs := cmd.Flags()
	fs.Int64Var(&f.rate, "rate", 0, "bytes a second that its producers may send to one broker; 0: no limit (default: as it is, at first 1 MiB)")
	fs.BoolVar(&f.access.Renew, "new-password", false, "give the user another password")
	fs.BoolVar(&f.access.Revoke, "revoke", false, "take the access back")
	fs.StringVar(&f.reason, "reason", "", "why it is revoked, for the record")
	fs.StringVar(&f.by, "by", "", "who asked for it, for the record")
	fs.BoolVar(&f.execute, "execute", false, "do it")
	return cmd
}

func (c *cli) kafkaAccess(ctx context.Context, cmd *cobra.Command, f accessFlags) error {
	a := f.access
	switch {
	case !event.ValidTenant(a.Tenant):
		return operate.Usage("%q is not a tenant id", a.Tenant).Hint("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	case f.rate < 0:
		return operate.Usage("--rate must not be negative")
	case f.rate > maxBytesPerSecond:
		return operate.Usage("--rate must be at most %d bytes a second", int64(maxBytesPerSecond)).Hint("0 is no limit")
	case a.Revoke && (a.Renew || a.Rate != nil):
		return operate.Usage("--revoke goes with neither --rate nor --new-password")
	case f.reason != "" && !a.Revoke:
		return operate.Usage("--reason is for --revoke")
	}
	plan, err := tenants.PlanAccess(ctx, c.env, a)
	if err != nil {
		return err
	}
	if len(plan.Changes) == 0 {
		c.note("nothing to do: tenant %s has %s", a.Tenant, map[bool]string{true: "no access", false: "that access already; --new-password gives it another password"}[a.Revoke])
		return nil
	}
	if !f.execute {
		for _, ch := range plan.Changes {
			c.note("would %s %s: %s", ch.Action, ch.Name, ch.Detail)
		}
		c.dryRun()
		return nil
	}
	d, err := tenants.ChangeAccess(cmd.Context(), c.env, actor(f.by), plan, f.reason)
	if err != nil {
		return err
	}
	if a.Revoke {
		return c.showDone(d, nil, "tenant %s has no access to Kafka any more", a.Tenant)
	}
	return c.showAccess(plan, d)
}

// showAccess shows what the tenant's producers need; a password only when it was set just now.
func (c *cli) showAccess(p tenants.AccessPlan, d operate.Done) error {
	topic, username := kafka.LandingTopic(p.Want.Tenant), kafka.LandingUser(p.Want.Tenant)
	out := map[string]any{"tenant_id": p.Want.Tenant, "topic": topic, "username": username, "mechanism": app.SASLScram512, "rate_bytes": p.Want.Rate, "sequence": d.Sequence}
	if p.Fresh {
		out["password"] = p.Want.Password.Reveal()
		c.note("this password is shown only once; it works now")
	}
	if c.format == formatJSON {
		_ = c.json(out) // looked at below
	} else {
		printf(c.out, "topic      %s\nusername   %s\nmechanism  %s\n", topic, username, app.SASLScram512)
		if p.Fresh {
			printf(c.out, "password   %s\n", p.Want.Password.Reveal())
		}
	}
	if lost := c.out.Err(); lost != nil && p.Fresh {
		return operate.Partial("the access is there, and its password could not be shown").Because("%v", lost).
			Hint("nobody has it: neuronx tenant kafka-access %s --new-password --execute", p.Want.Tenant)
	}
	return c.written()
}
