package archiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSchema = `{"type":"record","name":"LeadCreated","namespace":"neuronx.lead.v1","event_type":"lead.created",
	"fields":[{"name":"lead_id","type":"string"}]}`

// fakeSchemas is a registry with one schema, id 7.
type fakeSchemas struct {
	schema *avro.Schema
	err    error
}

func (f *fakeSchemas) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case id != 7:
		return nil, fmt.Errorf("schema %d: %w", id, registry.ErrUnknown)
	}
	return f.schema, nil
}

func parsed(t testing.TB) *avro.Schema {
	t.Helper()
	s, err := avro.Parse([]byte(testSchema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testBox() *outbox.Outbox { return outbox.New(deadletter.Deriver, event.NewKeyring()) }

func testArchiver(t testing.TB, pool *pgxpool.Pool) *Archiver {
	t.Helper()
	return newArchiver(pool, kafka.Config{}, &fakeSchemas{schema: parsed(t)}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
}

func recorded(tenant string, sequence int64) event.Recorded {
	lead := fmt.Sprintf("%d", sequence)
	body := append([]byte{byte(len(lead) * 2)}, lead...)
	at := time.Date(2026, 1, 2, 3, 4, int(sequence%60), 5000, time.UTC)
	return event.Recorded{
		Event: event.Event{TenantID: tenant, ID: fmt.Sprintf("e-%d", sequence), Source: "/crm", Type: "lead.created", Subject: "lead/" + lead,
			Time: at.Add(-time.Hour), ContentType: event.ContentTypeAvro, CorrelationID: "c", Value: event.Frame(7, body)},
		Sequence: sequence, Position: event.PositionAt(at.UnixMilli()) + sequence, RecordedTime: at, LogID: "log-1", Partition: 2, Offset: 100 + sequence,
	}
}

func run(tenant string, from, n int64) consumer.Run {
	r := consumer.Run{TenantID: tenant, Generation: 1}
	for s := from; s < from+n; s++ {
		r.Events = append(r.Events, recorded(tenant, s))
	}
	return r
}

func applyErr(ctx context.Context, a *Archiver, pool *pgxpool.Pool, runs ...consumer.Run) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return a.ApplyBatch(ctx, tx, runs) })
}

func applyAll(t testing.TB, a *Archiver, pool *pgxpool.Pool, runs ...consumer.Run) {
	t.Helper()
	if err := applyErr(context.Background(), a, pool, runs...); err != nil {
		t.Fatal(err)
	}
}

// checkArchive compares what a tenant has in the archive with stored(log), byte for byte.
func checkArchive(t testing.TB, db *postgrestest.DB, tenant string, want []event.Recorded) {
	t.Helper()
	rows, err := db.Pool(t, "").Query(context.Background(), `SELECT sequence, payload, hash FROM neuronx.tenant_events WHERE tenant_id = $1 ORDER BY sequence`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Sequence      int64
		Payload, Hash []byte
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows in the archive, %d events in the log", tenant, len(got), len(want))
	}
	fp := parsed(t).Fingerprint()
	for i, e := range want {
		stored, err := archive.Stored(e, fp)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(stored); got[i].Sequence != e.Sequence || !bytes.Equal(got[i].Payload, stored) || !bytes.Equal(got[i].Hash, sum[:]) {
			t.Fatalf("%s/%d: the archive is not stored(log)", tenant, e.Sequence)
		}
	}
}

// Rules that run over an event again, and consumers that catch up, take a missing sequence for a hole that stays if the archive has a later
// one. So a reader must never see part of a batch, whatever table it is written through, and however many there are.
func TestApplyBatch_AReaderSeesABatchWholeOrNotAtAll(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	applyAll(t, a, pool, run("acme", 1, 2))
	r := archive.NewReader(db.Pool(t, postgres.RoleProjector))
	sees := func(want int64) {
		t.Helper()
		head, err := r.Head(t.Context(), "acme")
		events, err2 := r.Events(t.Context(), "acme", 1, 100)
		if err := errors.Join(err, err2); err != nil || head != want || int64(len(events)) != want {
			t.Errorf("a reader sees %d events up to sequence %d, %v; want %d", len(events), head, err, want)
		}
	}
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := a.ApplyBatch(t.Context(), tx, []consumer.Run{run("acme", 3, 3), run("beta", 1, 1)}); err != nil {
			return err
		}
		sees(2)
		if err := a.Apply(t.Context(), tx, run("acme", 6, 2)); err != nil {
			return err
		}
		sees(2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sees(7)
}

// Each call takes a lock that all tenants share.
func TestApplyBatch_AsksForTheTableOfATenantOnce(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	applyAll(t, a, pool, run("acme", 1, 2))
	if _, err := db.Pool(t, "").Exec(t.Context(), `REVOKE EXECUTE ON FUNCTION neuronx.ensure_tenant FROM neuronx_archiver, PUBLIC`); err != nil {
		t.Fatal(err)
	}
	applyAll(t, a, pool, run("acme", 3, 2))
	if err := applyErr(t.Context(), a, pool, run("beta", 1, 1)); !consumer.IsTransient(err) {
		t.Errorf("a tenant that has no table: %v, want an error that is tried again", err)
	}
}

func TestApplyBatch_ArchivesAndTheReaderGivesBackTheLog(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	acme, beta := run("acme", 1, 5), run("beta", 1, 2)
	acme.Events[2].Time = time.Time{}
	applyAll(t, a, pool, acme, beta)
	applyAll(t, a, pool, run("acme", 6, 1))
	acme.Events = append(acme.Events, recorded("acme", 6))
	checkArchive(t, db, "acme", acme.Events)
	checkArchive(t, db, "beta", beta.Events)

	r := archive.NewReader(db.Pool(t, postgres.RoleProjector))
	got, err := r.Events(t.Context(), "acme", 2, 3)
	if err != nil || len(got) != 3 {
		t.Fatal(len(got), err)
	}
	for i, e := range got {
		if want := acme.Events[i+1]; fmt.Sprintf("%+v", e) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", e, want)
		}
	}
	if head, err := r.Head(t.Context(), "acme"); head != 6 || err != nil {
		t.Error(head, err)
	}
	if head, err := r.Head(t.Context(), "nobody"); head != 0 || err != nil {
		t.Error(head, err)
	}
	if e, err := r.ByID(t.Context(), "beta", "e-2"); err != nil || e.Sequence != 2 {
		t.Error(e, err)
	}
	if _, err := r.ByID(t.Context(), "beta", "e-5"); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("another tenant's event: %v", err)
	}
	if tenants, err := archive.NewReader(db.Pool(t, postgres.RoleOps)).Tenants(t.Context()); err != nil || strings.Join(tenants, " ") != "acme beta" {
		t.Error(tenants, err)
	}
	var data, schema string
	err = db.Pool(t, postgres.RoleOps).QueryRow(t.Context(), `SELECT e.data->>'lead_id', s.schema FROM neuronx.tenant_events e JOIN neuronx.schemas s USING (schema_id)
		WHERE tenant_id = 'acme' AND sequence = 4`).Scan(&data, &schema)
	if err != nil || data != "4" || schema != string(parsed(t).Text()) {
		t.Error(data, schema, err)
	}
}

