// Package postgrestest gives each test its own database on a real PostgreSQL server.
//
// One server serves all test processes of a user on this machine (fsync off, under the temporary directory). The first process
// starts it under a file lock, the others adopt it, and it stays for the next run. Migrations run once for each combination of
// sets, into a template; a test gets a copy, which is dropped when the test ends. Databases of killed tests are dropped by the
// next process, as well as templates that were not used for hours.
//
// How it fails: it fails the test. It never skips one.
package postgrestest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/embedded"
)

// DB is one database of one test.
type DB struct {
	// AdminURL is the connection string of the superuser. Row-level security does not bind it.
	AdminURL string

	name   string
	server *embedded.Server

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool // by role
}

// process holds what the tests of this process share.
var process struct {
	sync.Mutex
	server *embedded.Server
	swept  bool
	count  atomic.Int64
}

// New makes a database with Base and the sets applied, and drops it when the test ends. Tests may run in parallel.
func New(t testing.TB, sets ...postgres.Migrations) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	server, err := serve(ctx)
	if err != nil {
		t.Fatalf("start the test PostgreSQL: %v", err)
	}
	template, err := ensureTemplate(ctx, server, sets)
	if err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	db := &DB{server: server, name: fmt.Sprintf("test_%d_%d", os.Getpid(), process.count.Add(1)), pools: map[string]*pgxpool.Pool{}}
	db.AdminURL = withDatabase(server.AdminURL(), db.name)
	err = maintain(ctx, server, func(conn *pgx.Conn) error {
		err := whileBusy(ctx, func() error {
			_, err := conn.Exec(ctx, "CREATE DATABASE "+db.name+" TEMPLATE "+template)
			return err
		})
		if err != nil {
			return fmt.Errorf("copy %s: %w", template, err)
		}
		return postgres.GuardDatabase(ctx, conn, db.name)
	})
	if err != nil {
		t.Fatalf("make the test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		db.mu.Lock()
		defer db.mu.Unlock()
		for _, pool := range db.pools {
			pool.Close()
		}
		err := maintain(ctx, server, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+db.name+" WITH (FORCE)")
			return err
		})
		if err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	return db
}

// URL is the connection string of a role of pkg/postgres.
func (d *DB) URL(role string) string { return withDatabase(d.server.URL(role), d.name) }

// Pool returns the pool of a role ("" stands for the superuser), opened once and closed when the test ends that made the database.
func (d *DB) Pool(t testing.TB, role string) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if pool := d.pools[role]; pool != nil && pool.Ping(ctx) == nil { // a test may have closed it, as a process that dies does
		return pool
	}
	u, opts := d.AdminURL, []postgres.Option{postgres.AllowSuperuser()}
	if role != "" {
		u, opts = d.URL(role), nil
	}
	var pool *pgxpool.Pool
	err := whileBusy(ctx, func() (err error) {
		pool, err = postgres.Open(ctx, u, append(opts, postgres.Application("test"), postgres.MaxConns(16))...)
		return err
	})
	if err != nil {
		t.Fatalf("open a pool as %q: %v", role, err)
	}
	d.pools[role] = pool
	return pool
}

// whileBusy tries again while other tests use up the server's connections (53300), or still use the database (55006).
func whileBusy(ctx context.Context, fn func() error) error {
	for {
		err := fn()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || (pg.Code != "53300" && pg.Code != "55006") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func withDatabase(s, database string) string {
	u, err := url.Parse(s)
	if err != nil {
		panic(err) // made by package embedded
	}
	u.Path = "/" + database
	return u.String()
}

func serverDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("neuronx-test-postgres-%d", os.Getuid()))
}

// serve starts or adopts the server, once a process. A cluster that does not start (fsync is off, the machine may have crashed)
// is recreated.
func serve(ctx context.Context) (*embedded.Server, error) {
	process.Lock()
	defer process.Unlock()
	if process.server != nil {
		return process.server, nil
	}
	opt := embedded.Options{DataDir: serverDir(), Shared: true, NoSync: true, Out: os.Stderr}
	server, err := embedded.Start(ctx, opt)
	if errors.Is(err, embedded.ErrNotStarted) {
		if rerr := embedded.Remove(ctx, opt.DataDir); rerr != nil {
			return nil, errors.Join(err, rerr)
		}
		server, err = embedded.Start(ctx, opt)
	}
	if err != nil {
		return nil, err
	}
	process.server = server
	return server, nil
}

