package postgrestest_test

import (
	"context"
	"testing"
	"testing/fstest"

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
