package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/archiver"
	"github.com/neuronx/engine/services/projector"
	"github.com/neuronx/engine/services/rules"
)

// Options say where to provision and what. A part whose address is empty is left out.
type Options struct {
	Kafka     kafka.Config // no brokers: no topics
	Topics    topology.Options
	AdminURL  app.Secret        // a Postgres superuser or a role that may create roles; empty: no tables
	Passwords map[string]string // role → password to set; a role that is not named keeps what it has
	Secrets   string            // folder of keys, passwords and URLs, made where they are missing; its passwords are set, not Passwords
	Users     bool              // make the engine's users in Kafka too, with passwords kept in Secrets and the rights of access.yaml
	Registry  *registry.Client  // nil: no schemas
	Execute   bool
}

// Change is one thing that was done, or would be.
type Change struct {
	Part   string `json:"part"` // secrets, postgres, kafka or registry
	Name   string `json:"name"`
	Action string `json:"action"`
	Detail string `json:"detail,omitempty"`
}

// Migrations are the tables of every part, in the order in which they are made.
func Migrations() []postgres.Migrations {
	return []postgres.Migrations{
		postgres.Base(), consumer.Migrations(), outbox.Migrations(), archiver.Migrations(),
		projector.Migrations(), rules.Migrations(), ledger.Migrations(),
	}
}

// Run provisions and returns the changes; without Execute it changes nothing.
func Run(ctx context.Context, o Options) ([]Change, error) {
	var out []Change
	if o.Secrets != "" && o.AdminURL != "" {
		c, passwords, err := keepSecrets(o.Secrets, o.AdminURL.Reveal(), o.Execute)
		if err != nil {
			return c, fmt.Errorf("write the secrets: %w", err)
		}
		out, o.Passwords = append(out, c...), passwords
	}
	if o.AdminURL != "" {
		c, err := tables(ctx, o)
		if err != nil {
			return out, fmt.Errorf("provision Postgres: %w", err)
		}
		out = append(out, c...)
	}
	if len(o.Kafka.Brokers) > 0 {
		c, err := topics(ctx, o)
		if err != nil {
			return out, fmt.Errorf("provision Kafka: %w", err)
		}
		out = append(out, c...)
		if o.Users {
			c, err := users(ctx, o)
			out = append(out, c...)
			if err != nil {
				return out, fmt.Errorf("provision Kafka's users: %w", err)
			}
		}
	}
	if o.Registry != nil {
		c, err := Schemas(ctx, o.Registry, o.Execute)
		if err != nil {
			return out, fmt.Errorf("provision the registry: %w", err)
		}
		out = append(out, c...)
	}
	return out, nil
}

func tables(ctx context.Context, o Options) ([]Change, error) {
	todo, err := postgres.Pending(ctx, o.AdminURL.Reveal(), Migrations()...)
	if err != nil {
		return nil, err
	}
	out := make([]Change, 0, len(todo)+1)
	for _, name := range todo {
		out = append(out, Change{Part: "postgres", Name: name, Action: "migrate"})
	}
	if len(o.Passwords) > 0 {
		out = append(out, Change{Part: "postgres", Name: "roles", Action: "set passwords", Detail: fmt.Sprintf("%d roles", len(o.Passwords))})
	}
	if o.Execute {
		if _, err := postgres.Migrate(ctx, o.AdminURL.Reveal(), Migrations()...); err != nil {
			return nil, err
		}
	}
	limits, err := postgres.LimitRoles(ctx, o.AdminURL.Reveal(), o.Execute)
	if err != nil {
		return nil, err
	}
	for _, l := range limits {
		role, what, _ := strings.Cut(l, ": ")
		out = append(out, Change{Part: "postgres", Name: role, Action: "limit", Detail: what})
	}
	if !o.Execute || len(o.Passwords) == 0 {
		return out, nil
	}
	return out, postgres.SetPasswords(ctx, o.AdminURL.Reveal(), o.Passwords)
}

func topics(ctx context.Context, o Options) ([]Change, error) {
	do := topology.Plan
	if o.Execute {
		do = topology.Provision
	}
	changes, err := do(ctx, o.Kafka, o.Topics)
	out := make([]Change, len(changes))
	for i, c := range changes {
		out[i] = Change{Part: "kafka", Name: c.Topic, Action: c.Action, Detail: c.Detail}
	}
	return out, err
}

// Schemas pushes the embedded catalogue into the registry.
func Schemas(ctx context.Context, client *registry.Client, execute bool) ([]Change, error) {
	files, err := schemas.Files()
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	changes, err := client.Push(ctx, files, execute)
	var out []Change
	var refused []error
	for _, c := range changes {
		switch c.Action {
		case registry.ActionUnchanged:
			continue
		case registry.ActionRefused:
			refused = append(refused, event.Refuse(event.CodeIncompatibleSchema, "%s", c.Detail).At(c.Path))
		}
		out = append(out, Change{Part: "registry", Name: c.Subject, Action: string(c.Action), Detail: c.Detail})
	}
	return out, errors.Join(append(refused, err)...)
}
