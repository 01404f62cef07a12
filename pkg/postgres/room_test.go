package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// A full disk itself is e2e's: it takes a small file system.
func TestRoom_AsksForRoomOnTheDiskAsEveryRoleAndLeavesNothing(t *testing.T) {
	db := postgrestest.New(t)
	admin := db.Pool(t, "")
	// What the database has written to temporary files, in bytes, and the pages of all its tables and indexes.
	state := func() (temp, pages int64) {
		t.Helper()
		err := admin.QueryRow(t.Context(), `SELECT pg_stat_get_db_temp_bytes(oid), pg_database_size(oid) FROM pg_database WHERE datname = current_database()`).Scan(&temp, &pages)
		if err != nil {
			t.Fatal(err)
		}
		return temp, pages
	}
	for _, role := range postgres.Roles() {
		pool, err := postgres.Open(t.Context(), db.URL(role), postgres.MaxConns(1))
		if err != nil {
			t.Fatal(err)
		}
		before, pages := state()
		if err := postgres.Room(t.Context(), pool); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		flush(t, pool)
		pool.Close()
		temp, after := state()
		if took := temp - before; took < 256<<10 || took > 2<<20 || after != pages {
			t.Errorf("%s: %d bytes of temporary files; the database went from %d to %d bytes", role, took, pages, after)
		}
	}
}

func TestRoom_IsNotAnsweredByAServerThatAllowsNoTemporaryFile(t *testing.T) {
	cfg, err := pgxpool.ParseConfig(postgrestest.New(t).AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.RuntimeParams["temp_file_limit"] = "0"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := postgres.Room(t.Context(), pool); err != nil {
		t.Error(err)
	}
}

// flush makes the server count at once what the pool's one session has done.
func flush(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`); err != nil {
		t.Fatal(err)
	}
}
