package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// savepoint runs a handler's fn in a savepoint, which is rolled back when fn fails or panics.
func savepoint(ctx context.Context, tx pgx.Tx, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return guard(func() error { return fn(tx) }) })
}

// guard makes an error of a panic of a handler. A bug that one event of one tenant meets stalls that tenant; without this, it would end the
// process at the same event after each restart, for all tenants.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return fn()
}

// panicked is the error of a handler that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string {
	return fmt.Sprintf("the handler panicked, which is a bug of this build: %v", p.value)
}

// logStack says where a handler panicked, if that is what err is about.
func (s *session) logStack(err error) {
	var p *panicked
	if errors.As(err, &p) {
		s.log.Error("where the handler panicked", "err", err, "stack", string(p.stack))
	}
}

// rollback ends a transaction that was not committed; after a commit it does nothing.
func rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // also when the caller's context has ended
	defer cancel()
	_ = tx.Rollback(ctx)
}

// maxReason bounds what is stored of an error, in bytes.
const maxReason = 500

// reason is an error's text as it is stored in a row: bounded, and free of what Postgres does not take in text. That another build is needed stands
// first, for the next assignment to find.
func reason(err error) string {
	s := []rune{}
	size := 0
	text := err.Error()
	if o := (*otherBuild)(nil); errors.As(err, &o) {
		text = reasonOtherBuild + strings.Replace(text, reasonOtherBuild, "", 1)
	}
	for _, r := range text {
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
