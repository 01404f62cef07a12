package consumer

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// savepoint runs fn in a savepoint, which is rolled back when fn fails.
func savepoint(ctx context.Context, tx pgx.Tx, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, tx, fn)
}

// rollback ends a transaction that was not committed; after a commit it does nothing.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // also when the caller's context has ended
	defer cancel()
	_ = tx.Rollback(ctx)
}

// maxReason bounds what is stored of an error, in bytes.
const maxReason = 500

// reason is an error's text as it is stored in a row: bounded, and free of what Postgres does not take in text.
func reason(err error) string {
	s := []rune{}
	size := 0
	for _, r := range err.Error() {
		if r == 0 {
			continue
		}
		if size += len(string(r)); size > maxReason {
			break
		}
		s = append(s, r)
	}
	return string(s)
}
