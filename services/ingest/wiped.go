package ingest

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/ingest/sequencer"
)

// checkLog compares the log that is there with the one that was archived. A Kafka that was wiped looks like a new one to the sequencer:
// it would number from 1 again and refuse every tenant, while the archive holds them. The error is then sequencer.ErrOtherLog. It opens a
// pool of its own, for one question, because a process without the HTTP role has none.
func checkLog(ctx context.Context, url string, cfg kafka.Config) error {
	pool, err := postgres.Open(ctx, url, postgres.Application("neuronx-ingest"), postgres.MaxConns(1))
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	defer pool.Close()
	archived, err := archivedTopics(ctx, pool)
	if err != nil || len(archived) == 0 {
		return err
	}
	adm, err := admin.New(cfg)
	if err != nil {
		return err
	}
	defer adm.Close()
	ids, err := adm.TopicIDs(ctx, kafka.TopicEvents)
	if err != nil {
		return err
	}
	return sameTopic(uuid.UUID(ids[kafka.TopicEvents]), archived)
}

// archivedTopics are the ids of neuronx.events from which the archive was filled; none in a new installation.
func archivedTopics(ctx context.Context, pool *pgxpool.Pool) ([]uuid.UUID, error) {
	rows, err := pool.Query(ctx, `SELECT DISTINCT topic_id FROM neuronx.partition_progress WHERE consumer = $1 AND topic = $2`, kafka.GroupArchiver, kafka.TopicEvents)
	if err != nil {
		return nil, fmt.Errorf("look which log was archived: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("look which log was archived: %w", err)
	}
	return ids, nil
}

// sameTopic refuses a log that is not the archived one. It is pure.
func sameTopic(there uuid.UUID, archived []uuid.UUID) error {
	for _, id := range archived {
		if id != there {
			return fmt.Errorf("%s has id %s, the archive was filled from %s: %w; `neuronx log reseed --from-archive` builds it from the archive",
				kafka.TopicEvents, there, id, sequencer.ErrOtherLog)
		}
	}
	return nil
}
