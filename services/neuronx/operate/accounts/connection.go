package accounts

import (
	"context"

	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Connection is a tenant's account at a CRM.
type Connection struct {
	Adapter  string
	Location string
	Token    string // its reference: secret://<id>@<version> of a file, or that of the location's grant
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
		Hint("name another location, or disconnect the other first: `neuronx crm disconnect %s`", other)
}

// Connected finds the connection of a tenant whose token is a grant's and is replaced by people.
func Connected(ctx context.Context, env *operate.Env, id, adapter string) (Connection, error) {
	accounts, err := Status(ctx, env, id)
	if err != nil {
		return Connection{}, err
	}
	for _, a := range accounts {
		switch {
		case a.Adapter != adapter || a.Mode == "":
		case !grants.IsReference(a.Token):
			return Connection{}, operate.Usage("the token of %s is the file %s", id, a.Token).
				Hint("put the token into a file <id>@<another version> of NEURONX_SECRETS_DIR and connect with that; or `neuronx crm connect --pit-file` keeps it in the database, sealed")
		case a.Grant != nil && a.Grant.Auth == grants.AuthOAuth:
			return Connection{}, operate.Usage("the tokens of %s are refreshed, as a person consented", id).
				Hint("where the CRM takes them no more: `neuronx crm connect %s --oauth --mode %s --execute`", id, a.Mode)
		default:
			return Connection{Adapter: a.Adapter, Location: a.Location, Mode: a.Mode, Token: a.Token, BaseURL: a.BaseURL}, nil
		}
	}
	return Connection{}, operate.Usage("tenant %s is not connected to %s", id, adapter).Hint("`neuronx crm status` lists accounts; `neuronx crm connect` makes one")
}
