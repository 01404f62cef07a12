package consumer

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
)

// ErrTopicChanged means that a topic has another id than the rows: it was deleted and recreated. Nothing of the rows fits it.
var ErrTopicChanged = errors.New("the topic was recreated")

var (
	errResume    = errors.New("resume")
	errCommit    = errors.New("commit batch")
	errTakenOver = errors.New("another member moved the partition's row")
	errRowMoved  = errors.New("a progress row was moved by somebody else")
)

// report tells readiness what became of an attempt, and which dependency a failure is of. r may be nil.
func report(r *app.Readiness, activity string, err error) {
	if r == nil {
		return
	}
	component := app.ComponentPostgres
	if errors.Is(err, registry.ErrUnavailable) {
		component = app.ComponentRegistry
	}
	r.Attempt(activity, component, postgres.Explain(err))
}

// retriable reports whether an error says nothing about the event that was being applied: it was marked so, or the database was
// not able to answer. Whatever else a handler returns stalls the tenant; OtherBuild until the next assignment.
func retriable(err error) bool {
	if IsTransient(err) || errors.Is(err, registry.ErrUnavailable) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return retriableCode(pg.Code)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, errRowMoved) || strings.Contains(err.Error(), "conn closed")
}

// retriableCode looks at the class of an SQLSTATE (PostgreSQL manual, appendix A). Class 42 is here too: a missing table or grant
// is a fault of the installation, which must not stall tenant after tenant.
func retriableCode(code string) bool {
	switch code {
	case "55P03", // lock_not_available
		"25P02", // in_failed_sql_transaction: the statement before failed
		"25P03", // idle_in_transaction_session_timeout
		"25006": // read_only_sql_transaction: a standby
		return true
	}
	for _, class := range []string{"08", "40", "42", "53", "57", "58", "XX"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}