// maintain runs fn on a connection to the maintenance database.
func maintain(ctx context.Context, server *embedded.Server, fn func(*pgx.Conn) error) error {
	var conn *pgx.Conn
	err := whileBusy(ctx, func() (err error) {
		conn, err = pgx.Connect(ctx, server.MaintenanceURL())
		return err
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return errors.Join(fn(conn), conn.Close(ctx))
}

const templateLock = 0x6e78_7470_6c // "nxtpl": one process at a time makes or removes templates

// ensureTemplate returns the database that holds the sets, making it when it is missing.
func ensureTemplate(ctx context.Context, server *embedded.Server, sets []postgres.Migrations) (string, error) {
	name, err := templateName(sets)
	if err != nil {
		return "", err
	}
	process.Lock()
	defer process.Unlock()
	return name, maintain(ctx, server, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(templateLock)); err != nil {
			return fmt.Errorf("lock templates: %w", err)
		}
		if !process.swept {
			if err := sweep(ctx, conn, name); err != nil {
				return err
			}
			process.swept = true
		}
		var have bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&have); err != nil {
			return fmt.Errorf("look up template: %w", err)
		}
		if have {
			return nil
		}
		return buildTemplate(ctx, conn, server, name, sets)
	})
}

// buildTemplate migrates under another name and renames, so that a killed build leaves no half template.
func buildTemplate(ctx context.Context, conn *pgx.Conn, server *embedded.Server, name string, sets []postgres.Migrations) error {
	building := fmt.Sprintf("test_%d_building", os.Getpid())
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + building + " WITH (FORCE)", "CREATE DATABASE " + building + " TEMPLATE template0 ENCODING 'UTF8'"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make template: %w", err)
		}
	}
	target := withDatabase(server.AdminURL(), building)
	if _, err := postgres.Migrate(ctx, target, sets...); err != nil {
		return err
	}
	if err := postgres.SetPasswords(ctx, target, server.Passwords()); err != nil {
		return err
	}
	// Sessions that closed a moment ago may still be counted: the server is told to end them.
	for _, sql := range []string{
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + building + "'",
		"ALTER DATABASE " + building + " RENAME TO " + name,
		fmt.Sprintf("COMMENT ON DATABASE %s IS '%d'", name, time.Now().Unix()),
	} {
		if err := whileBusy(ctx, func() error { _, err := conn.Exec(ctx, sql); return err }); err != nil {
			return fmt.Errorf("keep template: %w", err)
		}
	}
	return nil
}

// sweep drops the databases of processes that are gone, and templates made more than six hours ago other than keep.
func sweep(ctx context.Context, conn *pgx.Conn, keep string) error {
	rows, err := conn.Query(ctx, `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
		WHERE datname LIKE 'test\_%' OR datname LIKE 'template\_nx\_%'`)
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	type database struct{ Name, Comment string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[database])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, d := range all {
		if d.Name == keep || !leftOver(d.Name, d.Comment, time.Now()) {
			continue
		}
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+d.Name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop left-over %s: %w", d.Name, err)
		}
	}
	return nil
}

func leftOver(name, comment string, now time.Time) bool {
	if rest, ok := strings.CutPrefix(name, "test_"); ok {
		pid, err := strconv.Atoi(rest[:max(strings.IndexByte(rest, '_'), 0)])
		return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	made, err := strconv.ParseInt(comment, 10, 64)
	return err != nil || now.Sub(time.Unix(made, 0)) > 6*time.Hour
}

// templateName is a hash over the names and bytes of all files.
func templateName(sets []postgres.Migrations) (string, error) {
	h := sha256.New()
	for _, set := range append([]postgres.Migrations{postgres.Base()}, sets...) {
		fmt.Fprintf(h, "set %q\n", set.Name)
		err := fs.WalkDir(set.FS, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(set.FS, p)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "file %q %d\n", p, len(b))
			_, err = h.Write(b)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("hash migrations %s: %w", set.Name, err)
		}
	}
	return "template_nx_" + hex.EncodeToString(h.Sum(nil)[:8]), nil
}
