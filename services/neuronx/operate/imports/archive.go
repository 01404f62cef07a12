package imports

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/services/neuronx/importer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

const (
	archiveTries = 60
	archivePause = time.Second
)

// awaitArchive waits until the archive holds what the log held when it was called: what has changed since an import is told only by
// all of that import.
func awaitArchive(ctx context.Context, env *operate.Env) error {
	if _, err := env.Need(operate.EnvBrokers, "Kafka, which tells whether the archive is complete,"); err != nil {
		return err
	}
	adm, err := env.Admin()
	if err != nil {
		return err
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return operate.Fail("ask Kafka how long the log is", err)
	}
	starts, err := adm.StartOffsets(ctx, kafka.TopicEvents)
	if err != nil {
		return operate.Fail("ask Kafka where the log begins", err)
	}
	for try := 1; ; try++ {
		done, err := adm.Committed(ctx, kafka.GroupArchiver)
		if err != nil {
			return operate.Fail("ask Kafka how far the archive is", err)
		}
		lag := operate.Behind(starts, ends, done)
		if lag == 0 {
			return nil
		}
		if try == archiveTries {
			return operate.Fail("import", event.Refuse(event.CodeUnavailable, "the archive is %d records behind the log, so it can't tell what has changed", lag).
				Hint("is neuronx-archiver running? `neuronx status` shows its lag; run the same command again"))
		}
		if try == 1 {
			env.Note("waiting for the archive, which is %d records behind", lag)
		}
		timer := time.NewTimer(archivePause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return operate.Fail("wait for the archive", fmt.Errorf("it is %d records behind: %w", lag, ctx.Err()))
		case <-timer.C:
		}
	}
}

// held asks the archive for imports. It hands on one row at a time: the data of a batch may be large.
type held struct{ pool *pgxpool.Pool }

// Known implements importer.Archive.
func (h held) Known(ctx context.Context, tenant string, ids []string, found func(importer.Recorded) error) error {
	return archive.Each(ctx, h.pool, tenant, ids, func(r archive.Row) error { return found(recorded(r)) })
}

// Updates implements importer.Archive.
func (h held) Updates(ctx context.Context, tenant, source, eventType string, subjects []string, found func(importer.Recorded) error) error {
	return archive.EachAbout(ctx, h.pool, tenant, source, eventType, subjects, func(r archive.Row) error { return found(recorded(r)) })
}

func recorded(r archive.Row) importer.Recorded {
	rec := importer.Recorded{ID: r.EventID, Subject: r.Subject, Sequence: r.Sequence, Data: r.Data}
	if r.Time != nil {
		rec.Time = *r.Time
	}
	return rec
}

// Last implements importer.Archive.
func (h held) Last(ctx context.Context, tenant string) (int64, error) {
	return archive.NewReader(h.pool).Head(ctx, tenant)
}
