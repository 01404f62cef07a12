package logrepair

import (
	"context"
	"errors"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/reseed"
)

// Reseed rebuilds the log and the sequencer's state from the archive; without o.Execute it says what it would do. The caller sets o.Tenants,
// o.KeyWindow, o.Execute, o.AdminURL (empty: the setting operate.EnvAdmin); the connections are the session's.
func Reseed(ctx context.Context, env *operate.Env, o reseed.Options) (*reseed.Report, error) {
	adminURL := o.AdminURL.Reveal()
	var err error
	if adminURL == "" {
		if adminURL, err = env.Need(operate.EnvAdmin, "a Postgres role that sees all rows"); err != nil {
			return nil, err
		}
	}
	if err := env.PostgresListening(operate.EnvAdmin, adminURL); err != nil {
		return nil, err
	}
	if err := knownTenants(ctx, adminURL, o.Tenants); err != nil {
		return nil, err
	}
	o.AdminURL, o.Log, o.Progress = app.Secret(adminURL), env.Log, env.Note
	if o.Kafka, err = env.Kafka(); err != nil {
		return nil, err
	}
	if o.Registry, err = env.Registry(); err != nil {
		return nil, err
	}
	path, err := env.Need(operate.EnvKeys, "the engine's signing key")
	if err != nil {
		return nil, err
	}
	if o.Keys, err = event.LoadKeyring(path); err != nil {
		return nil, operate.Fail("read the signing keys", err)
	}
	report, err := reseed.Run(ctx, o)
	var refused *reseed.Refused
	switch {
	case errors.As(err, &refused):
		return nil, operate.Unsafe("the log is not rebuilt").Because("%s", refused.Error()).Hint("see docs/operations.md, \"Kafka is lost\"")
	case err != nil:
		return nil, operate.Fail("rebuild the log", err).Hint("run it again when the cause is gone: it goes on where it stopped")
	}
	return report, nil
}

// knownTenants refuses a tenant that is not there: without it the others would be rebuilt, and it would be left out for good.
func knownTenants(ctx context.Context, adminURL string, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	pool, err := postgres.Open(ctx, adminURL, postgres.AllowSuperuser(), postgres.Application("neuronx-cli"), postgres.MaxConns(1))
	if err != nil {
		return operate.Fail("look up the tenants", err)
	}
	defer pool.Close()
	for _, t := range tenants {
		if err := operate.KnownTenant(ctx, pool, t); err != nil {
			return err
		}
	}
	return nil
}