func TestReader_NamesADamagedRow(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	applyAll(t, a, pool, run("acme", 1, 3))
	r := archive.NewReader(db.Pool(t, postgres.RoleProjector))
	for _, sql := range []string{
		`UPDATE neuronx.tenant_events SET payload = set_byte(payload, 10, 1) WHERE sequence = 2`,
		`UPDATE neuronx.tenant_events t SET payload = s.payload, hash = s.hash FROM neuronx.tenant_events s WHERE t.sequence = 2 AND s.sequence = 3`,
	} {
		if _, err := db.Pool(t, "").Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Events(t.Context(), "acme", 1, 10); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "sequence 2") {
			t.Errorf("%v", err)
		}
	}
}

func TestApply_ARowThatExistsIsAConflict(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	applyAll(t, a, pool, run("acme", 1, 3))
	other := run("acme", 3, 2)
	other.Events[0].ID = "another"
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := a.Apply(t.Context(), tx, other); err == nil {
			t.Error("the same sequence is taken twice")
		}
		return a.Apply(t.Context(), tx, run("beta", 1, 1)) // the neighbour is not harmed
	})
	if err != nil {
		t.Fatal(err)
	}
	checkArchive(t, db, "acme", run("acme", 1, 3).Events)
	checkArchive(t, db, "beta", run("beta", 1, 1).Events)
}

