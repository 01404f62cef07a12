package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/importer"
)

const (
	archiveTries = 60
	archivePause = time.Second
)

// awaitArchive waits until the archive holds what the log held when it was called: what has changed since an import is told only by
// all of that import.
func (c *cli) awaitArchive(ctx context.Context) error {
	if _, err := c.need(envBrokers, "Kafka, which tells whether the archive is complete,"); err != nil {
		return err
	}
	cfg, err := c.kafka()
	if err != nil {
		return err
	}
	adm, err := admin.New(cfg)
	if err != nil {
		return failed("connect to Kafka", err)
	}
	defer adm.Close()
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return failed("ask Kafka how long the log is", err)
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicEvents)
	if err != nil {
		return failed("ask Kafka where the log begins", err)
	}
	for try := 1; ; try++ {
		done, err := adm.Committed(ctx, kafka.GroupArchiver)
		if err != nil {
			return failed("ask Kafka how far the archive is", err)
		}
		lag := behind(starts, ends, done)
		if lag == 0 {
			return nil
		}
		if try == archiveTries {
			return failed("import", event.Refuse(event.CodeUnavailable, "the archive is %d records behind the log, so it can't tell what has changed", lag).
				Hint("is neuronx-archiver running? `neuronx status` shows its lag; run the same command again"))
		}
		if try == 1 {
			c.note("waiting for the archive, which is %d records behind", lag)
		}
		timer := time.NewTimer(archivePause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return failed("wait for the archive", fmt.Errorf("it is %d records behind: %w", lag, ctx.Err()))
		case <-timer.C:
		}
	}
}

// behind counts the records between the starts and the ends that a group has not consumed.
func behind(starts, ends map[kafka.TopicPartition]int64, done map[kafka.TopicPartition]kafka.Committed) (lag int64) {
	for tp, end := range ends {
		from := starts[tp]
		if at := done[tp]; at.Present {
			from = max(from, at.Offset)
		}
		lag += max(0, end-from)
	}
	return lag
}

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
