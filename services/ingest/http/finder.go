package httpin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/postgres"
)

// Records finds events in the archive and in the archived dead letters.
type Records struct {
	pool *pgxpool.Pool
}

// NewFinder reads through a pool whose role is a member of neuronx_reader.
func NewFinder(pool *pgxpool.Pool) *Records { return &Records{pool: pool} }

// maxFates bounds the answer: a client that sends rubbish under one id makes a
// dead letter each time.
const maxFates = 20

// Find lists what became of the tenant's event: refusals, then what is
// recorded, each in the order of time, so that the last one is what holds.
func (f *Records) Find(ctx context.Context, tenant, id string) ([]Fate, error) {
	var out []Fate
	err := pgx.BeginTxFunc(ctx, f.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT event_type, recorded_at, reason, detail FROM
			(SELECT * FROM neuronx.dead_letters WHERE tenant_id = $1 AND event_id = $2 ORDER BY recorded_at DESC LIMIT $3) d
			ORDER BY recorded_at`, tenant, id, maxFates)
		if err != nil {
			return err
		}
		var at time.Time
		refused := Fate{ID: id, Status: "refused"}
		if _, err := pgx.ForEachRow(rows, []any{&refused.Type, &at, &refused.Code, &refused.Detail}, func() error {
			fate := refused
			moment := at.UTC()
			fate.RecordedTime = &moment
			out = append(out, fate)
			return nil
		}); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT event_type, sequence, position, recorded_at FROM neuronx.tenant_events
			WHERE tenant_id = $1 AND event_id = $2 ORDER BY sequence LIMIT $3`, tenant, id, maxFates)
		if err != nil {
			return err
		}
		var typ string
		var sequence, position int64
		_, err = pgx.ForEachRow(rows, []any{&typ, &sequence, &position, &at}, func() error {
			moment := at.UTC()
			out = append(out, Fate{
				ID: id, Status: "recorded", Type: typ, Sequence: strconv.FormatInt(sequence, 10),
				Position: strconv.FormatInt(position, 10), RecordedTime: &moment,
			})
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find event: %w", err)
	}
	return out, nil
}
