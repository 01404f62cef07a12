package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// auditBatch bounds what an audit holds in memory: records, and bytes of their values.
const (
	auditBatch = 1_000
	auditBytes = 16 << 20
)

// Reset does what resetting the archiver's group means. Back: the stretch of the log is read again and compared with the archive,
// nothing is written. Forward: nothing, the loop goes on from its own row.
func (a *Archiver) Reset(ctx context.Context, r consumer.Reset) error {
	if !r.Back() {
		a.log.Info("reset forward: going on from the archive's own row", "topic", r.Topic, "partition", r.Partition, "row", r.From, "offset", r.To)
		return nil
	}
	moves, err := archive.LoadMoves(ctx, a.pool)
	if err != nil {
		return consumer.Transient(err)
	}
	audit := auditor{a: a, moves: moves}
	from, err := a.firstOffset(ctx, r)
	if err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	if err := kafka.ReadRange(ctx, a.kafka, r.Topic, r.Partition, from, r.From, func(rec *kafka.Record) error { return audit.take(ctx, rec) }); err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	if err := audit.flush(ctx); err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	a.m.audited.Add(float64(audit.examined))
	a.m.differences.Add(float64(audit.differences))
	if audit.differences > 0 {
		a.log.Error("the archive is not what the log says", "topic", r.Topic, "partition", r.Partition, "examined", audit.examined,
			"differences", audit.differences, "first", audit.first)
	}
	if r.Report != nil {
		r.Report.Examined, r.Report.Differences, r.Report.Detail = audit.examined, audit.differences, audit.first
		if from > r.To && audit.first == "" {
			r.Report.Detail = fmt.Sprintf("offsets below %d are trimmed from the log and were not compared", from)
		}
	}
	return nil
}

// firstOffset is where the audit begins: the operator's offset, or the start of the log when that is later.
func (a *Archiver) firstOffset(ctx context.Context, r consumer.Reset) (int64, error) {
	admin, err := kafka.NewAdmin(a.kafka)
	if err != nil {
		return 0, err
	}
	defer admin.Close()
	starts, err := admin.StartOffsets(ctx, r.Topic)
	if err != nil {
		return 0, consumer.Transient(err)
	}
	return min(max(r.To, starts[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}]), r.From), nil
}

// auditor compares records of one partition, a batch at a time.
type auditor struct {
	a           *Archiver
	moves       archive.Moves
	events      []event.Recorded
	bytes       int
	examined    int64
	differences int64
	first       string // the first difference
}

func (u *auditor) take(ctx context.Context, rec *kafka.Record) error {
	if rec.Topic == kafka.TopicDeadLetter {
		return u.letter(ctx, rec)
	}
	e, err := kafka.ParseRecorded(rec)
	if err != nil {
		u.examined++
		u.differ("partition %d offset %d of the log cannot be read: %v", rec.Partition, rec.Offset, err)
		return nil
	}
	u.events = append(u.events, e)
	if u.bytes += len(rec.Value); len(u.events) >= auditBatch || u.bytes >= auditBytes {
		return u.flush(ctx)
	}
	return nil
}

func (u *auditor) differ(format string, args ...any) {
	u.differences++
	if u.first == "" {
		u.first = fmt.Sprintf(format, args...)
	}
}

// flush compares what was collected, tenant by tenant.
func (u *auditor) flush(ctx context.Context) error {
	byTenant := map[string][]event.Recorded{}
	var order []string
	for _, e := range u.events {
		if _, ok := byTenant[e.TenantID]; !ok {
			order = append(order, e.TenantID)
		}
		byTenant[e.TenantID] = append(byTenant[e.TenantID], e)
	}
	for _, tenant := range order {
		if err := u.tenant(ctx, tenant, byTenant[tenant]); err != nil {
			return err
		}
	}
	u.events, u.bytes = nil, 0
	return nil
}

type archivedRow struct {
	payload, hash []byte
	schemaID      int32
}

