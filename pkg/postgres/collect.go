package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5"
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
