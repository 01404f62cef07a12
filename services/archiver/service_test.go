package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// rig is a broker, a database, and an archiver that can be started and stopped.
type rig struct {
	t     *testing.T
	kafka kafka.Config
	db    *postgrestest.DB
	pool  *pgxpool.Pool
	admin *pgxpool.Pool
	dead  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, kafka: kafkatest.Start(t), db: postgrestest.New(t, consumer.Migrations(), outbox.Migrations(), Migrations())}
	r.pool, r.admin = r.db.Pool(t, postgres.RoleArchiver), r.db.Pool(t, "")
	return r
}

// start runs the archiver and returns what stops it.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := newArchiver(r.pool, r.kafka, &fakeSchemas{schema: parsed(r.t)}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
	c, err := consumer.New(consumer.Config{Name: kafka.GroupArchiver, Slot: "0", Kafka: r.kafka, Pool: r.pool, DeadLetters: true, MaxBatch: 50,
		Meaning: "audit", PollEvery: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}, a)
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("the archiver ended: %v", err)
		}
	}
}

// log writes events to neuronx.events and returns them as the log holds them.
func (r *rig) log(events ...event.Recorded) []event.Recorded {
	recs := make([]*kafka.Record, len(events))
	for i := range events {
		recs[i] = kafka.RecordedToRecord(&events[i])
	}
	kafkatest.Produce(r.t, r.kafka, recs...)
	return events
}

func (r *rig) letter(n int) {
	r.dead++
	kafkatest.Produce(r.t, r.kafka, &kafka.Record{Topic: kafka.TopicDeadLetter, Key: []byte("acme"), Value: []byte{0, byte(n)}, Headers: []kafka.RecordHeader{
		{Key: "ce_id", Value: fmt.Append(nil, n)}, {Key: "nx_error_code", Value: []byte("invalid_body")}, {Key: "__connect.errors.topic", Value: []byte(kafka.TopicIngress)},
		{Key: "__connect.errors.partition", Value: []byte("0")}, {Key: "__connect.errors.offset", Value: fmt.Append(nil, n)},
		{Key: "ce_recordedtime", Value: []byte("2026-01-01T00:00:00Z")}}})
}

func (r *rig) count(sql string, args ...any) (n int) {
	r.t.Helper()
	if err := r.admin.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) waitCount(what string, want int, sql string, args ...any) {
	r.t.Helper()
	kafkatest.WaitFor(r.t, what, func(context.Context) bool { return r.count(sql, args...) == want })
}

const countEvents, countLetters = `SELECT count(*) FROM neuronx.tenant_events`, `SELECT count(*) FROM neuronx.dead_letters`

// resetTo sets the group's offsets of a topic as a foreign tool would: without metadata.
func (r *rig) resetTo(topic string, offset int64) {
	r.t.Helper()
	adm, err := admin.New(r.kafka)
	if err != nil {
		r.t.Fatal(err)
	}
	defer adm.Close()
	offsets := map[kafka.TopicPartition]kafka.Committed{}
	for p := range int32(kafkatest.Partitions) {
		offsets[kafka.TopicPartition{Topic: topic, Partition: p}] = kafka.Committed{Offset: offset, Present: true}
	}
	kafkatest.WaitFor(r.t, "the group is empty and takes the reset", func(ctx context.Context) bool {
		return adm.Commit(ctx, kafka.GroupArchiver, offsets) == nil
	})
}

func TestArchiver_ArchiveIsStoredLogOverRestarts(t *testing.T) {
	r := newRig(t)
	acme, beta := r.log(run("acme", 1, 120).Events...), r.log(run("beta", 1, 7).Events...)
	r.letter(1)
	stop := r.start()
	r.waitCount("all events", 127, countEvents)
	r.waitCount("the dead letter", 1, countLetters)
	stop()
	acme = append(acme, r.log(run("acme", 121, 30).Events...)...)
	r.letter(2)
	stop = r.start()
	defer stop()
	r.waitCount("the later events", 157, countEvents)
	r.waitCount("both dead letters", 2, countLetters)
	checkArchive(t, r.db, "acme", acme)
	checkArchive(t, r.db, "beta", beta)
}

// Whoever looks sees rows and progress agree: they are one transaction. The planted bug archiver_commits_first of
// e2e/seeds breaks this.
func TestArchiver_ProgressIsNeverAheadOfTheRows(t *testing.T) {
	r := newRig(t)
	stop := r.start()
	defer stop()
	ahead := 0
	for from := int64(1); from < 200; from += 40 {
		r.log(run("acme", from, 40).Events...)
		kafkatest.WaitFor(t, "progress", func(context.Context) bool {
			var sequence, rows int64
			err := r.admin.QueryRow(context.Background(), `SELECT coalesce((SELECT sequence FROM neuronx.progress WHERE tenant_id = 'acme'), 0),
				(SELECT count(*) FROM neuronx.tenant_events WHERE tenant_id = 'acme')`).Scan(&sequence, &rows)
			if err != nil {
				t.Fatal(err)
			}
			if sequence != rows {
				ahead++
			}
			return sequence == from+39
		})
	}
	if ahead > 0 {
		t.Fatalf("%d times progress told of rows that were not there", ahead)
	}
}

