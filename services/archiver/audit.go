package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/postgres"
)

// auditBatch bounds what an audit holds in memory: records, and bytes of their values.
const (
	auditBatch = 1_000
	auditBytes = 16 << 20
)

// Reset does what resetting the archiver's group means. Back: the stretch of the log is read again and compared with the archive,
// nothing is written. Forward: nothing, the loop goes on from its own row.
//
// A difference is a row: one that the archive lacks, one whose stored bytes, hash, columns or rendered data are not those of the log's
// record, and one that the archive has and the log has not.
func (a *Archiver) Reset(ctx context.Context, r consumer.Reset) error {
	if !r.Back() {
		a.log.Info("reset forward: going on from the archive's own row", "topic", r.Topic, "partition", r.Partition, "row", r.From, "offset", r.To)
		return nil
	}
	moves, err := archive.LoadMoves(ctx, a.pool)
	if err != nil {
		return consumer.Transient(err)
	}
	audit := auditor{a: a, moves: moves, met: map[string]bool{}}
	from, partitions, err := a.firstOffset(ctx, r)
	if err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	if err := read.Range(ctx, a.kafka, r.Topic, r.Partition, from, r.From, func(rec *kafka.Record) error { return audit.take(ctx, rec) }); err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	if err := audit.flush(ctx); err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	if err := audit.foreign(ctx, r, from, partitions); err != nil {
		return fmt.Errorf("audit %s/%d: %w", r.Topic, r.Partition, err)
	}
	a.m.audited.Add(float64(audit.examined))
	a.m.differences.Add(float64(audit.differences))
	if audit.differences > 0 {
		a.log.Error("the archive is not what the log says", "topic", r.Topic, "partition", r.Partition, "examined", audit.examined,
			"differences", audit.differences, "first", audit.first)
	}
	if r.Report != nil {
		*r.Report = audit.report(from > r.To, from)
	}
	return nil
}

// report tells what an audit found, and what it did not look at.
func (u *auditor) report(trimmed bool, from int64) consumer.ResetReport {
	r := consumer.ResetReport{Examined: u.examined, Differences: u.differences, Detail: u.first}
	if u.first != "" {
		r.Told = fmt.Sprintf("%d rows are not what the log says, of %d compared", u.differences, u.examined)
	}
	var not []string
	if trimmed {
		not = append(not, fmt.Sprintf("offsets below %d are trimmed from the log and were not compared", from))
	}
	if u.bare > 0 {
		not = append(not, fmt.Sprintf("%d rows were archived without rendered data, which was not compared", u.bare))
	}
	r.NotCounted = strings.Join(not, "; ")
	if r.Detail == "" {
		r.Detail = r.NotCounted
	}
	return r
}

// firstOffset is where the audit begins: the operator's offset, or the start of the log when that is later. It also returns how many
// partitions the topic has.
func (a *Archiver) firstOffset(ctx context.Context, r consumer.Reset) (from int64, partitions int32, _ error) {
	adm, err := admin.New(a.kafka)
	if err != nil {
		return 0, 0, err
	}
	defer adm.Close()
	starts, err := adm.StartOffsets(ctx, r.Topic)
	if err != nil {
		return 0, 0, consumer.Transient(err)
	}
	topics, err := adm.Topics(ctx, r.Topic)
	if err != nil {
		return 0, 0, consumer.Transient(err)
	}
	return min(max(r.To, starts[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}]), r.From), topics[r.Topic].Partitions, nil
}

// auditor compares records of one partition, a batch at a time.
type auditor struct {
	a           *Archiver
	moves       archive.Moves
	events      []event.Recorded
	bytes       int
	examined    int64
	differences int64
	first       string          // the first difference
	bare        int64           // rows without data that could be rendered
	met         map[string]bool // tenants, in the log
	letters     int64           // that were found in the archive
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
	columns       bool // those that are found and read by are what the event says
}

