package tenants

import (
	"context"
	"crypto/rand"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// defaultLandingRate is the quota of a tenant that gets access for the first time, in bytes a second: a tenant without one can fill the brokers' disks.
const defaultLandingRate = 1 << 20

// Access is what is wanted of a tenant's access to its landing topic in Kafka.
type Access struct {
	Tenant string
	Rate   *int64 // bytes a second that its producers may send to one broker, 0 for no limit; nil: as it is, at first 1 MiB
	Renew  bool   // give the user another password
	Revoke bool   // take everything back but the topic
}

// AccessPlan is what is to change for an Access.
type AccessPlan struct {
	Changes []topology.AccessChange // none: it is so already
	Want    topology.LandingAccess  // with the password that a new user gets
	Fresh   bool                    // the password will be set
}

// PlanAccess looks at a tenant's access, and says what is to change. It takes an administrator of the Kafka cluster.
func PlanAccess(ctx context.Context, env *operate.Env, a Access) (AccessPlan, error) {
	adm, err := env.Admin()
	if err != nil {
		return AccessPlan{}, err
	}
	if err := env.CheckTenant(ctx, a.Tenant); err != nil {
		return AccessPlan{}, err
	}
	want, err := landingAccess(ctx, adm, a)
	if err != nil {
		return AccessPlan{}, err
	}
	p := AccessPlan{Want: want}
	if p.Changes, err = topology.PlanLanding(ctx, adm, want); err != nil {
		return AccessPlan{}, operate.Fail("look at the tenant's access", err).Hint("an administrator of the Kafka cluster has to run this")
	}
	for _, ch := range p.Changes {
		p.Fresh = p.Fresh || ch.Action == topology.ActionPassword
	}
	return p, nil
}

// landingAccess is what is wanted: a rate that is not given stays as it is.
func landingAccess(ctx context.Context, adm *admin.Client, a Access) (topology.LandingAccess, error) {
	l := topology.LandingAccess{Tenant: a.Tenant, Renew: a.Renew, Revoke: a.Revoke, Password: app.Secret(rand.Text())} // 130 bits
	if a.Rate != nil {
		l.Rate = *a.Rate
	}
	if a.Rate != nil || a.Revoke {
		return l, nil
	}
	user := kafka.LandingUser(a.Tenant)
	known, err := adm.HasUser(ctx, user)
	if err != nil {
		return l, operate.Fail("look at the tenant's user", err)
	}
	l.Rate = defaultLandingRate
	if known {
		if l.Rate, err = adm.ProducerRate(ctx, user); err != nil {
			return l, operate.Fail("look at the tenant's quota", err)
		}
	}
	return l, nil
}

// ChangeAccess records a plan in the tenant's stream and then carries it out: a tenant that does not exist is refused by the engine before
// anything is made. reason is recorded of a revocation.
func ChangeAccess(ctx context.Context, env *operate.Env, who operate.Principal, p AccessPlan, reason string) (operate.Done, error) {
	topic, user := kafka.LandingTopic(p.Want.Tenant), kafka.LandingUser(p.Want.Tenant)
	typ, data := "tenant.kafka_access_granted", map[string]any{
		"topic": topic, "username": user, "rate_bytes": p.Want.Rate, "password_set": p.Fresh, "by": who.By(),
	}
	if p.Want.Revoke {
		typ, data = "tenant.kafka_access_revoked", map[string]any{"topic": topic, "username": user, "reason": operate.OrNil(reason), "by": who.By()}
	}
	d, err := act(ctx, env, who, p.Want.Tenant, typ, data)
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, env.Timeout)
	defer cancel()
	if done, err := topology.Perform(ctx, p.Changes); err != nil {
		return d, operate.Fail("change the tenant's access", err).Hint("%d of %d changes are made; run it again to go on (a password that was set but not shown: --new-password)", len(done), len(p.Changes))
	}
	return d, nil
}
