package subjects

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// inCRM lists what an unmerge does not take apart in the CRM, by what the adapter has read of the log.
func inCRM(ctx context.Context, env *operate.Env, tenant, from, into string) ([]string, error) {
	return operate.Ask(ctx, env, "read whose contacts the adapter uses", func(pool *pgxpool.Pool) ([]string, error) {
		return ledger.Ledger{Adapter: gohighlevel.Name}.Remains(ctx, pool, tenant, from, into)
	})
}