func TestArchiver_ItsOwnGapStallsThatTenantAtOnce(t *testing.T) {
	r := newRig(t)
	r.log(recorded("acme", 1), recorded("acme", 2), recorded("acme", 4), recorded("beta", 1))
	stop := r.start()
	defer stop()
	r.waitCount("acme is stalled for its gap", 1, `SELECT count(*) FROM neuronx.progress WHERE tenant_id = 'acme' AND state = 'stalled' AND reason = 'gap' AND sequence = 2`)
	r.waitCount("beta goes on", 1, countEvents+` WHERE tenant_id = 'beta'`)
	checkArchive(t, r.db, "acme", run("acme", 1, 2).Events)
}

func TestReset_BackIsAnAudit(t *testing.T) {
	r := newRig(t)
	events := r.log(run("acme", 1, 60).Events...)
	for n := range 3 {
		r.letter(n)
	}
	stop := r.start()
	r.waitCount("all events", 60, countEvents)
	r.waitCount("dead letters", 3, countLetters)
	stop()

	const done = `SELECT count(*) FROM neuronx.resets WHERE state = 'done' AND examined = $1 AND differences = $2`
	r.resetTo(kafka.TopicEvents, 0)
	r.resetTo(kafka.TopicDeadLetter, 0)
	stop = r.start()
	r.waitCount("a clean audit of the events", 1, done, 60, 0)
	r.waitCount("a clean audit of the dead letters", 1, done, 3, 0)
	r.waitCount("the group's offsets are put back", 0, `SELECT count(*) FROM neuronx.resets WHERE NOT put_back`)
	stop()
	checkArchive(t, r.db, "acme", events)
	if got := r.count(countLetters); got != 3 {
		t.Fatal(got)
	}

	for _, sql := range []string{ // what no role may do, a thief with the server's disk can
		`UPDATE neuronx.tenant_events SET payload = set_byte(payload, 3, 0) WHERE sequence = 17`,
		`DELETE FROM neuronx.tenant_events WHERE sequence = 40`,
		`UPDATE neuronx.tenant_events SET hash = sha256('') WHERE sequence = 50`,
		`UPDATE neuronx.dead_letters SET value = 'x' WHERE "offset" = 1`,
	} {
		if _, err := r.admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r.resetTo(kafka.TopicEvents, 0)
	r.resetTo(kafka.TopicDeadLetter, 0)
	stop = r.start()
	defer stop()
	r.waitCount("the audit finds three", 1, done, 60, 3)
	r.waitCount("the audit finds the letter", 1, done, 3, 1)
	var detail string
	if err := r.admin.QueryRow(t.Context(), `SELECT detail FROM neuronx.resets WHERE differences = 3`).Scan(&detail); err != nil || !strings.Contains(detail, "acme/17") {
		t.Errorf("first difference %q, %v", detail, err)
	}
	if got := r.count(countEvents); got != 59 {
		t.Errorf("%d rows: an audit writes nothing", got)
	}
}

// kafka-side trouble of the audit is not the archive's: what was trimmed is said, not counted.
func TestReset_BelowTheStartOfTheLogIsClamped(t *testing.T) {
	r := newRig(t)
	r.log(run("acme", 1, 20).Events...)
	stop := r.start()
	r.waitCount("all events", 20, countEvents)
	stop()
	adm, err := admin.New(r.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	p := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	if err := adm.DeleteRecords(t.Context(), map[kafka.TopicPartition]int64{{Topic: kafka.TopicEvents, Partition: p}: 15}); err != nil {
		t.Fatal(err)
	}
	a := newArchiver(r.pool, r.kafka, &fakeSchemas{schema: parsed(t)}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
	report := &consumer.ResetReport{}
	if err := a.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, Partition: p, From: 20, To: 0, Report: report}); err != nil {
		t.Fatal(err)
	}
	if report.Examined != 5 || report.Differences != 0 || !strings.Contains(report.Detail, "below 15") {
		t.Errorf("%+v", report)
	}
	if err := a.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, Partition: p, From: 20, To: 30, Report: report}); err != nil {
		t.Errorf("forward: %v", err)
	}
}

// The migration file is a contract with dashboards and auditors: the columns they rely on exist.
func TestMigrations_HaveTheColumnsOfTheOutsideContract(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	if _, err := db.Pool(t, postgres.RoleOps).Exec(t.Context(), `SELECT tenant_id, sequence, position, event_id, event_type, subject, source, occurred_at, recorded_at,
		correlation_id, causation_id, schema_id, payload, data FROM neuronx.tenant_events`); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join("migrations", "00001_archive.sql")); err != nil {
		t.Error(err)
	}
}
