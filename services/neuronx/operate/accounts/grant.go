package accounts

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/vault"
	"github.com/neuronx/engine/services/neuronx/operate"
)

const (
	fallback  = 7 * 24 * time.Hour // how long the vendor lets a replaced token work, if asked to
	probeTime = 30 * time.Second
)

// Check asks the CRM whether a token opens a location, and returns what the location is called there.
func Check(ctx context.Context, env *operate.Env, c Connection, token app.Secret) (name string, err error) {
	if err := grants.CheckToken(token); err != nil {
		return "", operate.Usage("the token can't be used").Because("%s", err)
	}
	base := c.BaseURL
	if base == "" {
		base = env.Value(operate.EnvCRM)
	}
	if base == "" {
		base = gohighlevel.DefaultBaseURL
	}
	client := transport.New(probeTime, base, "neuronx-cli")
	defer client.Close()
	if name, err = gohighlevel.Probed(c.Location, client.Do(ctx, base, token.Reveal(), gohighlevel.Probe(c.Location))); err != nil {
		return "", operate.Fail("check the token at "+base, err).Hint("look at the integration's token, its scopes and its location in the CRM; --skip-check stores it all the same")
	}
	return name, nil
}

// Keyset loads the master keyset, which seals tokens.
func Keyset(env *operate.Env) (*vault.Vault, error) {
	path, err := env.Need(operate.EnvKeyset, "the master keyset")
	if err != nil {
		return nil, err
	}
	v, err := vault.Load(path)
	if err != nil {
		return nil, operate.Fail("read the master keyset", err).Hint("all adapters and tools need the same file; where it is lost or damaged, restore it from its backup: another one opens no token that is stored")
	}
	return v, nil
}

// Connect connects a tenant to its account at a CRM. A token is stored as the account's grant, which the connection then names; without one the
// connection names a file.
func Connect(ctx context.Context, env *operate.Env, who operate.Principal, id string, c Connection, token app.Secret) (operate.Done, error) {
	if token != "" {
		c.Token = grants.Reference(c.Location)
		_, err := give(ctx, env, who, id, c, token, 0)
		if err != nil && !errors.Is(err, grants.ErrSame) {
			return operate.Done{}, err
		}
	}
	return act(ctx, env, who, id, "tenant.crm_connected", map[string]any{
		"adapter": c.Adapter, "location": c.Location, "token": c.Token, "mode": c.Mode, "base_url": operate.OrNil(c.BaseURL),
	})
}

// Invite makes a ticket with which one browser, once, may connect a tenant to an account by a person's consent. It returns the address that the
// person opens, which is a secret until it was used or its 15 minutes are over.
func Invite(ctx context.Context, env *operate.Env, who operate.Principal, id, adapter, mode string) (app.Secret, error) {
	if err := who.Check(); err != nil {
		return "", err
	}
	public, err := env.Need(operate.EnvPublic, "the address of the adapter's pages of consent")
	if err != nil {
		return "", err
	}
	ticket, err := operate.Ask(ctx, env, "make a ticket", func(pool *pgxpool.Pool) (app.Secret, error) {
		return grants.NewTicket(ctx, pool, grants.Ticket{Adapter: adapter, Tenant: id, Mode: mode, By: who.Name})
	})
	if err != nil {
		return "", err
	}
	return app.Secret(strings.TrimSuffix(public, "/") + grants.Path(adapter) + "/start?ticket=" + ticket.Reveal()), nil
}

// Rotate replaces the token of a tenant's grant. The one before serves for a week where the new one is refused.
func Rotate(ctx context.Context, env *operate.Env, who operate.Principal, id string, c Connection, token app.Secret, reason string) (operate.Done, error) {
	version, err := give(ctx, env, who, id, c, token, fallback)
	if errors.Is(err, grants.ErrSame) {
		return operate.Done{}, operate.Usage("this token is in force already").Hint("make another one in the CRM, and give the file with that")
	}
	if err != nil {
		return operate.Done{}, err
	}
	return act(ctx, env, who, id, "tenant.crm_grant_changed", map[string]any{
		"adapter": c.Adapter, "location": c.Location, "what": "rotated", "version": version, "reason": operate.OrNil(reason), "by": who.By(),
	})
}

func give(ctx context.Context, env *operate.Env, who operate.Principal, id string, c Connection, token app.Secret, fallback time.Duration) (version int64, err error) {
	v, err := Keyset(env)
	if err != nil {
		return 0, err
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		version, err = grants.Give(ctx, tx, v, grants.Given{Adapter: c.Adapter, Holder: grants.Location(c.Location), Tenant: id, Auth: grants.AuthPIT, By: who.Name,
			Tokens: grants.Tokens{Access: token}, Fallback: fallback})
		return err
	})
	switch {
	case errors.Is(err, grants.ErrTaken):
		return 0, operate.Unsafe("location %s belongs to another tenant", c.Location).Because("both would write their leads over each other's contacts").
			Hint("`neuronx crm status` says whose it is; `neuronx crm disconnect` ends that")
	case err != nil && !errors.Is(err, grants.ErrSame):
		return 0, operate.Fail("store the token", err)
	}
	return version, err
}

// Disconnect ends a tenant's connection to a CRM and deletes the tokens of its grants there. done is false if there was nothing to end.
func Disconnect(ctx context.Context, env *operate.Env, who operate.Principal, id, adapter, reason string) (d operate.Done, done bool, err error) {
	accounts, err := Status(ctx, env, id)
	if err != nil {
		return d, false, err
	}
	var held []grants.Grant
	connected := false
	for _, a := range accounts {
		if a.Adapter != adapter {
			continue
		}
		connected = connected || a.Mode != ""
		if a.Grant != nil && a.Grant.State != grants.Revoked {
			held = append(held, *a.Grant)
		}
	}
	if !connected && len(held) == 0 {
		return d, false, nil
	}
	if connected {
		d, err = act(ctx, env, who, id, "tenant.crm_disconnected", map[string]any{"adapter": adapter, "reason": operate.OrNil(reason), "by": who.By()})
		if err != nil {
			return d, false, err
		}
	}
	_, err = operate.Ask(ctx, env, "delete the tokens", func(pool *pgxpool.Pool) (bool, error) {
		return true, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			for _, g := range held {
				if _, err := grants.Revoke(ctx, tx, g.Adapter, g.Holder, id, "disconnected"); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return d, err == nil, err
}

func act(ctx context.Context, env *operate.Env, who operate.Principal, id, typ string, data map[string]any) (operate.Done, error) {
	ctx, cancel := context.WithTimeout(ctx, env.Timeout)
	defer cancel()
	return env.Act(ctx, who, id, typ, "tenant/"+id, "", data)
}
