package consumer

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// These make the tables of consumers fit a log that was rebuilt and ends before the lost one did. No consumer may run, and the role must be
// the tables' owner.

// Keep notes that a row's last event stands in the log logID now, which ends at sequence head for the tenant. What the row has applied stays.
func (r Row) Keep(ctx context.Context, tx pgx.Tx, logID string, head int64) error {
	_, err := tx.Exec(ctx, `UPDATE neuronx.progress SET log_id = CASE WHEN sequence = 0 THEN '' ELSE $4 END, seen = least(seen, $5),
		missing_since = NULL WHERE consumer = $1 AND tenant_id = $2 AND generation = $3`, r.Consumer, r.TenantID, r.Generation, logID, head)
	return r.writing(err)
}

// SetBack makes a row stand at an event, whatever it has applied; a stalled row is live again. What it has built must be set back, too.
func (r Row) SetBack(ctx context.Context, tx pgx.Tx, sequence int64, eventID, logID string) error {
	_, err := tx.Exec(ctx, `UPDATE neuronx.progress SET sequence = $4, event_id = $5, log_id = $6, seen = 0, missing_since = NULL, updated_at = now(),
		state = CASE WHEN state = 'stalled' THEN 'live' ELSE state END, reason = '' WHERE consumer = $1 AND tenant_id = $2 AND generation = $3`,
		r.Consumer, r.TenantID, r.Generation, sequence, eventID, logID)
	return r.writing(err)
}

// Replace retires a row and makes a generation in its place, which is built from the archive up to sequence head. reason is as of NewGeneration.
func (r Row) Replace(ctx context.Context, tx pgx.Tx, head int64, reason string) error {
	if _, err := Retire(ctx, tx, r.Consumer, r.TenantID, r.Generation); err != nil {
		return err
	}
	g, err := NewGeneration(ctx, tx, r.Consumer, r.TenantID, r.Partition, reason)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE neuronx.progress SET seen = $4 WHERE consumer = $1 AND tenant_id = $2 AND generation = $3`, r.Consumer, r.TenantID, g, head)
	return r.writing(err)
}

func (r Row) writing(err error) error {
	if err != nil {
		return fmt.Errorf("write the progress of %s for %s: %w", r.Consumer, r.TenantID, err)
	}
	return nil
}

// SetOffset makes a consumer read on in a partition of a topic's successor; an empty consumer means all, whose log ids stay.
func SetOffset(ctx context.Context, tx pgx.Tx, o Offset) error {
	return postgres.Exec(ctx, tx, fmt.Sprintf("set the offset of %s/%d", o.Topic, o.Partition), `UPDATE neuronx.partition_progress SET topic_id = $4, next_offset = $5, log_id = CASE WHEN $1 = '' THEN log_id ELSE $6 END, updated_at = now()
		WHERE ($1 = '' OR consumer = $1) AND topic = $2 AND partition = $3`, o.Consumer, o.Topic, o.Partition, o.TopicID, o.Next, o.LogID)
}

// AddLineage notes that the log of a partition of a topic goes on where another one ended. A second time changes nothing.
func AddLineage(ctx context.Context, tx pgx.Tx, logID, predecessor string, partition int32, topic uuid.UUID) error {
	return postgres.Exec(ctx, tx, "note the log's lineage", `INSERT INTO neuronx.log_lineage (log_id, predecessor, partition, topic_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		logID, predecessor, partition, topic)
}

// EndResets fails the resets that are under way, for a reason, and puts back none of their offsets: they were of a log that is gone.
func EndResets(ctx context.Context, tx pgx.Tx, reason string) error {
	return postgres.Exec(ctx, tx, "end resets", `UPDATE neuronx.resets SET state = CASE WHEN state IN ('requested', 'running') THEN 'failed' ELSE state END, put_back = true,
		detail = CASE WHEN state IN ('requested', 'running') THEN $1 ELSE detail END WHERE NOT put_back OR state IN ('requested', 'running')`, reason)
}
