package httpin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// Records finds events in the archive and in the archived dead letters.
type Records struct {
	pool  *pgxpool.Pool
	turns *turns
}

// NewFinder reads through a pool whose role is a member of neuronx_reader. It uses half of its connections at most: the others are for the
// tenant directory and the probe.
func NewFinder(pool *pgxpool.Pool) *Records {
	return &Records{pool: pool, turns: newTurns(int64(pool.Config().MaxConns / 2))}
}

// maxFates bounds the answer: a client that sends rubbish under one id makes a
// dead letter each time.
const maxFates = 20

// Find lists what became of the tenant's event: refusals, then what is
// admitted, each in the order of time, so that the last one is what holds. With
// a source it tells of that source's events alone.
func (f *Records) Find(ctx context.Context, tenant, id, source string) ([]Fate, error) {
	leave, err := f.turns.take(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("wait to find an event: %w", err)
	}
	defer leave()
	var out []Fate
	err = pgx.BeginTxFunc(ctx, f.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
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
		admitted, err := archive.Found(ctx, tx, tenant, id, source, maxFates)
		for _, r := range admitted {
			moment := r.RecordedTime.UTC()
			out = append(out, Fate{
				ID: id, Status: statusAdmitted, Type: r.Type, Source: r.Source, Sequence: strconv.FormatInt(r.Sequence, 10),
				Position: strconv.FormatInt(r.Position, 10), RecordedTime: &moment, Archived: &yes,
			})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find event: %w", err)
	}
	return out, nil
}

// Archived implements Archive. A partition of which nothing is archived yet begins at 0.
func (f *Records) Archived(ctx context.Context, partition int32) (map[string]int64, error) {
	leave, err := f.turns.take(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("wait to read how far the archive is: %w", err)
	}
	defer leave()
	offsets, err := consumer.Offsets(ctx, f.pool, kafka.GroupArchiver, "", partition)
	if err != nil {
		return nil, fmt.Errorf("read how far the archive is: %w", err)
	}
	out := map[string]int64{}
	for _, o := range offsets { // the newest generation comes last
		out[o.Topic] = o.Next
	}
	return out, nil
}
