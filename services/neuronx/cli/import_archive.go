package cli

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/neuronx/importer"
)

// held asks the archive for imports. It hands on one row at a time: the data of a batch may be large.
type held struct{ pool *pgxpool.Pool }

// Known implements importer.Archive.
func (h held) Known(ctx context.Context, tenantID string, ids []string, found func(importer.Recorded) error) error {
	return h.each(ctx, found, `SELECT event_id, subject, sequence, occurred_at, data::text FROM neuronx.tenant_events
		WHERE tenant_id = $1 AND event_id = ANY($2) ORDER BY sequence`, tenantID, ids)
}

// Updates implements importer.Archive.
func (h held) Updates(ctx context.Context, tenantID, source, eventType string, subjects []string, found func(importer.Recorded) error) error {
	return h.each(ctx, found, `SELECT event_id, subject, sequence, occurred_at, data::text FROM neuronx.tenant_events
		WHERE tenant_id = $1 AND subject = ANY($2) AND event_type = $3 AND source = $4 ORDER BY sequence`, tenantID, subjects, eventType, source)
}

func (h held) each(ctx context.Context, found func(importer.Recorded) error, query string, args ...any) error {
	rows, err := h.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	var rec importer.Recorded
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&rec.ID, &rec.Subject, &rec.Sequence, &at, &rec.Data}, func() error {
		if rec.Time = (time.Time{}); at != nil {
			rec.Time = *at
		}
		return found(rec)
	})
	return err
}

// Last implements importer.Archive.
func (h held) Last(ctx context.Context, tenantID string) (sequence int64, err error) {
	err = h.pool.QueryRow(ctx, `SELECT coalesce(max(sequence), 0) FROM neuronx.tenant_events WHERE tenant_id = $1`, tenantID).Scan(&sequence)
	return sequence, err
}
