package postgrestest_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

func notes() postgres.Migrations {
	return postgres.Migrations{Name: "notes", FS: fstest.MapFS{"00001_notes.sql": {Data: []byte(`-- +goose Up
CREATE TABLE neuronx.notes (id int);
GRANT INSERT, SELECT ON neuronx.notes TO neuronx_rules;
`)}}}
}

func TestNew_GivesEachTestItsOwnDatabase(t *testing.T) {
	for range 2 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			db := postgrestest.New(t, notes())
			pool := db.Pool(t, postgres.RoleRules)
			if _, err := pool.Exec(context.Background(), `INSERT INTO neuronx.notes VALUES (1)`); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(context.Background(), `SELECT count(*) FROM neuronx.notes`).Scan(&n); err != nil || n != 1 {
				t.Fatalf("rows %d, %v; want only our own", n, err)
			}
		})
	}
}

func TestBreaker_BreaksEachStatementInTurn(t *testing.T) {
	db := postgrestest.New(t, notes())
	breaker, url := postgrestest.NewBreaker(t, db.URL(postgres.RoleRules))
	pool, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	add := func() error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			for n := range 2 {
				if _, err := tx.Exec(t.Context(), `INSERT INTO neuronx.notes VALUES ($1)`, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if n := breaker.Each(t, "two rows", add); n != 4 {
		t.Errorf("%d statements were broken, want BEGIN, two INSERT and COMMIT", n)
	}
	var rows int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.notes`).Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
