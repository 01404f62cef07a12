package archiver

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// Whatever statement fails of what the archiver writes and compares, the error is told, no row is kept by halves, and an audit reports
// nothing of what it could not look at.
func TestArchiver_TellsEveryStatementThatFails(t *testing.T) {
	r := newRig(t)
	events := r.log(run("acme", 1, 12).Events...)
	r.letter(1)
	breaker, url := postgrestest.NewBreaker(t, r.db.URL(postgres.RoleArchiver))
	pool, err := postgres.Open(t.Context(), url, postgres.MaxConns(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	fresh := func() *Archiver { // it knows no tenant and no schema yet
		return newArchiver(pool, r.kafka, &fakeSchemas{schema: parsed(t)}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
	}
	inTx := func(what string, fn func(a *Archiver, tx pgx.Tx) error) {
		t.Helper()
		breaker.Each(t, what, func() error {
			return pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error { return fn(fresh(), tx) })
		})
	}
	inTx("a batch", func(a *Archiver, tx pgx.Tx) error {
		return a.ApplyBatch(t.Context(), tx, []consumer.Run{{TenantID: "acme", Generation: 1, Events: events[:6]}})
	})
	inTx("a run", func(a *Archiver, tx pgx.Tx) error {
		return a.Apply(t.Context(), tx, consumer.Run{TenantID: "acme", Generation: 1, Events: events[6:]})
	})
	checkArchive(t, r.db, "acme", events)
	inTx("a dead letter", func(a *Archiver, tx pgx.Tx) error {
		return a.ApplyDeadLetters(t.Context(), tx, []consumer.DeadLetter{deadLetter(1)})
	})
	other := deadLetter(1)
	other.Value, other.LetterOffset = []byte("another"), 77
	inTx("another dead letter of the same record", func(a *Archiver, tx pgx.Tx) error {
		return a.ApplyDeadLetters(t.Context(), tx, []consumer.DeadLetter{other})
	})
	if n := r.count(countLetters); n != 2 {
		t.Errorf("%d dead letters are kept, want 2", n)
	}
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	if _, err := r.admin.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ('neuronx.archiver', 1, 'acme', $1, 12)`, partition); err != nil {
		t.Fatal(err)
	}
	if _, err := r.admin.Exec(t.Context(), `INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset) VALUES ('neuronx.archiver', 1, $2, $1, gen_random_uuid(), 1)`,
		partition, kafka.TopicDeadLetter); err != nil {
		t.Fatal(err)
	}
	for topic, from := range map[string]int64{kafka.TopicEvents: 12, kafka.TopicDeadLetter: 1} {
		untouched := consumer.ResetReport{Examined: -1}
		report := untouched
		breaker.Each(t, "an audit of "+topic, func() error {
			report = untouched
			err := fresh().Reset(t.Context(), consumer.Reset{Topic: topic, Partition: partition, From: from, To: 0, Report: &report})
			if err != nil && report != untouched {
				t.Errorf("an audit that failed with %v reports %+v", err, report)
			}
			return err
		})
		if report.Examined != from {
			t.Errorf("%s: %+v, want %d examined", topic, report, from)
		}
	}
	book := &fakeSchemas{err: context.DeadlineExceeded}
	breaker.Each(t, "a schema of the archive", func() error {
		_, err := newSchemaBook(book, pool).byID(t.Context(), 7)
		return err
	})
	if k, err := newSchemaBook(book, pool).byID(t.Context(), 7); err != nil || k.fingerprint != parsed(t).Fingerprint() || k.schema == nil {
		t.Errorf("a schema that the archive has met is not read from there: %+v, %v", k, err)
	}
}
