package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/backoff"
)

// Names of the roles. Every role but RoleOwner and RoleCRM can log in once SetPasswords gave it a password.
const (
	RoleOwner       = "neuronx_owner"
	RoleReader      = "neuronx_reader"
	RoleOps         = "neuronx_ops"
	RoleIngest      = "neuronx_ingest"
	RoleRules       = "neuronx_rules"
	RoleProjector   = "neuronx_projector"
	RoleArchiver    = "neuronx_archiver"
	RoleGoHighLevel = "neuronx_gohighlevel"
	RoleCRM         = "neuronx_crm" // the group of the adapters' roles
)

// Roles lists the roles that can log in, sorted.
func Roles() []string {
	r := append(ServiceRoles(), RoleReader, RoleOps)
	slices.Sort(r)
	return r
}

// ServiceRoles lists the roles that the services run under, sorted; all are members of neuronx_reader.
func ServiceRoles() []string {
	return []string{RoleArchiver, RoleGoHighLevel, RoleIngest, RoleProjector, RoleRules}
}

// SetPasswords gives login roles their passwords, given as role name to plain text. It needs a superuser or the creator of the
// roles. The server hashes them (scram-sha-256), and statements with passwords are kept out of its log where that is allowed.
func SetPasswords(ctx context.Context, adminURL string, pw map[string]string) error {
	conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	names := make([]string, 0, len(pw))
	for name := range pw {
		if !slices.Contains(Roles(), name) {
			return fmt.Errorf("set password: no role %q", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return retryCatalogue(ctx, func() error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		var super bool
		if err := tx.QueryRow(ctx, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&super); err != nil {
			return fmt.Errorf("look up the admin role: %w", err)
		}
		if super {
			if _, err := tx.Exec(ctx, `SET LOCAL log_statement = 'none'; SET LOCAL log_min_error_statement = 'panic'`); err != nil {
				return fmt.Errorf("keep passwords out of the log: %w", err)
			}
		}
		for _, name := range names {
			// ALTER ROLE takes no parameters: the literal is quoted by the server's own rules (standard_conforming_strings on).
			sql := "ALTER ROLE " + pgx.Identifier{name}.Sanitize() + " PASSWORD " + quoteLiteral(pw[name])
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("set password of %s: %w", name, err)
			}
		}
		return tx.Commit(ctx)
	})
}

// bootstrap makes what lies outside any one migration: roles (of the server) and the schemas with their owner.
func bootstrap(ctx context.Context, conn *pgx.Conn) error {
	return retryCatalogue(ctx, func() error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if err := ensureRoles(ctx, tx); err != nil {
			return err
		}
		if err := ensureSchemas(ctx, tx); err != nil {
			return err
		}
		if err := closeLargeObjects(ctx, tx); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}

// ensureRoles creates missing roles and memberships. Other databases of the server may do the same at this moment; the one that loses
// gets a unique violation or "tuple concurrently updated" and tries again (retryCatalogue), because advisory locks end at the
// edge of a database and roles do not.
func ensureRoles(ctx context.Context, tx pgx.Tx) error {
	have := map[string]bool{}
	rows, err := tx.Query(ctx, `SELECT rolname FROM pg_roles WHERE rolname LIKE 'neuronx\_%'`)
	names, err := Collect(rows, err, "list roles", pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, n := range names {
		have[n] = true
	}
	const attributes = " NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT"
	for _, name := range append([]string{RoleOwner, RoleCRM}, Roles()...) {
		if have[name] {
			continue
		}
		login := " LOGIN"
		if name == RoleOwner || name == RoleCRM {
			login = " NOLOGIN"
		}
		if _, err := tx.Exec(ctx, "CREATE ROLE "+name+attributes+login); err != nil {
			return fmt.Errorf("create role %s: %w", name, err)
		}
	}
	for _, name := range ServiceRoles() {
		if err := ensureMember(ctx, tx, RoleReader, name); err != nil {
			return err
		}
	}
	if err := ensureMember(ctx, tx, RoleCRM, RoleGoHighLevel); err != nil {
		return err
	}
	var admin string
	var super bool
	if err := tx.QueryRow(ctx, `SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&admin, &super); err != nil {
		return fmt.Errorf("look up the admin role: %w", err)
	}
	if super {
		return nil
	}
	// Since version 16 the maker of a role is a member that may grant it, but not act as it.
	var acts bool
	err = tx.QueryRow(ctx, `SELECT pg_has_role($1, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)`,
		RoleOwner).Scan(&acts)
	if err != nil {
		return fmt.Errorf("look up membership of %s: %w", admin, err)
	}
	if acts {
		return nil
	}
	return grantRole(ctx, tx, RoleOwner, admin)
}

func ensureMember(ctx context.Context, tx pgx.Tx, group, member string) error {
	var is bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
		JOIN pg_roles r ON r.oid = m.member WHERE g.rolname = $1 AND r.rolname = $2)`, group, member).Scan(&is)
	if err != nil {
		return fmt.Errorf("look up membership of %s: %w", member, err)
	}
	if is {
		return nil
	}
	return grantRole(ctx, tx, group, member)
}

func grantRole(ctx context.Context, tx pgx.Tx, group, member string) error {
	return Exec(ctx, tx, fmt.Sprintf("grant %s to %s", group, member), "GRANT "+group+" TO "+pgx.Identifier{member}.Sanitize())
}

// closeLargeObjects takes from everybody what a role without a right of its own could fill the disk with. Only a superuser can.
func closeLargeObjects(ctx context.Context, tx pgx.Tx) error {
	var open bool
	err := tx.QueryRow(ctx, `SELECT rolsuper AND EXISTS (SELECT FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
		WHERE p.oid = 'pg_catalog.lo_create(oid)'::regprocedure AND a.grantee = 0) FROM pg_roles WHERE rolname = current_user`).Scan(&open)
	if err != nil || !open {
		return err
	}
	return Exec(ctx, tx, "close large objects", `REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC`)
}

func ensureSchemas(ctx context.Context, tx pgx.Tx) error {
	var database string
	var missing []string
	err := tx.QueryRow(ctx, `SELECT current_database(), (SELECT coalesce(array_agg(s), '{}') FROM unnest(ARRAY['neuronx','read','projection']) s
		WHERE NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = s))`).Scan(&database, &missing)
	if err != nil {
		return fmt.Errorf("list schemas: %w", err)
	}
	for _, s := range missing {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+s+" AUTHORIZATION "+RoleOwner); err != nil {
			return fmt.Errorf("create schema %s: %w", s, err)
		}
	}
	if len(missing) == 0 {
		var open bool // to everybody: a copy or a restored database
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
			WHERE datname = current_database() AND a.grantee = 0)`).Scan(&open)
		if err != nil {
			return fmt.Errorf("look who may connect: %w", err)
		}
		if !open {
			return nil
		}
	}
	return GuardDatabase(ctx, tx, database)
}

// GuardDatabase lets only the roles of this package connect to the database, and only services make temporary tables.
// Migrate does it for a new database, and for a copy (CREATE DATABASE … TEMPLATE, pg_restore), which has lost it.
func GuardDatabase(ctx context.Context, db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, database string) error {
	name := pgx.Identifier{database}.Sanitize()
	for _, sql := range []string{
		"REVOKE ALL ON DATABASE " + name + " FROM PUBLIC",
		"GRANT CONNECT ON DATABASE " + name + " TO " + strings.Join(Roles(), ", "),
		"GRANT TEMPORARY ON DATABASE " + name + " TO " + strings.Join(ServiceRoles(), ", "),
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			return fmt.Errorf("guard database %s: %w", database, err)
		}
	}
	return nil
}

// retryCatalogue repeats an idempotent change of shared catalogues that another session won.
func retryCatalogue(ctx context.Context, fn func() error) error {
	const tries = 20
	for i := 1; ; i++ {
		err := fn()
		if err == nil || i == tries || !lostCatalogueRace(err) {
			return err
		}
		if err := backoff.Wait(ctx, time.Duration(i)*20*time.Millisecond); err != nil {
			return err
		}
	}
}

func lostCatalogueRace(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "23505", "42710", "42P06", "40001", "40P01": // unique, duplicate object, duplicate schema, serialization, deadlock
		return true
	case "XX000":
		return strings.Contains(pg.Message, "tuple concurrently")
	}
	return false
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