func (u *auditor) tenant(ctx context.Context, tenant string, events []event.Recorded) error {
	sequences := make([]int64, len(events))
	for i, e := range events {
		sequences[i] = e.Sequence
	}
	rows := map[int64]archivedRow{}
	err := pgx.BeginTxFunc(ctx, u.a.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
			return err
		}
		res, err := tx.Query(ctx, `SELECT sequence, payload, hash, schema_id FROM neuronx.tenant_events WHERE tenant_id = $1 AND sequence = ANY($2)`, tenant, sequences)
		if err != nil {
			return err
		}
		var seq int64
		var row archivedRow
		_, err = pgx.ForEachRow(res, []any{&seq, &row.payload, &row.hash, &row.schemaID}, func() error {
			rows[seq] = row
			row = archivedRow{}
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read archive of %s: %w", tenant, err)
	}
	for _, e := range events {
		u.examined++
		row, ok := rows[e.Sequence]
		if !ok {
			u.differ("%s/%d (event %s) is in the log and not in the archive", tenant, e.Sequence, e.ID)
			continue
		}
		want, err := u.a.entry(ctx, e)
		if consumer.IsTransient(err) || errors.Is(err, context.Canceled) {
			return err
		}
		switch {
		case err != nil:
			u.differ("%s/%d (event %s) cannot be stored again: %v", tenant, e.Sequence, e.ID, err)
		case u.sameButNumber(e, row, want):
		case !bytes.Equal(row.payload, want.stored):
			u.differ("%s/%d (event %s): the archive holds other bytes than stored(log)%s", tenant, e.Sequence, e.ID, otherEvent(row.payload, e))
		case !bytes.Equal(row.hash, want.hash[:]) || row.schemaID != want.schema:
			u.differ("%s/%d (event %s): hash or schema id is not that of the bytes", tenant, e.Sequence, e.ID)
		}
	}
	return nil
}

// sameButNumber reports whether the archive holds the event under another number of the same schema: the log was built anew from the
// archive beside a registry that gave it this one.
func (u *auditor) sameButNumber(e event.Recorded, row archivedRow, want entry) bool {
	if row.schemaID == want.schema {
		return false
	}
	_, fingerprint, err := archive.ParseStored(row.payload)
	if err != nil || u.moves[fingerprint] != want.schema {
		return false
	}
	_, body, err := event.Unframe(e.Value)
	if err != nil {
		return false
	}
	e.Value = event.Frame(row.schemaID, body)
	again, err := archive.Stored(e, fingerprint)
	sum := sha256.Sum256(again)
	return err == nil && bytes.Equal(again, row.payload) && bytes.Equal(sum[:], row.hash)
}

// otherEvent says when the archive holds another event under the sequence, which means another log, not a damaged row.
func otherEvent(payload []byte, e event.Recorded) string {
	got, _, err := archive.ParseStored(payload)
	switch {
	case err != nil:
		return ", which cannot be read"
	case got.LogID != e.LogID:
		return fmt.Sprintf(": they are of log %s, this is log %s", got.LogID, e.LogID)
	case got.ID != e.ID:
		return fmt.Sprintf(": they are event %s", got.ID)
	}
	return ""
}

// letter compares one dead letter.
func (u *auditor) letter(ctx context.Context, rec *kafka.Record) error {
	u.examined++
	headers := make([]event.Header, len(rec.Headers))
	for i, h := range rec.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	want := archive.HashLetter(rec.Key, archive.EncodeHeaders(headers), rec.Value)
	var key, kept, value, hash []byte
	err := u.a.pool.QueryRow(ctx, `SELECT key, headers, value, hash FROM neuronx.dead_letters WHERE letter_partition = $1 AND letter_offset = $2`,
		rec.Partition, rec.Offset).Scan(&key, &kept, &value, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		u.differ("dead letter at partition %d offset %d is not in the archive", rec.Partition, rec.Offset)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dead letter: %w", err)
	}
	if have := archive.HashLetter(key, kept, value); have != want || !bytes.Equal(hash, want[:]) {
		u.differ("dead letter at partition %d offset %d: the archive holds other bytes", rec.Partition, rec.Offset)
	}
	return nil
}
