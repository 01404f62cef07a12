package httpin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/kafka"
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
// admitted, each in the order of time, so that the last one is what holds. With
// a source it tells of that source's events alone.
func (f *Records) Find(ctx context.Context, tenant, id, source string) ([]Fate, error) {
	var out []Fate
	err := pgx.BeginTxFunc(ctx, f.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT event_type, source, recorded_at, reason, detail FROM
			(SELECT * FROM neuronx.dead_letters WHERE tenant_id = $1 AND event_id = $2 AND ($4 = '' OR source = $4) ORDER BY recorded_at DESC LIMIT $3) d
			ORDER BY recorded_at`, tenant, id, maxFates, source)
		if err != nil {
			return err
		}
		var at time.Time
		yes := true
		refused := Fate{ID: id, Status: statusRefused, Archived: &yes}
		if _, err := pgx.ForEachRow(rows, []any{&refused.Type, &refused.Source, &at, &refused.Code, &refused.Detail}, func() error {
			fate := refused
			moment := at.UTC()
			fate.RecordedTime = &moment
			out = append(out, fate)
			return nil
		}); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT event_type, source, sequence, position, recorded_at FROM neuronx.tenant_events
			WHERE tenant_id = $1 AND event_id = $2 AND ($4 = '' OR source = $4) ORDER BY sequence LIMIT $3`, tenant, id, maxFates, source)
		if err != nil {
			return err
		}
		var typ, from string
		var sequence, position int64
		_, err = pgx.ForEachRow(rows, []any{&typ, &from, &sequence, &position, &at}, func() error {
			moment := at.UTC()
			out = append(out, Fate{
				ID: id, Status: statusAdmitted, Type: typ, Source: from, Sequence: strconv.FormatInt(sequence, 10),
				Position: strconv.FormatInt(position, 10), RecordedTime: &moment, Archived: &yes,
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

// Archived implements Archive. A partition of which nothing is archived yet begins at 0.
func (f *Records) Archived(ctx context.Context, partition int32) (map[string]int64, error) {
	rows, err := f.pool.Query(ctx, `SELECT DISTINCT ON (topic) topic, next_offset FROM neuronx.partition_progress
		WHERE consumer = $1 AND partition = $2 ORDER BY topic, generation DESC`, kafka.GroupArchiver, partition)
	if err != nil {
		return nil, fmt.Errorf("read how far the archive is: %w", err)
	}
	out := map[string]int64{}
	var topic string
	var next int64
	if _, err := pgx.ForEachRow(rows, []any{&topic, &next}, func() error { out[topic] = next; return nil }); err != nil {
		return nil, fmt.Errorf("read how far the archive is: %w", err)
	}
	return out, nil
}
