package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
)

type openConfig struct {
	application    string
	maxConns       int32
	allowSuperuser bool
}

// Option changes what Open does.
type Option func(*openConfig)

// Application sets application_name, which pg_stat_activity shows; the default is "neuronx".
func Application(name string) Option { return func(c *openConfig) { c.application = name } }

// MaxConns bounds the pool; the default is 8 connections, or pool_max_conns of the URL.
func MaxConns(n int32) Option { return func(c *openConfig) { c.maxConns = n } }

// AllowSuperuser lets Open accept a role that row-level security does not bind: for provision and for tests of the walls.
func AllowSuperuser() Option { return func(c *openConfig) { c.allowSuperuser = true } }

// Open returns a pool whose connections were seen to work. It refuses a superuser or a role with BYPASSRLS, because every reader
// relies on row-level security to keep tenants apart.
func Open(ctx context.Context, url string, opts ...Option) (*pgxpool.Pool, error) {
	oc := openConfig{application: "neuronx"}
	for _, o := range opts {
		o(&oc)
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, app.Fatal(fmt.Errorf("parse Postgres URL: %w", redact(err)))
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = oc.application
	}
	// A session that hangs inside a transaction holds row locks of all tenants of its batch.
	setDefault(cfg.ConnConfig.RuntimeParams, "idle_in_transaction_session_timeout", "60s")
	setDefault(cfg.ConnConfig.RuntimeParams, "timezone", "UTC")
	switch {
	case oc.maxConns > 0:
		cfg.MaxConns = oc.maxConns
	case !strings.Contains(url, "pool_max_conns") && cfg.MaxConns < 8:
		cfg.MaxConns = 8
	}
	// Backends cache the catalogue rows of every leaf table they touched (24 MB for 500 tenants): recycle them.
	cfg.MaxConnLifetime = time.Hour
	cfg.MaxConnLifetimeJitter = 10 * time.Minute
	cfg.MaxConnIdleTime = 5 * time.Minute
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open Postgres pool: %w", err)
	}
	if err := checkRole(ctx, pool, oc.allowSuperuser); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// Ping asks whether the server answers and takes writes: a standby does the former only.
func Ping(ctx context.Context, pool *pgxpool.Pool) error {
	var standby bool
	if err := pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return Explain(err)
	}
	if standby {
		return errors.New("this server is a standby and takes no writes")
	}
	return nil
}

// roomRows are as many rows as take about half a MiB in a temporary file.
const roomRows = 32_768

// Room asks whether the disk of the database has room, which SQL can't see and Ping does not notice: an answer takes no room, and neither
// do small writes while pages that exist have some. It lets the server write a temporary file of about half a MiB, which is gone with
// the statement. That takes no right, no lock, no WAL and no row of the catalogue, and the file is removed long before the kernel would
// write it back. The error of a full disk (53100) says so in plain words. A server that allows no temporary file of that size
// (temp_file_limit) can't be asked, which is no error.
func Room(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// In the tablespace of the database, where tables are. 64 kB is the least that a statement may have in memory.
		_, err := tx.Exec(ctx, `SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = ''`)
		if err != nil {
			return err
		}
		var rows int
		return tx.QueryRow(ctx, `SELECT count(*) FROM generate_series(1, $1::int)`, roomRows).Scan(&rows)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "53400" { // configuration_limit_exceeded
		return nil
	}
	return Explain(err)
}

func setDefault(m map[string]string, k, v string) {
	if m[k] == "" {
		m[k] = v
	}
}

func checkRole(ctx context.Context, pool *pgxpool.Pool, allow bool) error {
	var role string
	var unbound bool
	err := pool.QueryRow(ctx, `SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&role, &unbound)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	if unbound && !allow {
		return app.Fatal(fmt.Errorf("role %q is not bound by row-level security (superuser or BYPASSRLS): use a role of `neuronx provision`", role))
	}
	return nil
}

// SetTenant makes rows of one tenant visible to the rest of the transaction. It is local to the transaction, so that a pooled
// connection never carries a tenant to its next user.
func SetTenant(ctx context.Context, tx pgx.Tx, tenant string) error {
	return Exec(ctx, tx, "set tenant", `SELECT set_config('neuronx.tenant', $1, true)`, tenant)
}
