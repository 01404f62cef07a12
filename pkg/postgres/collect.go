package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Collect reads all rows of a query: rows and err are what Query returned. what says in an error what was asked, such as "list tenants".
func Collect[T any](rows pgx.Rows, err error, what string, fn pgx.RowToFunc[T]) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, fn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}

// CollectOne is Collect of a query that gives one row. None is pgx.ErrNoRows.
func CollectOne[T any](rows pgx.Rows, err error, what string, fn pgx.RowToFunc[T]) (T, error) {
	var v T
	if err == nil {
		v, err = pgx.CollectOneRow(rows, fn)
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", what, err)
	}
	return v, nil
}

// ForEach is Collect for what is kept in another way: it reads each row into scans and then calls fn, whose error ends it.
func ForEach(rows pgx.Rows, err error, what string, scans []any, fn func() error) error {
	if err == nil {
		_, err = pgx.ForEachRow(rows, scans, fn)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Exec executes one statement. what says in an error what it was for, such as "retire generations".
func Exec(ctx context.Context, q interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, what, sql string, args ...any) error {
	if _, err := q.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
