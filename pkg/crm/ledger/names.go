package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

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

// Objects finds the ids that objects of one kind have in an account of the CRM, by our ids. One that is not there is not known.
func (l Ledger) Objects(ctx context.Context, q Querier, tenant, account, object string, locals []string) (map[string]string, error) {
	rows, err := q.Query(ctx, `SELECT local_id, remote_id FROM neuronx.crm_objects
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND object = $4 AND local_id = ANY($5)`, tenant, l.Adapter, account, object, locals)
	out := map[string]string{}
	var local, remote string
	err = postgres.ForEach(rows, err, "read ids of objects", []any{&local, &remote}, func() error { out[local] = remote; return nil })
	return out, err
}

// SaveObject notes the id of an object in an account of the CRM.
func (l Ledger) SaveObject(ctx context.Context, tx pgx.Tx, tenant, account, object, local, remote string) error {
	return postgres.Exec(ctx, tx, "save the id of an object", `INSERT INTO neuronx.crm_objects (tenant_id, adapter, location, object, local_id, remote_id) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant_id, adapter, location, object, local_id) DO UPDATE SET remote_id = excluded.remote_id, updated_at = now()`,
		tenant, l.Adapter, account, object, local, clean(remote))
}
