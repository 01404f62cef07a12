package cli

import (
	"context"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// locationIsFree refuses an account of the CRM that another tenant is connected to: each would find the other's contacts by their keys, and
// write its leads over them.
func (c *cli) locationIsFree(ctx context.Context, tenant, adapter, location, base, mode string) error {
	if mode == "off" {
		return nil
	}
	if c.value(operate.EnvPostgres) == "" {
		c.note("whether another tenant is connected to %s was not looked up: %s is not set", location, operate.EnvPostgres)
		return nil
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	var other string
	err = pool.QueryRow(ctx, `SELECT coalesce(min(tenant_id), '') FROM neuronx.crm_connections
		WHERE adapter = $1 AND location = $2 AND base_url = $3 AND tenant_id <> $4 AND mode <> 'off'`, adapter, location, base, tenant).Scan(&other)
	switch {
	case err != nil:
		return operate.Fail("look for tenants of the location", err).Hint("is the database provisioned? `neuronx provision`")
	case other == "":
		return nil
	}
	return operate.Unsafe("tenant %s is connected to location %s", other, location).
		Because("both would write their leads over each other's contacts").
		Hint("name another location, or disconnect the other first: `neuronx tenant connect-crm %s --location %s --token … --mode off`", other, location)
}
