package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Migrations is a set of goose SQL files (00001_name.sql …) in the root of FS, with its own version table neuronx.goose_<Name>.
// A name is lower-case letters, digits and underscores.
type Migrations struct {
	Name string
	FS   fs.FS
}

//go:embed migrations/*.sql
var baseFS embed.FS

// Base is the set that every database has first: schemas neuronx, read and projection and who may use them.
func Base() Migrations { return Migrations{Name: "base", FS: Sub(baseFS, "migrations")} }

// Sub is fs.Sub for an embedded folder whose name is a constant; it panics when the name is not a valid path.
func Sub(f fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(f, dir)
	if err != nil {
		panic(err)
	}
	return sub
}

// migrateLock is the advisory lock (of one database) under which migrations run, so that two provisions wait for each other.
const migrateLock = 0x6e78_6d69_6772 // "nxmigr"

var setName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Migrate makes roles and schemas, then applies the pending files of Base and of each set, in the order given. adminURL names a
// superuser, or a role with CREATEROLE that owns the database. Files run as neuronx_owner, each in its own transaction.
// It returns what was applied, as "<set>/<file>"; on an error also what was applied before it.
func Migrate(ctx context.Context, adminURL string, sets ...Migrations) (applied []string, err error) {
	sets, err = withBase(sets)
	if err != nil {
		return nil, err
	}
	conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn) // ends the session and with it the lock
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(migrateLock)); err != nil {
		return nil, fmt.Errorf("lock migrations: %w", err)
	}
	if err := bootstrap(ctx, conn); err != nil {
		return nil, fmt.Errorf("make roles and schemas: %w", err)
	}
	cfg, err := pgx.ParseConfig(adminURL)
	if err != nil {
		return nil, fmt.Errorf("parse Postgres URL: %w", redact(err))
	}
	cfg.RuntimeParams["application_name"] = "neuronx-provision"
	cfg.RuntimeParams["role"] = RoleOwner
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(2)
	for _, set := range sets {
		names, err := migrateSet(ctx, db, set)
		applied = append(applied, names...)
		if err != nil {
			return applied, err
		}
	}
	return applied, nil
}

func migrateSet(ctx context.Context, db *sql.DB, set Migrations) ([]string, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, db, set.FS, goose.WithTableName(set.table()),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, fmt.Errorf("read migrations %s: %w", set.Name, err)
	}
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	var applied []string
	for _, r := range results {
		applied = append(applied, set.Name+"/"+path.Base(r.Source.Path))
	}
	if err != nil {
		return applied, fmt.Errorf("migrate %s: %w", set.Name, err)
	}
	// Services check at start that nothing is pending, each with its own role.
	grant := fmt.Sprintf("GRANT SELECT ON %s TO %s, %s", set.table(), RoleReader, RoleOps)
	if _, err := db.ExecContext(ctx, grant); err != nil {
		return applied, fmt.Errorf("grant %s: %w", set.table(), err)
	}
	return applied, nil
}

// Pending lists the files that Migrate would apply, as "<set>/<file>", Base first. It writes nothing, and any role of this package
// may ask.
func Pending(ctx context.Context, url string, sets ...Migrations) ([]string, error) {
	sets, err := withBase(sets)
	if err != nil {
		return nil, err
	}
	conn, err := connectAdmin(ctx, url)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	var pending []string
	for _, set := range sets {
		have, err := appliedVersions(ctx, conn, set)
		if err != nil {
			return nil, err
		}
		files, err := set.files()
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if !have[f.version] {
				pending = append(pending, set.Name+"/"+f.name)
			}
		}
	}
	return pending, nil
}

func appliedVersions(ctx context.Context, conn *pgx.Conn, set Migrations) (map[int64]bool, error) {
	have := map[int64]bool{}
	rows, err := conn.Query(ctx, "SELECT version_id FROM "+set.table()+" WHERE is_applied")
	var versions []int64
	if err == nil {
		versions, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") { // no such table, no such schema
		return have, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", set.table(), err)
	}
	for _, v := range versions {
		have[v] = true
	}
	return have, nil
}

type migrationFile struct {
	name    string
	version int64
}

func (m Migrations) files() ([]migrationFile, error) {
	names, err := fs.Glob(m.FS, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations %s: %w", m.Name, err)
	}
	var out []migrationFile
	for _, n := range names {
		v, err := goose.NumericComponent(n)
		if err != nil {
			return nil, fmt.Errorf("list migrations %s: %w", m.Name, err)
		}
		out = append(out, migrationFile{n, v})
	}
	slices.SortFunc(out, func(a, b migrationFile) int { return int(a.version - b.version) })
	return out, nil
}

func (m Migrations) table() string { return "neuronx.goose_" + m.Name }

// withBase puts Base first and drops repeats of a name, so that two owners may both ask for a set they share.
func withBase(sets []Migrations) ([]Migrations, error) {
	out := []Migrations{Base()}
	seen := map[string]bool{"base": true}
	for _, s := range sets {
		if !setName.MatchString(s.Name) || s.FS == nil {
			return nil, fmt.Errorf("migrations %q: need a name of a-z, 0-9 and _, and files", s.Name)
		}
		if seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		out = append(out, s)
	}
	return out, nil
}

func connectAdmin(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse Postgres URL: %w", redact(err))
	}
	cfg.RuntimeParams["application_name"] = "neuronx-provision"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	return conn, nil
}

func closeConn(conn *pgx.Conn) {
	_ = conn.Close(context.Background()) //nolint:contextcheck // must also end when the caller's context has
}

// redact drops the connection string that a parse error quotes: it holds a password.
func redact(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		msg := err.Error()
		if i := strings.LastIndex(msg, "`: "); i >= 0 {
			return errors.New(msg[i+3:])
		}
		return errors.New("not a valid connection string")
	}
	return err
}