func (u *auditor) tenant(ctx context.Context, tenant string, events []event.Recorded) error {
	u.met[tenant] = true
	wants := make([]entry, len(events))
	problems := make([]error, len(events))
	for i, e := range events {
		wants[i], problems[i] = u.a.entry(ctx, e)
		if consumer.IsTransient(problems[i]) || errors.Is(problems[i], context.Canceled) {
			return problems[i]
		}
		wants[i].event = e
	}
	rows := map[int64]archivedRow{}
	otherData := map[int64]bool{}
	err := pgx.BeginTxFunc(ctx, u.a.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := postgres.SetTenant(ctx, tx, tenant); err != nil {
			return err
		}
		if err := loadArchived(ctx, tx, tenant, wants, rows); err != nil {
			return err
		}
		bare, err := dataDiffers(ctx, tx, tenant, wants, otherData)
		u.bare += bare
		return err
	})
	if err != nil {
		return fmt.Errorf("read archive of %s: %w", tenant, err)
	}
	for i, e := range events {
		u.examined++
		want := wants[i]
		row, ok := rows[e.Sequence]
		switch {
		case !ok:
			u.differ("%s/%d (event %s) is in the log and not in the archive", tenant, e.Sequence, e.ID)
		case problems[i] != nil:
			u.differ("%s/%d (event %s) cannot be stored again: %v", tenant, e.Sequence, e.ID, problems[i])
		case u.sameButNumber(e, row, want):
		case !bytes.Equal(row.payload, want.stored):
			u.differ("%s/%d (event %s): the archive holds other bytes than stored(log)%s", tenant, e.Sequence, e.ID, otherEvent(row.payload, e))
		case !bytes.Equal(row.hash, want.hash[:]) || row.schemaID != want.schema:
			u.differ("%s/%d (event %s): hash or schema id is not that of the bytes", tenant, e.Sequence, e.ID)
		case !row.columns:
			u.differ("%s/%d (event %s): the columns beside the bytes say something else", tenant, e.Sequence, e.ID)
		case otherData[e.Sequence]:
			u.differ("%s/%d (event %s): the data beside the bytes is not rendered from them", tenant, e.Sequence, e.ID)
		}
	}
	return nil
}

// loadArchived reads the rows of events and compares the columns that people and dashboards read. Where a record was read in the log
// (partition and offset) is not compared: a log that was rebuilt from the archive has it elsewhere.
func loadArchived(ctx context.Context, tx pgx.Tx, tenant string, wants []entry, rows map[int64]archivedRow) error {
	columns := make([][]any, len(loadColumns))
	for i := range wants {
		for j, v := range wants[i].values() {
			columns[j] = append(columns[j], v)
		}
	}
	at := func(name string) []any { return columns[slices.Index(loadColumns, name)] }
	res, err := tx.Query(ctx, `SELECT t.sequence, t.payload, t.hash, t.schema_id,
			ROW(t.position, t.event_id, t.event_type, t.subject, t.source, t.occurred_at, t.recorded_at, t.correlation_id, t.causation_id, t.log_id)
				IS NOT DISTINCT FROM ROW(v.position, v.event_id, v.event_type, v.subject, v.source, v.occurred_at, v.recorded_at, v.correlation_id, v.causation_id, v.log_id)
		FROM neuronx.tenant_events t JOIN unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
				$9::timestamptz[], $10::text[], $11::text[], $12::text[])
			AS v (sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, log_id)
			ON t.sequence = v.sequence WHERE t.tenant_id = $1`, tenant, at("sequence"), at("position"), at("event_id"), at("event_type"), at("subject"),
		at("source"), at("occurred_at"), at("recorded_at"), at("correlation_id"), at("causation_id"), at("log_id"))
	if err != nil {
		return err
	}
	var seq int64
	var row archivedRow
	_, err = pgx.ForEachRow(res, []any{&seq, &row.payload, &row.hash, &row.schemaID, &row.columns}, func() error {
		rows[seq] = row
		row = archivedRow{}
		return nil
	})
	return err
}

// dataDiffers finds the rows whose data is not what their events render to. Data that jsonb does not take is archived as null; so is what
// an older build could not render, which is counted apart.
func dataDiffers(ctx context.Context, tx pgx.Tx, tenant string, wants []entry, other map[int64]bool) (bare int64, _ error) {
	var sequences []int64
	var data []*string
	for i := range wants {
		sequences = append(sequences, wants[i].event.Sequence)
		if wants[i].data == nil {
			data = append(data, nil)
			continue
		}
		text := string(wants[i].data)
		data = append(data, &text)
	}
	var found []int64
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT t.sequence, t.data IS NULL FROM neuronx.tenant_events t JOIN unnest($2::bigint[], $3::text[]) AS v (sequence, data)
			ON t.sequence = v.sequence WHERE t.tenant_id = $1 AND t.data IS DISTINCT FROM v.data::jsonb`, tenant, sequences, data)
		if err != nil {
			return err
		}
		var seq int64
		var none bool
		_, err = pgx.ForEachRow(rows, []any{&seq, &none}, func() error {
			if none {
				bare++
			} else {
				found = append(found, seq)
			}
			return nil
		})
		return err
	})
	switch {
	case err != nil && refusedByJSON(err) && len(wants) > 1: // only the culprit goes without
		half := len(wants) / 2
		a, err := dataDiffers(ctx, tx, tenant, wants[:half], other)
		if err != nil {
			return a, err
		}
		b, err := dataDiffers(ctx, tx, tenant, wants[half:], other)
		return a + b, err
	case err != nil && refusedByJSON(err):
		wants = []entry{{event: wants[0].event}}
		return dataDiffers(ctx, tx, tenant, wants, other)
	case err != nil:
		return 0, err
	}
	for _, seq := range found {
		other[seq] = true
	}
	return bare, nil
}

// sameButNumber reports whether the archive holds the event under another number of the same schema: the log was rebuilt from the
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
