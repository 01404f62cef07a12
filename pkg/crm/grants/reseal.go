package grants

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/vault"
)

const resealEvery = time.Hour

// Reseal seals the tokens of an adapter with the keyset's primary key where another key of it sealed them, so that the other can be taken out. It
// returns how many it sealed, and how many there are that no key of the keyset opens.
func Reseal(ctx context.Context, pool *pgxpool.Pool, v *vault.Vault, adapter string) (sealed, closed int, err error) {
	type token struct {
		holder  string
		version int64
		sealed  []byte
	}
	rows, err := pool.Query(ctx, `SELECT holder, version, sealed FROM neuronx.crm_tokens WHERE adapter = $1`, adapter)
	all, err := postgres.Collect(rows, err, "read sealed tokens", func(r pgx.CollectableRow) (t token, err error) {
		return t, r.Scan(&t.holder, &t.version, &t.sealed)
	})
	for _, t := range all {
		if v.Newest(t.sealed) {
			continue
		}
		opened, err := open(v, adapter, t.holder, t.version, t.sealed)
		if err != nil {
			closed++
			continue
		}
		again, err := seal(v, adapter, t.holder, t.version, opened)
		if err != nil {
			return sealed, closed, err
		}
		// One that was replaced or sealed by another process meanwhile is left alone.
		tag, err := pool.Exec(ctx, `UPDATE neuronx.crm_tokens SET sealed = $5 WHERE adapter = $1 AND holder = $2 AND version = $3 AND sealed = $4`, adapter, t.holder, t.version, t.sealed, again)
		if err != nil {
			return sealed, closed, err
		}
		sealed += int(tag.RowsAffected())
	}
	return sealed, closed, err
}

// KeepSealed reseals at once and then each hour, until ctx ends.
func KeepSealed(ctx context.Context, pool *pgxpool.Pool, v *vault.Vault, adapter string, log *slog.Logger) error {
	tick := time.NewTicker(resealEvery)
	defer tick.Stop()
	for {
		sealed, closed, err := Reseal(ctx, pool, v, adapter)
		switch {
		case err != nil && ctx.Err() == nil:
			log.Error("tokens of CRM accounts can't be sealed again; trying again", "err", err)
		case closed > 0:
			log.Error("tokens of CRM accounts open with no key of the master keyset; connect them again: neuronx crm status", "tokens", closed)
		}
		if sealed > 0 {
			log.Info("tokens of CRM accounts are sealed with the newest key", "tokens", sealed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
