package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Names reads what objects of an account in the CRM are called, by kind of object. What was read over an hour ago is not told: somebody may have been
// renamed. What was read within ten minutes is fresh, so that a name which nobody has does not make each effect ask for the list again.
func (l Ledger) Names(ctx context.Context, q Querier, tenant, account string) (map[string]crm.Names, error) {
	rows, err := q.Query(ctx, `SELECT object, names, read_at > now() - interval '10 min' FROM neuronx.crm_names
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND read_at > now() - interval '1 h'`, tenant, l.Adapter, account)
	out := map[string]crm.Names{}
	var object string
	var names []byte
	var fresh bool
	err = postgres.ForEach(rows, err, "read names of the account's objects", []any{&object, &names, &fresh}, func() error {
		n := crm.Names{Fresh: fresh}
		if err := json.Unmarshal(names, &n.IDs); err != nil {
			return err
		}
		out[object] = n
		return nil
	})
	return out, err
}

// SaveNames keeps what all objects of a kind are called.
func (l Ledger) SaveNames(ctx context.Context, q Querier, tenant, account, object string, ids map[string][]string) error {
	names, err := json.Marshal(ids)
	if err != nil {
		return fmt.Errorf("keep names of the account's objects: %w", err)
	}
	return postgres.Exec(ctx, q, "keep names of the account's objects", `INSERT INTO neuronx.crm_names (tenant_id, adapter, location, object, names) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, adapter, location, object) DO UPDATE SET names = excluded.names, read_at = now()`, tenant, l.Adapter, account, object, names)
}
