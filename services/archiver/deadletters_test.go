package archiver

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func deadLetter(n int64) consumer.DeadLetter {
	return consumer.DeadLetter{
		TenantID: "acme", Code: "invalid_body", Detail: "cut off", Topic: kafka.TopicIngress, Partition: 2, Offset: n,
		Event: event.Event{TenantID: "acme", ID: fmt.Sprint("bad-", n), Type: "lead.created"}, RecordedTime: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Key: []byte("acme"), Value: []byte{0, 0xff, byte(n)}, Headers: []event.Header{{Key: "ce_id", Value: []byte{0xff, 0}}},
		LetterPartition: 2, LetterOffset: 10 * n, LetterRecordTime: time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC),
	}
}

func checkLetters(t *testing.T, db *postgrestest.DB, want []consumer.DeadLetter) {
	t.Helper()
	var n int
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT count(*) FROM neuronx.dead_letters`).Scan(&n); err != nil || n != len(want) {
		t.Fatalf("%d dead letters, %v; want %d", n, err, len(want))
	}
	for _, d := range want {
		var value, headers []byte
		row := letterRow(&d)
		err := db.Pool(t, postgres.RoleOps).QueryRow(t.Context(), `SELECT value, headers FROM neuronx.dead_letters WHERE topic = $1 AND partition = $2 AND "offset" = $3`,
			row.topic, row.partition, row.offset).Scan(&value, &headers)
		if err != nil || !bytes.Equal(value, d.Value) || !bytes.Equal(headers, archive.EncodeHeaders(d.Headers)) {
			t.Fatalf("%x %x %v", value, headers, err)
		}
	}
}

func TestApplyDeadLetters_KeepsAnythingOnce(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	keep := func(letters ...consumer.DeadLetter) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return a.ApplyDeadLetters(t.Context(), tx, letters) })
	}
	ugly := consumer.DeadLetter{Code: "x\x00y\xff", Detail: "\x00", Partition: -1, Offset: -1, LetterPartition: 1, LetterOffset: 5,
		Event: event.Event{ID: "\x00", Subject: string(bytes.Repeat([]byte("ü"), 4000))}, LetterRecordTime: time.Unix(1, 0)}
	letters := []consumer.DeadLetter{deadLetter(1), deadLetter(2), ugly}
	if err := keep(letters...); err != nil {
		t.Fatal(err)
	}
	checkLetters(t, db, letters)
	if err := keep(letters...); err != nil { // read again
		t.Fatal(err)
	}
	checkLetters(t, db, letters)
	other := deadLetter(1)
	other.Value = []byte("another")
	other.LetterOffset = 77
	for range 2 { // the second time it is read again
		if err := keep(other); err != nil {
			t.Fatalf("another letter of the same record: %v", err)
		}
	}
	own := other
	own.Topic, own.Partition, own.Offset = kafka.TopicDeadLetter, other.LetterPartition, other.LetterOffset
	checkLetters(t, db, append(letters, own))
	far := deadLetter(3)
	far.RecordedTime, far.LetterRecordTime, far.Offset = time.Time{}, time.UnixMilli(1<<62), 3_000
	if err := keep(far); err != nil {
		t.Errorf("a letter of the year 146 million: %v", err)
	}
}

// Headers are whatever the writer of a record puts there, so two records can claim any location, also that of a third.
func TestApplyDeadLetters_GoesOnWhateverPlaceALetterClaims(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	keep := func(letters ...consumer.DeadLetter) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return a.ApplyDeadLetters(t.Context(), tx, letters) })
		if err != nil {
			t.Fatal(err)
		}
	}
	claim := func(own int64, value string) consumer.DeadLetter {
		d := deadLetter(own)
		d.Topic, d.Partition, d.Offset, d.LetterPartition, d.LetterOffset, d.Value = kafka.TopicDeadLetter, 0, 5, 0, own, []byte(value)
		return d
	}
	owner := claim(5, "the one that stands there")
	owner.Topic, owner.Partition, owner.Offset = "", -1, -1
	letters := []consumer.DeadLetter{claim(3, "first"), claim(4, "second"), owner, claim(6, "third")}
	keep(letters...)
	keep(letters...) // read again
	checkLetters(t, db, letters)
	var n int
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT count(*) FROM neuronx.dead_letters WHERE topic = $1 AND letter_offset = "offset"`,
		kafka.TopicDeadLetter).Scan(&n); err != nil || n != len(letters) {
		t.Errorf("%d letters are kept under their own location, %v; want %d", n, err, len(letters))
	}
	recreated := owner // the topic was recreated
	recreated.Value = []byte("of another topic")
	keep(recreated)
	checkLetters(t, db, letters)
}

// llm-d/llm-d-router#1625: a label took what clients wrote, and each made-up value was a series for ever. A letter's code is a header, which anybody
// who may write to the topic can fill in.
func TestApplyDeadLetters_MadeUpCodesMakeNoSeries(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	letters := []consumer.DeadLetter{deadLetter(1), deadLetter(2)}
	for n := int64(3); n < 100; n++ {
		d := deadLetter(n)
		d.Code = fmt.Sprintf("made-up-%d\xff", n)
		letters = append(letters, d)
	}
	letters[2].Code = ""
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return a.ApplyDeadLetters(t.Context(), tx, letters) }); err != nil {
		t.Fatal(err)
	}
	checkLetters(t, db, letters)
	for label, want := range map[string]float64{"invalid_body": 2, "unknown": 1, "other": 96} {
		if got := testutil.ToFloat64(a.m.deadLetters.WithLabelValues(label)); got != want {
			t.Errorf("%v letters of reason %s, want %v", got, label, want)
		}
	}
	if n := testutil.CollectAndCount(a.m.deadLetters); n != 3 {
		t.Errorf("%d series", n)
	}
}

func TestDeadLetters_OnlyTheirTenantAndOperatorsSeeThem(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	nobody := deadLetter(2)
	nobody.TenantID, nobody.Event.TenantID = "", ""
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return a.ApplyDeadLetters(t.Context(), tx, []consumer.DeadLetter{deadLetter(1), nobody})
	}); err != nil {
		t.Fatal(err)
	}
	for role, wants := range map[string]map[string]int{
		postgres.RoleReader: {"acme": 1, "beta": 0, "": 0}, postgres.RoleIngest: {"acme": 1, "": 0}, postgres.RoleOps: {"": 2},
	} {
		for tenant, want := range wants {
			err := pgx.BeginFunc(t.Context(), db.Pool(t, role), func(tx pgx.Tx) error {
				if err := postgres.SetTenant(context.Background(), tx, tenant); err != nil {
					return err
				}
				var n int
				if err := tx.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.dead_letters`).Scan(&n); err != nil || n != want {
					t.Errorf("%s as %q sees %d, want %d, %v", role, tenant, n, want, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
