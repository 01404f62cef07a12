package operate

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Ask asks the session's database. what says in an error what was tried.
func Ask[T any](ctx context.Context, env *Env, what string, ask func(*pgxpool.Pool) (T, error)) (answer T, err error) {
	pool, err := env.Pool(ctx)
	if err != nil {
		return answer, err
	}
	if answer, err = ask(pool); err != nil {
		return answer, Fail(what, err)
	}
	return answer, nil
}

// Rows reads the rows of a query on the session's database. what is as Ask has it.
func Rows[T any](ctx context.Context, env *Env, what string, fn pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	return Ask(ctx, env, what, func(pool *pgxpool.Pool) ([]T, error) {
		rows, err := pool.Query(ctx, sql, args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, fn)
	})
}

// Each is what of makes of each of a list.
func Each[S, T any](list []S, of func(S) T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = of(v)
	}
	return out
}

// Row reads the first row of a query on the session's database into dest; found is false if there is none. what is as Ask has it.
func (v *Env) Row(ctx context.Context, what string, dest []any, sql string, args ...any) (found bool, err error) {
	pool, err := v.Pool(ctx)
	if err != nil {
		return false, err
	}
	switch err := pool.QueryRow(ctx, sql, args...).Scan(dest...); {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, Fail(what, err)
	}
	return true, nil
}
