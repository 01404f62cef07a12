package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// roleLimits bound what one session of a role can hold up, and how many sessions it can have. They are what the roles get that have none
// yet; what an administrator has set stays. The services' own jobs set what they need for longer in their transactions.
var roleLimits = []struct {
	roles       []string
	connections int
	settings    map[string]string
}{
	// People: a query that was left running, or a transaction that was left open, holds up vacuum for everybody.
	{[]string{RoleReader}, 20, map[string]string{"statement_timeout": "30s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "1min"}},
	{[]string{RoleOps}, 40, map[string]string{"statement_timeout": "5min", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "2min"}},
	// Services: a statement waits for locks of other tenants' batches, and the largest (dropping an old generation of a projection) takes minutes.
	{ServiceRoles(), 200, map[string]string{"statement_timeout": "15min", "lock_timeout": "1min", "idle_in_transaction_session_timeout": "2min"}},
}

// readerComment is what a person sees who looks at the roles (psql: \du+).
const readerComment = "Reads the archive and the read models of whichever tenant the session names in neuronx.tenant: row security keeps queries apart, not people. " +
	"Who has this password can read every tenant. Do not hand it out; let an application set the tenant."

// LimitRoles gives the login roles time-outs and connection limits where they have none, and a comment to neuronx_reader. It returns what
// it changed, sorted by role. adminURL is as for Migrate. Without execute it only says what it would change.
func LimitRoles(ctx context.Context, adminURL string, execute bool) (changed []string, err error) {
	conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	err = retryCatalogue(ctx, func() error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if changed, err = limitRoles(ctx, tx, execute); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	return changed, err
}

func limitRoles(ctx context.Context, tx pgx.Tx, execute bool) (changed []string, err error) {
	for _, l := range roleLimits {
		for _, role := range l.roles {
			var connections int
			var config []string
			err := tx.QueryRow(ctx, `SELECT rolconnlimit, coalesce(rolconfig, '{}') FROM pg_roles WHERE rolname = $1`, role).Scan(&connections, &config)
			if errors.Is(err, pgx.ErrNoRows) && !execute {
				connections = -1 // Migrate makes it
			} else if err != nil {
				return changed, fmt.Errorf("look at the limits of %s: %w", role, err)
			}
			var sql []string
			if connections < 0 {
				sql = append(sql, fmt.Sprintf("CONNECTION LIMIT %d", l.connections))
			}
			for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
				set := false
				for _, c := range config {
					set = set || strings.HasPrefix(c, name+"=")
				}
				if !set {
					sql = append(sql, "SET "+name+" = "+quoteLiteral(l.settings[name]))
				}
			}
			for i := 0; execute && i < len(sql); i++ {
				if _, err := tx.Exec(ctx, "ALTER ROLE "+role+" "+sql[i]); err != nil {
					return changed, fmt.Errorf("limit %s: %w", role, err)
				}
			}
			if len(sql) > 0 {
				changed = append(changed, role+": "+strings.Join(sql, ", "))
			}
		}
	}
	var comment string
	err = tx.QueryRow(ctx, `SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = $1`, RoleReader).Scan(&comment)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return changed, fmt.Errorf("look at the comment of %s: %w", RoleReader, err)
	}
	if comment == readerComment {
		return changed, nil
	}
	if !execute {
		return append(changed, RoleReader+": COMMENT"), nil
	}
	if _, err := tx.Exec(ctx, "COMMENT ON ROLE "+RoleReader+" IS "+quoteLiteral(readerComment)); err != nil {
		return changed, fmt.Errorf("comment on %s: %w", RoleReader, err)
	}
	return append(changed, RoleReader+": COMMENT"), nil
}
