package topology

import (
	"context"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Actions of an AccessChange besides ActionCreate and ActionAlter.
const (
	ActionPassword = "set password"
	ActionGrant    = "grant"
	ActionWithdraw = "withdraw" // a right that is not declared
	ActionDelete   = "delete"
)

// AccessChange is one thing that is done about users and rights, or would be.
type AccessChange struct {
	Name   string // of the user or topic
	Action string
	Detail string

	do func(context.Context) error
}

// ProvisionUsers gives the declared users their passwords and exactly the declared rights. Users without a password in the map keep what
// they have; one that has none and gets none can't log in. It is idempotent; without execute it only says what it would do. An
// administrator of the cluster has to ask.
func ProvisionUsers(ctx context.Context, cfg kafka.Config, passwords map[string]app.Secret, execute bool) ([]AccessChange, error) {
	users, err := Users()
	if err != nil {
		return nil, err
	}
	a, err := admin.New(cfg)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	var changes []AccessChange
	for _, u := range users {
		want, err := u.Grants()
		if err != nil {
			return nil, fmt.Errorf("kafka: access.yaml: %w", err)
		}
		have, err := a.Grants(ctx, u.Name)
		if err != nil {
			return nil, err
		}
		changes = append(changes, planGrants(a, want, have)...)
		if pw, ok := passwords[u.Name]; ok {
			changes = append(changes, AccessChange{Name: u.Name, Action: ActionPassword, Detail: "SCRAM-SHA-512",
				do: func(ctx context.Context) error { return a.SetPassword(ctx, u.Name, pw) }})
		}
	}
	for name := range passwords {
		if !slices.ContainsFunc(users, func(u User) bool { return u.Name == name }) {
			return nil, fmt.Errorf("kafka: there is a password for %s, which is no declared user", name)
		}
	}
	if !execute {
		return changes, nil
	}
	return Perform(ctx, changes)
}

// planGrants are one user's changes: what is missing is granted before what is too much is withdrawn.
func planGrants(a *admin.Client, want, have []admin.Grant) []AccessChange {
	var out []AccessChange
	for _, g := range want {
		if !slices.Contains(have, g) {
			out = append(out, AccessChange{Name: g.User, Action: ActionGrant, Detail: g.String(), do: func(ctx context.Context) error { return a.Grant(ctx, g) }})
		}
	}
	for _, g := range have {
		if !slices.Contains(want, g) {
			out = append(out, AccessChange{Name: g.User, Action: ActionWithdraw, Detail: g.String(), do: func(ctx context.Context) error { return a.Withdraw(ctx, g) }})
		}
	}
	return out
}

// LandingAccess is what is to be true of a tenant's own access to Kafka.
type LandingAccess struct {
	Tenant   string
	Rate     int64      // bytes a second that its producers may send to one broker; 0: no limit of its own
	Password app.Secret // given to the user when it has none, and always when Renew is set
	Renew    bool
	Revoke   bool // nothing of it: the topic and what it holds stay
}

// PlanLanding says what ApplyLanding would change. An empty plan means that it is so already.
func PlanLanding(ctx context.Context, a *admin.Client, l LandingAccess) ([]AccessChange, error) {
	user, topic := kafka.LandingUser(l.Tenant), kafka.LandingTopic(l.Tenant)
	have, err := a.Grants(ctx, user)
	if err != nil {
		return nil, err
	}
	rate, err := a.ProducerRate(ctx, user)
	if err != nil {
		return nil, err
	}
	known, err := a.HasUser(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []AccessChange
	add := func(name, action, detail string, do func(context.Context) error) {
		out = append(out, AccessChange{Name: name, Action: action, Detail: detail, do: do})
	}
	if l.Revoke {
		// Rights first: they count at once, also on connections that are open.
		out = planGrants(a, nil, have)
		if known {
			add(user, ActionDelete, "its password", func(ctx context.Context) error { return a.DeleteUser(ctx, user) })
		}
		if rate != 0 {
			add(user, ActionDelete, "its quota", func(ctx context.Context) error { return a.SetProducerRate(ctx, user, 0) })
		}
		return out, nil
	}
	landing, err := planLandingTopic(ctx, a, topic)
	if err != nil {
		return nil, err
	}
	out = append(out, landing...)
	if rate != l.Rate {
		detail := "no quota"
		if l.Rate != 0 {
			detail = fmt.Sprintf("%s=%d bytes a second and broker", admin.ProducerByteRate, l.Rate)
		}
		add(user, ActionAlter, detail, func(ctx context.Context) error { return a.SetProducerRate(ctx, user, l.Rate) })
	}
	out = append(out, planGrants(a, LandingGrants(l.Tenant), have)...)
	if !known || l.Renew {
		add(user, ActionPassword, "SCRAM-SHA-512", func(ctx context.Context) error { return a.SetPassword(ctx, user, l.Password) })
	}
	return out, nil
}

// Perform does planned changes in order and returns those that were done. Doing them again does no harm.
func Perform(ctx context.Context, changes []AccessChange) ([]AccessChange, error) {
	for i, c := range changes {
		if err := c.do(ctx); err != nil {
			return changes[:i], err
		}
	}
	return changes, nil
}

// planLandingTopic makes the topic like ingress, with one partition: a tenant's records keep their order.
func planLandingTopic(ctx context.Context, a *admin.Client, topic string) ([]AccessChange, error) {
	declared, err := Topics()
	if err != nil {
		return nil, err
	}
	have, err := readTopics(ctx, a, kafka.TopicIngress, topic)
	if err != nil {
		return nil, err
	}
	ingress, ok := have.topics[kafka.TopicIngress]
	if !ok {
		return nil, fmt.Errorf("kafka: topic %s does not exist; run `neuronx provision --execute`", kafka.TopicIngress)
	}
	i := slices.IndexFunc(declared, func(d Topic) bool { return d.Name == kafka.TopicIngress })
	d := declared[i]
	d.Name, d.Partitions = topic, "one"
	opt := Options{ReplicationFactor: ingress.ReplicationFactor, Laptop: have.configs[kafka.TopicIngress]["min.insync.replicas"] == "1"}
	changes := planTopics([]Topic{d}, have, opt)
	if err := refused(changes); err != nil {
		return nil, err
	}
	out := make([]AccessChange, len(changes))
	for i, c := range changes {
		out[i] = AccessChange{Name: c.Topic, Action: c.Action, Detail: c.Detail, do: func(ctx context.Context) error { return apply(ctx, a, c, opt) }}
	}
	return out, nil
}
