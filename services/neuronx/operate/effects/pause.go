package effects

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// maxPauses bounds how many pauses are listed.
const maxPauses = 1000

// Pause stops all requests of a scope, also those of attempts under way: the adapter asks before each request. It needs Postgres and neither the
// log nor a running adapter. It returns the pause in force, and whether it is new.
func Pause(ctx context.Context, env *operate.Env, who operate.Principal, s ledger.Scope, reason string) (p ledger.Pause, set bool, err error) {
	if err := who.Check(); err != nil {
		return p, false, err
	}
	p, err = operate.Ask(ctx, env, "pause effects", func(pool *pgxpool.Pool) (ledger.Pause, error) {
		var err error
		p, set, err = ledger.SetPause(ctx, pool, s, who.Name, reason)
		return p, err
	})
	return p, set, err
}

// Resume ends the pause of exactly a scope.
func Resume(ctx context.Context, env *operate.Env, who operate.Principal, s ledger.Scope, reason string) error {
	if err := who.Check(); err != nil {
		return err
	}
	ended, err := operate.Ask(ctx, env, "resume effects", func(pool *pgxpool.Pool) (bool, error) {
		return ledger.EndPause(ctx, pool, s, who.Name, reason)
	})
	if err == nil && !ended {
		err = operate.Unsafe("nothing is resumed").Because("no pause in force has this scope: %s", ScopeText(s)).Hint("`neuronx effects pauses` lists those in force; resume takes the tenant, adapter and kind that one was given")
	}
	return err
}

// Pauses lists the pauses in force, the oldest first.
func Pauses(ctx context.Context, env *operate.Env) ([]ledger.Pause, error) {
	return operate.Ask(ctx, env, "list pauses", func(pool *pgxpool.Pool) ([]ledger.Pause, error) { return ledger.ListPauses(ctx, pool, maxPauses) })
}

// ScopeText says what a pause is about.
func ScopeText(s ledger.Scope) string {
	kind, tenant, adapter := "effects of kind "+s.Kind, " of "+s.Tenant, " in "+s.Adapter
	if s.Kind == ledger.Every {
		kind = "all effects"
	}
	if s.Tenant == ledger.Every {
		tenant = " of all tenants"
	}
	if s.Adapter == ledger.Every {
		adapter = ""
	}
	return kind + tenant + adapter
}
