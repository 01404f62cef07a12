package archiver

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// writeLater is what the planted bug does (seedCommitsFirst): progress moves now, the rows come later, in another transaction, and
// not at all if the process dies or the write fails in between.
func (a *Archiver) writeLater(entries []entry) {
	time.AfterFunc(200*time.Millisecond, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error { return a.write(ctx, tx, entries) }); err != nil {
			a.log.Error("late write", "error", err)
		}
	})
}
