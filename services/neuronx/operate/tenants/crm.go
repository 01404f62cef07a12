package tenants

import (
	"context"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// Connection is a tenant's account at a CRM.
type Connection struct {
	Adapter  string
	Location string
	Token    string // secret://<id>@<version>, never the token itself
	Mode     string // off, record or send
	BaseURL  string // the CRM's API, where it is not the vendor's
}

// CheckConnection refuses a tenant that is not there, and an account of the CRM that another tenant is connected to: each would find the
// other's contacts by their keys, and write its leads over them. Without Postgres neither is looked up, which is noted.
func CheckConnection(ctx context.Context, env *operate.Env, id string, c Connection) error {
	if err := env.CheckTenant(ctx, id); err != nil {
		return err
	}
	return checkLocation(ctx, env, id, c)
}

func checkLocation(ctx context.Context, env *operate.Env, id string, c Connection) error {
	if c.Mode == "off" {
		return nil
	}
	if env.Value(operate.EnvPostgres) == "" {
		env.Note("whether another tenant is connected to %s was not looked up: %s is not set", c.Location, operate.EnvPostgres)
		return nil
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return err
	}
	var other string
	err = pool.QueryRow(ctx, `SELECT coalesce(min(tenant_id), '') FROM neuronx.crm_connections
		WHERE adapter = $1 AND location = $2 AND base_url = $3 AND tenant_id <> $4 AND mode <> 'off'`, c.Adapter, c.Location, c.BaseURL, id).Scan(&other)
	switch {
	case err != nil:
		return operate.Fail("look for tenants of the location", err).Hint("is the database provisioned? `neuronx provision`")
	case other == "":
		return nil
	}
	return operate.Unsafe("tenant %s is connected to location %s", other, c.Location).
		Because("both would write their leads over each other's contacts").
		Hint("name another location, or disconnect the other first: `neuronx tenant connect-crm %s --location %s --token … --mode off`", other, c.Location)
}

// Connect connects a tenant to its account at a CRM.
func Connect(ctx context.Context, env *operate.Env, who operate.Principal, id string, c Connection) (operate.Done, error) {
	return act(ctx, env, who, id, "tenant.crm_connected", map[string]any{
		"adapter": c.Adapter, "location": c.Location, "token": c.Token, "mode": c.Mode, "base_url": operate.OrNil(c.BaseURL),
	})
}
