package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Row is one row of neuronx.progress.
type Row struct {
	Consumer     string // the group, and for a further feed a dot and its name
	TenantID     string
	Generation   int64
	Partition    int32
	Sequence     int64  // the last one applied
	Seen         int64  // the highest one that was passed without being applied
	EventID      string // of Sequence; empty after a skip
	LogID        string // of Sequence
	State        State
	Reason       string
	MissingSince time.Time // zero: nothing is being waited for
	UpdatedAt    time.Time
	Definition   string // of what built it (DefinedHandler): DefinitionMixed if several did; empty: not known
}

const rowColumns = `consumer, tenant_id, generation, partition, sequence, seen, event_id, log_id, state, reason, coalesce(missing_since, 'epoch'), updated_at, coalesce(definition, '')`

func scanRow(row pgx.CollectableRow) (Row, error) { return scanRowAnd(row) }

// scanRowAnd reads rowColumns and what stands behind them.
func scanRowAnd(row pgx.CollectableRow, further ...any) (Row, error) {
	var r Row
	err := row.Scan(append([]any{&r.Consumer, &r.TenantID, &r.Generation, &r.Partition, &r.Sequence, &r.Seen, &r.EventID, &r.LogID, &r.State, &r.Reason,
		&r.MissingSince, &r.UpdatedAt, &r.Definition}, further...)...)
	if r.MissingSince.Unix() == 0 {
		r.MissingSince = time.Time{}
	}
	return r, err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// loadRows returns the rows of tenants that are not retired, by consumer and tenant, generations ascending.
func loadRows(ctx context.Context, q querier, consumers, tenants []string) (map[string]map[string][]Row, error) {
	rows, err := q.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress
		WHERE consumer = ANY($1) AND tenant_id = ANY($2) AND state <> 'retired' ORDER BY tenant_id, generation`, consumers, tenants)
	list, err := postgres.Collect(rows, err, "load progress", scanRow)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string][]Row, len(consumers))
	for _, c := range consumers {
		out[c] = make(map[string][]Row, len(tenants))
	}
	for _, r := range list {
		out[r.Consumer][r.TenantID] = append(out[r.Consumer][r.TenantID], r)
	}
	return out, nil
}

// insertRows makes the first rows of tenants that were never met.
func insertRows(ctx context.Context, tx pgx.Tx, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	consumers, tenants, partitions := make([]string, len(rows)), make([]string, len(rows)), make([]int32, len(rows))
	for i, r := range rows {
		consumers[i], tenants[i], partitions[i] = r.Consumer, r.TenantID, r.Partition
	}
	tag, err := tx.Exec(ctx, `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition)
		SELECT v.consumer, 1, v.tenant_id, v.partition FROM unnest($1::text[], $2::text[], $3::int[]) AS v (consumer, tenant_id, partition)
		ON CONFLICT DO NOTHING`, consumers, tenants, partitions)
	if err != nil {
		return fmt.Errorf("insert progress: %w", err)
	}
	if tag.RowsAffected() != int64(len(rows)) {
		return fmt.Errorf("insert progress: %w", errRowMoved)
	}
	return nil
}

// move is a compare-and-set of one progress row: from what was loaded to what is true after the batch.
type move struct{ from, to Row }

// moved reports whether anything is different.
func (m move) moved() bool { return m.from != m.to }

// moveRows writes the moves in one statement. A row that is not as it was loaded is errRowMoved: somebody else owns the tenant, or
// an operator changed its state, or a batch passed more events by a generation that was about to be live.
func moveRows(ctx context.Context, tx pgx.Tx, moves []move) error {
	if len(moves) == 0 {
		return nil
	}
	n := len(moves)
	consumers, tenants, generations := make([]string, n), make([]string, n), make([]int64, n)
	oldSequences, oldSeen, oldStates := make([]int64, n), make([]int64, n), make([]string, n)
	sequences, seen := make([]int64, n), make([]int64, n)
	ids, logs, states, reasons, definitions := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	missing := make([]*time.Time, n)
	for i, m := range moves {
		consumers[i], tenants[i], generations[i] = m.from.Consumer, m.from.TenantID, m.from.Generation
		oldSequences[i], oldSeen[i], oldStates[i] = m.from.Sequence, m.from.Seen, string(m.from.State)
		sequences[i], seen[i] = m.to.Sequence, m.to.Seen
		ids[i], logs[i], states[i], reasons[i], definitions[i] = m.to.EventID, m.to.LogID, string(m.to.State), m.to.Reason, m.to.Definition
		if !m.to.MissingSince.IsZero() {
			missing[i] = &m.to.MissingSince
		}
	}
	tag, err := tx.Exec(ctx, `UPDATE neuronx.progress p SET sequence = v.sequence, seen = greatest(p.seen, v.seen), event_id = v.event_id,
			log_id = v.log_id, state = v.state, reason = v.reason, missing_since = v.missing, updated_at = now(),
			definition = nullif(v.definition, '')
		FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::timestamptz[], $1::text[], $13::bigint[], $14::text[])
			AS v (tenant_id, generation, old_sequence, old_state, sequence, seen, event_id, log_id, state, reason, missing, consumer, old_seen, definition)
		WHERE p.consumer = v.consumer AND p.generation = v.generation AND p.tenant_id = v.tenant_id
			AND p.sequence = v.old_sequence AND p.state = v.old_state AND p.seen = v.old_seen`,
		consumers, tenants, generations, oldSequences, oldStates, sequences, seen, ids, logs, states, reasons, missing, oldSeen, definitions)
	if err != nil {
		return fmt.Errorf("move progress: %w", err)
	}
	if tag.RowsAffected() != int64(n) {
		return fmt.Errorf("move progress: %d of %d rows: %w", tag.RowsAffected(), n, errRowMoved)
	}
	return nil
}

// span is a stretch of one partition: the row's next offset before and after a batch.
type span struct {
	topic     string
	partition int32
	from, to  int64
	logID     string // of the last event; empty when the batch had none
}

// checkSpans compares the partition rows with what a batch starts from. done is true when they already stand at its end: an
// earlier attempt was committed although its answer was lost.
func checkSpans(ctx context.Context, tx pgx.Tx, consumer string, spans []span, uncertain bool) (done bool, err error) {
	at := 0
	for _, s := range spans {
		var next int64
		if err := tx.QueryRow(ctx, `SELECT next_offset FROM neuronx.partition_progress
			WHERE consumer = $1 AND generation = 1 AND topic = $2 AND partition = $3`, consumer, s.topic, s.partition).Scan(&next); err != nil {
			return false, fmt.Errorf("load partition progress: %w", err)
		}
		switch {
		case next == s.from:
		case uncertain && next == s.to:
			at++
		default:
			return false, fmt.Errorf("%s/%d: next offset is %d, not %d: %w", s.topic, s.partition, next, s.from, errTakenOver)
		}
	}
	return at > 0 && at == len(spans), nil
}

// moveSpans moves the partition rows, the fence against a member that was paused while another took over.
func moveSpans(ctx context.Context, tx pgx.Tx, consumer string, spans []span) error {
	for _, s := range spans {
		tag, err := tx.Exec(ctx, `UPDATE neuronx.partition_progress SET next_offset = $5, updated_at = now(),
				log_id = CASE WHEN $6 = '' THEN log_id ELSE $6 END
			WHERE consumer = $1 AND generation = 1 AND topic = $2 AND partition = $3 AND next_offset = $4`,
			consumer, s.topic, s.partition, s.from, s.to, s.logID)
		if err != nil {
			return fmt.Errorf("move partition progress: %w", err)
		}
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("%s/%d: %w", s.topic, s.partition, errTakenOver)
		}
	}
	return nil
}

// applied is r after e was applied.
func (r Row) applied(e event.Recorded) Row {
	r.Sequence, r.EventID, r.LogID, r.MissingSince = e.Sequence, e.ID, e.LogID, time.Time{}
	return r
}

// key is where the events of a row are kept that it is to catch up with.
func (r Row) key() string { return r.Consumer + "/" + r.TenantID }
