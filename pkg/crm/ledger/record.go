package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Querier is a pool or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Envelope is what an outcome takes over from its command.
type Envelope struct {
	CorrelationID string       `json:"correlation_id,omitempty"`
	TraceParent   string       `json:"traceparent,omitempty"`
	TraceState    string       `json:"tracestate,omitempty"`
	Hops          int          `json:"hops,omitempty"`
	Path          []string     `json:"path,omitempty"`
	Origin        event.Origin `json:"origin,omitempty"`
	Fact          time.Time    `json:"fact,omitzero"` // when what the command answers happened; zero in rows of before
}

// clean makes text from outside, such as a CRM's answer, acceptable to Postgres. Otherwise the end of the attempt could not be recorded.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Effect is a row of the ledger.
type Effect struct {
	TenantID    string
	ID          string // id of the command event
	Sequence    int64  // of the command; 0 when only an outcome was seen
	Kind        string
	Class       crm.Class
	Subject     string
	Lane        string // the subject that Subject is by now, where that is another one; effects of one lane are sent one after the other
	Status      crm.Status
	Attempts    int
	Resolutions int // how often a person decided; part of the outcome's id
	Code        string
	LastError   string
	RemoteID    string
	Command     crm.Command
	Envelope    Envelope
	Partition   int32
	Position    int64
	NotAfter    time.Time // zero: none
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Record inserts an effect that is not there yet; an existing one stays as it is. It reports whether it was inserted. A row that
// was made from an outcome alone gets its command.
func (l Ledger) Record(ctx context.Context, q Querier, e Effect) (bool, error) {
	request, err := json.Marshal(e.Command)
	if err != nil {
		return false, fmt.Errorf("record effect: %w", err)
	}
	envelope, err := json.Marshal(e.Envelope)
	if err != nil {
		return false, fmt.Errorf("record effect: %w", err)
	}
	var notAfter *time.Time
	if !e.NotAfter.IsZero() {
		notAfter = &e.NotAfter
	}
	tag, err := q.Exec(ctx, `INSERT INTO neuronx.effects AS f (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject,
			status, code, last_error, remote_id, request, envelope, partition, position, not_after, lane)
		VALUES ($17, $1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, nullif($16, ''))
		ON CONFLICT (tenant_id, adapter, effect_id) DO UPDATE SET command_sequence = excluded.command_sequence, request = excluded.request,
			envelope = excluded.envelope, position = excluded.position, not_after = excluded.not_after
			WHERE f.command_sequence = 0 AND excluded.command_sequence > 0`,
		e.TenantID, e.ID, e.Sequence, e.Kind, string(e.Class), e.Subject, string(e.Status), clean(e.Code), clean(e.LastError), clean(e.RemoteID),
		request, envelope, e.Partition, e.Position, notAfter, e.Lane, l.Adapter)
	if err != nil {
		return false, fmt.Errorf("record effect: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

const columns = `tenant_id, effect_id, command_sequence, kind, class, subject, status, attempts, resolutions, code, last_error, remote_id,
	request, envelope, partition, position, coalesce(not_after, 'epoch'), coalesce(lane, ''), created_at, updated_at`

func scan(row pgx.CollectableRow) (Effect, error) {
	var e Effect
	var class, status string
	var request, envelope []byte
	err := row.Scan(&e.TenantID, &e.ID, &e.Sequence, &e.Kind, &class, &e.Subject, &status, &e.Attempts, &e.Resolutions, &e.Code, &e.LastError,
		&e.RemoteID, &request, &envelope, &e.Partition, &e.Position, &e.NotAfter, &e.Lane, &e.CreatedAt, &e.UpdatedAt)
	if err != nil {
		return e, err
	}
	if e.NotAfter.Unix() == 0 {
		e.NotAfter = time.Time{}
	}
	e.Class, e.Status = crm.Class(class), crm.Status(status)
	return e, errors.Join(json.Unmarshal(request, &e.Command), json.Unmarshal(envelope, &e.Envelope))
}

// Get reads one effect, locked against others until the transaction ends when lock is set. ok is false when there is none.
func (l Ledger) Get(ctx context.Context, q Querier, tenant, id string, lock bool) (e Effect, ok bool, err error) {
	sql := `SELECT ` + columns + ` FROM neuronx.effects WHERE tenant_id = $1 AND adapter = $3 AND effect_id = $2`
	if lock {
		sql += ` FOR UPDATE`
	}
	rows, err := q.Query(ctx, sql, tenant, id, l.Adapter)
	if err != nil {
		return e, false, fmt.Errorf("read effect: %w", err)
	}
	e, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("read effect: %w", err)
	}
	return e, true, nil
}

// Set writes status and what belongs to it, whatever the row was; for folds of the log, which the caller does under Get's lock.
func (l Ledger) Set(ctx context.Context, q Querier, e Effect) error {
	var notAfter *time.Time
	if !e.NotAfter.IsZero() {
		notAfter = &e.NotAfter
	}
	return postgres.Exec(ctx, q, "set effect", `UPDATE neuronx.effects SET status = $3, code = $4, last_error = $5, remote_id = $6, resolutions = $7, not_after = $8, lane = nullif($9, ''),
			lease_until = NULL, next_attempt_at = now(), updated_at = now()
		WHERE tenant_id = $1 AND adapter = $10 AND effect_id = $2`,
		e.TenantID, e.ID, string(e.Status), clean(e.Code), clean(e.LastError), clean(e.RemoteID), e.Resolutions, notAfter, e.Lane, l.Adapter)
}
