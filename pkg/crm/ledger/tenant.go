package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Connection is a tenant's account in the CRM.
type Connection struct {
	Location  string
	Token     string // secret://id@version
	Mode      crm.Mode
	BaseURL   string
	Suspended bool
	Sequence  int64 // of the event that made it
}

// Tenant is what is in force for a tenant.
type Tenant struct {
	ID         string
	Connected  bool
	Connection Connection
	Modes      map[string]crm.Mode
}

// Mode is the mode of a kind.
func (t Tenant) Mode(kind string) crm.Mode {
	return crm.ModeFor(kind, t.Modes, t.Connection.Mode)
}

// LoadTenant reads what is in force.
func (l Ledger) LoadTenant(ctx context.Context, q Querier, tenant string) (Tenant, error) {
	t := Tenant{ID: tenant, Modes: map[string]crm.Mode{}}
	var mode string
	err := q.QueryRow(ctx, `SELECT location, token, mode, base_url, suspended, sequence FROM neuronx.crm_connections WHERE tenant_id = $1 AND adapter = $2`,
		tenant, l.Adapter).Scan(&t.Connection.Location, &t.Connection.Token, &mode, &t.Connection.BaseURL, &t.Connection.Suspended, &t.Connection.Sequence)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return t, fmt.Errorf("read connection: %w", err)
	default:
		t.Connected = t.Connection.Location != ""
		t.Connection.Mode = crm.ParseMode(mode)
	}
	rows, err := q.Query(ctx, `SELECT kind, mode FROM neuronx.effect_modes WHERE tenant_id = $1 AND adapter = $2`, tenant, l.Adapter)
	var kind string
	if err := postgres.ForEach(rows, err, "read modes", []any{&kind, &mode}, func() error { t.Modes[kind] = crm.ParseMode(mode); return nil }); err != nil {
		return t, err
	}
	return t, nil
}

// Connect folds tenant.crm_connected.
func (l Ledger) Connect(ctx context.Context, q Querier, tenant string, c Connection, sequence int64) error {
	return postgres.Exec(ctx, q, "save connection", `INSERT INTO neuronx.crm_connections AS c (tenant_id, adapter, location, token, mode, base_url, sequence)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (tenant_id, adapter) DO UPDATE SET location = excluded.location, token = excluded.token, mode = excluded.mode,
			base_url = excluded.base_url, sequence = excluded.sequence, updated_at = now() WHERE c.sequence < excluded.sequence`,
		tenant, l.Adapter, c.Location, c.Token, string(c.Mode), c.BaseURL, sequence)
}

// Disconnect folds tenant.crm_disconnected: the tenant has no account, and its effects end as off. Links to contacts stay for a later connection.
func (l Ledger) Disconnect(ctx context.Context, q Querier, tenant string, sequence int64) error {
	return postgres.Exec(ctx, q, "save that the CRM was disconnected", `UPDATE neuronx.crm_connections
		SET location = '', token = '', mode = 'off', base_url = '', sequence = $3, updated_at = now() WHERE tenant_id = $1 AND adapter = $2 AND sequence < $3`,
		tenant, l.Adapter, sequence)
}

// Renew folds tenant.crm_grant_changed: the connection is taken for a new one, so that what its old token was refused is tried again.
func (l Ledger) Renew(ctx context.Context, q Querier, tenant string, sequence int64) error {
	return postgres.Exec(ctx, q, "save that the token changed", `UPDATE neuronx.crm_connections SET sequence = $3, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $2 AND location <> '' AND sequence < $3`, tenant, l.Adapter, sequence)
}

// SetMode folds tenant.effects_mode_set. A setting for all kinds also takes back the settings of single kinds.
func (l Ledger) SetMode(ctx context.Context, q Querier, tenant, kind string, mode crm.Mode, sequence int64) error {
	_, err := q.Exec(ctx, `INSERT INTO neuronx.effect_modes AS m (tenant_id, kind, mode, sequence, adapter) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, adapter, kind) DO UPDATE SET mode = excluded.mode, sequence = excluded.sequence, updated_at = now()
			WHERE m.sequence < excluded.sequence`, tenant, kind, string(mode), sequence, l.Adapter)
	if err == nil && kind == "*" {
		_, err = q.Exec(ctx, `UPDATE neuronx.effect_modes SET mode = $2, sequence = $3, updated_at = now() WHERE tenant_id = $1 AND adapter = $4 AND sequence < $3`,
			tenant, string(mode), sequence, l.Adapter)
	}
	if err != nil {
		return fmt.Errorf("save mode: %w", err)
	}
	return nil
}

// Suspend folds tenant.suspended and tenant.resumed: a suspended tenant's effects wait, and may expire. It may come before the
// first connection; the row then has no location, which is no connection.
func (l Ledger) Suspend(ctx context.Context, q Querier, tenant string, suspended bool) error {
	return postgres.Exec(ctx, q, "save suspension", `INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, suspended, sequence)
		VALUES ($1, $2, '', '', 'off', $3, 0)
		ON CONFLICT (tenant_id, adapter) DO UPDATE SET suspended = excluded.suspended, updated_at = now()`,
		tenant, l.Adapter, suspended)
}