func TestApply_WhatCannotBeRenderedIsArchivedAllTheSame(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	r := run("acme", 1, 2)
	r.Events[1].Value = event.Frame(7, []byte{200}) // a string that is cut off
	applyAll(t, a, pool, r)
	checkArchive(t, db, "acme", r.Events)
	var null bool
	if err := db.Pool(t, "").QueryRow(t.Context(), `SELECT data IS NULL FROM neuronx.tenant_events WHERE sequence = 2`).Scan(&null); err != nil || !null {
		t.Error(null, err)
	}
}

func TestApplyBatch_SchemaTroubleIsToldApart(t *testing.T) {
	db := postgrestest.New(t, outbox.Migrations(), Migrations())
	pool := db.Pool(t, postgres.RoleArchiver)
	a := testArchiver(t, pool)
	unknown := run("acme", 1, 1)
	unknown.Events[0].Value = event.Frame(8, nil)
	if err := applyErr(t.Context(), a, pool, unknown); err == nil || consumer.IsTransient(err) {
		t.Errorf("unknown schema: %v", err)
	}
	down := newArchiver(pool, kafka.Config{}, &fakeSchemas{err: registry.ErrUnavailable}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
	if err := applyErr(t.Context(), down, pool, run("acme", 1, 1)); !consumer.IsTransient(err) {
		t.Errorf("registry down: %v", err)
	}
	applyAll(t, a, pool, run("acme", 1, 1))
	applyAll(t, down, pool, run("acme", 2, 1)) // the archive itself knows the schema by now
	checkArchive(t, db, "acme", run("acme", 1, 2).Events)
}

// failingTx fails the n-th statement, as a connection that breaks there would.
type failingTx struct {
	pgx.Tx
	left *int
}

var errBroken = errors.New("broken on purpose")

func (f failingTx) step() error {
	*f.left--
	if *f.left == 0 {
		return errBroken
	}
	return nil
}

func (f failingTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := f.step(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return f.Tx.Exec(ctx, sql, args...)
}

func (f failingTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error) {
	if err := f.step(); err != nil {
		return 0, err
	}
	return f.Tx.CopyFrom(ctx, table, columns, src)
}

func (f failingTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := f.step(); err != nil {
		return brokenRow{}
	}
	return f.Tx.QueryRow(ctx, sql, args...)
}

func (f failingTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	tx, err := f.Tx.Begin(ctx)
	return failingTx{tx, f.left}, err
}

func (f failingTx) Commit(ctx context.Context) error {
	if err := f.step(); err != nil {
		return errors.Join(err, f.Rollback(ctx))
	}
	return f.Tx.Commit(ctx)
}

type brokenRow struct{}

func (brokenRow) Scan(...any) error { return errBroken }

// Every single statement fails once; after each failure everything is done again. Nothing may be lost, doubled or half there.
func TestApply_FailEachWriteInTurn(t *testing.T) {
	for name, write := range map[string]func(*Archiver, context.Context, pgx.Tx) error{
		"batch": func(a *Archiver, ctx context.Context, tx pgx.Tx) error {
			return a.ApplyBatch(ctx, tx, []consumer.Run{run("acme", 1, 4), run("beta", 1, 3)})
		},
		"one by one": func(a *Archiver, ctx context.Context, tx pgx.Tx) error {
			if err := a.Apply(ctx, tx, run("acme", 1, 4)); err != nil {
				return err
			}
			return a.Apply(ctx, tx, run("beta", 1, 3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := postgrestest.New(t, outbox.Migrations(), Migrations())
			pool := db.Pool(t, postgres.RoleArchiver)
			letters := []consumer.DeadLetter{deadLetter(1), deadLetter(2)}
			for n := 1; ; n++ {
				left := n
				a := testArchiver(t, pool)
				err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
					broken := failingTx{tx, &left}
					if err := write(a, t.Context(), broken); err != nil {
						return err
					}
					return a.ApplyDeadLetters(t.Context(), broken, letters)
				})
				if err == nil {
					if n < 5 {
						t.Fatalf("only %d statements: nothing was broken", n)
					}
					break
				}
				if !errors.Is(err, errBroken) {
					t.Fatalf("statement %d: %v", n, err)
				}
				checkArchive(t, db, "acme", nil)
				checkArchive(t, db, "beta", nil)
			}
			checkArchive(t, db, "acme", run("acme", 1, 4).Events)
			checkArchive(t, db, "beta", run("beta", 1, 3).Events)
			checkLetters(t, db, letters)
		})
	}
}
