package cli

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// defaultLandingRate is the quota of a tenant that gets access for the first time: whoever has none can fill the brokers' disks.
const defaultLandingRate = 1 << 20

type accessFlags struct {
	rate                    int64
	renew, revoke, execute  bool
	reason, by              string
	rateGiven               bool
	tenant, topic, username string
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
		RunE: func(cmd *cobra.Command, args []string) error {
			f.tenant, f.rateGiven = args[0], cmd.Flags().Changed("rate")
			return c.kafkaAccess(cmd, f)
		},
	}
	fs := cmd.Flags()
	fs.Int64Var(&f.rate, "rate", 0, "bytes a second that its producers may send to one broker; 0: no limit (default: as it is, at first 1 MiB)")
	fs.BoolVar(&f.renew, "new-password", false, "give the user another password")
	fs.BoolVar(&f.revoke, "revoke", false, "take the access back")
	fs.StringVar(&f.reason, "reason", "", "why it is revoked, for the record")
	fs.StringVar(&f.by, "by", "", "who asked for it, for the record")
	fs.BoolVar(&f.execute, "execute", false, "do it")
	return cmd
}

func (c *cli) kafkaAccess(cmd *cobra.Command, f accessFlags) error {
	switch {
	case !event.ValidTenant(f.tenant):
		return usage("%q is not a tenant id", f.tenant).next("a tenant id is 1 to 63 of a-z, 0-9 and hyphen")
	case f.rate < 0:
		return usage("--rate must not be negative")
	case f.rate > maxBytesPerSecond:
		return usage("--rate must be at most %d bytes a second", int64(maxBytesPerSecond)).next("0 is no limit")
	case f.revoke && (f.renew || f.rateGiven):
		return usage("--revoke goes with neither --rate nor --new-password")
	case f.reason != "" && !f.revoke:
		return usage("--reason is for --revoke")
	}
	f.topic, f.username = kafka.LandingTopic(f.tenant), kafka.LandingUser(f.tenant)
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	adm, err := c.admin()
	if err != nil {
		return err
	}
	if err := c.checkTenant(ctx, f.tenant); err != nil {
		return err
	}
	want, err := c.landingAccess(ctx, adm, f)
	if err != nil {
		return err
	}
	plan, err := topology.PlanLanding(ctx, adm, want)
	if err != nil {
		return failed("look at the tenant's access", err).next("an administrator of the Kafka cluster has to run this")
	}
	if len(plan) == 0 {
		c.note("nothing to do: tenant %s has %s", f.tenant, map[bool]string{true: "no access", false: "that access already; --new-password gives it another password"}[f.revoke])
		return nil
	}
	if !f.execute {
		for _, ch := range plan {
			c.note("would %s %s: %s", ch.Action, ch.Name, ch.Detail)
		}
		c.dryRun()
		return nil
	}
	return c.changeAccess(ctx, f, want, plan)
}

// landingAccess is what is wanted: a rate that is not given stays as it is.
func (c *cli) landingAccess(ctx context.Context, adm *admin.Client, f accessFlags) (topology.LandingAccess, error) {
	l := topology.LandingAccess{Tenant: f.tenant, Rate: f.rate, Renew: f.renew, Revoke: f.revoke, Password: app.Secret(rand.Text())} // 130 bits
	if f.rateGiven || f.revoke {
		return l, nil
	}
	known, err := adm.HasUser(ctx, f.username)
	if err != nil {
		return l, failed("look at the tenant's user", err)
	}
	l.Rate = defaultLandingRate
	if known {
		if l.Rate, err = adm.ProducerRate(ctx, f.username); err != nil {
			return l, failed("look at the tenant's quota", err)
		}
	}
	return l, nil
}

// changeAccess records the change and then makes it. A tenant that does not exist is refused by the engine before anything is made.
func (c *cli) changeAccess(ctx context.Context, f accessFlags, want topology.LandingAccess, plan []topology.AccessChange) error {
	fresh := false
	for _, ch := range plan {
		fresh = fresh || ch.Action == topology.ActionPassword
	}
	typ, data := "tenant.kafka_access_granted", map[string]any{
		"topic": f.topic, "username": f.username, "rate_bytes": want.Rate, "password_set": fresh, "by": orNil(f.by),
	}
	if f.revoke {
		typ, data = "tenant.kafka_access_revoked", map[string]any{"topic": f.topic, "username": f.username, "reason": orNil(f.reason), "by": orNil(f.by)}
	}
	d, err := c.act(ctx, f.tenant, typ, "tenant/"+f.tenant, "", data)
	if err != nil {
		return err
	}
	if done, err := topology.Perform(ctx, plan); err != nil {
		return failed("change the tenant's access", err).next("%d of %d changes are made; run it again to go on (a password that was set but not shown: --new-password)", len(done), len(plan))
	}
	if f.revoke {
		return c.showDone(d, "tenant %s has no access to Kafka any more", f.tenant)
	}
	out := map[string]any{"tenant_id": f.tenant, "topic": f.topic, "username": f.username, "mechanism": app.SASLScram512, "rate_bytes": want.Rate, "sequence": d.Sequence}
	if fresh {
		out["password"] = want.Password.Reveal()
		c.note("this password is shown only once; it works now")
	}
	if c.format == formatJSON {
		return c.json(out)
	}
	printf(c.out, "topic      %s\nusername   %s\nmechanism  %s\n", f.topic, f.username, app.SASLScram512)
	if fresh {
		printf(c.out, "password   %s\n", want.Password.Reveal())
	}
	return nil
}
