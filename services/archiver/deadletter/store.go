package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Querier is a pool or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Filter chooses letters; zero values choose all.
type Filter struct {
	Tenant, Reason, Type string
	State                string // empty: any
	Since, Until         time.Time
	Limit                int
}

func (f Filter) where() (string, []any) {
	var since, until *time.Time
	if !f.Since.IsZero() {
		since = &f.Since
	}
	if !f.Until.IsZero() {
		until = &f.Until
	}
	return ` FROM neuronx.dead_letter_states WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR reason = $2) AND ($3 = '' OR event_type = $3)
		AND ($4 = '' OR state = $4) AND ($5::timestamptz IS NULL OR recorded_at >= $5) AND ($6::timestamptz IS NULL OR recorded_at < $6)`,
		[]any{f.Tenant, f.Reason, f.Type, f.State, since, until}
}

const columns = `topic, partition, "offset", coalesce(tenant_id, ''), reason, detail, event_id, event_type, recorded_at, state, next_ref, admitted_sequence`

func (l *Letter) dest() []any {
	return []any{&l.Topic, &l.Partition, &l.Offset, &l.Tenant, &l.Reason, &l.Detail, &l.EventID, &l.Type, &l.Recorded, &l.State, &l.Next, &l.Sequence}
}

// List reads letters without what was received, newest first.
func List(ctx context.Context, q Querier, f Filter) ([]Letter, error) {
	where, args := f.where()
	rows, err := q.Query(ctx, `SELECT `+columns+where+` ORDER BY recorded_at DESC, topic, partition, "offset" DESC LIMIT $7`, append(args, f.Limit)...)
	return postgres.Collect(rows, err, "list dead letters", func(r pgx.CollectableRow) (l Letter, err error) { return l, r.Scan(l.dest()...) })
}

// Count is how many letters there are of a kind.
type Count struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

// Counts counts letters by reason, tenant, type or state, most first.
func Counts(ctx context.Context, q Querier, by string, f Filter) ([]Count, error) {
	column, ok := map[string]string{"reason": "reason", "tenant": "coalesce(tenant_id, '')", "type": "event_type", "state": "state"}[by]
	if !ok {
		return nil, event.Refuse(event.CodeUsage, "dead letters are not counted by %q", by)
	}
	where, args := f.where()
	rows, err := q.Query(ctx, `SELECT `+column+`, count(*), min(recorded_at), max(recorded_at)`+where+` GROUP BY 1 ORDER BY 2 DESC, 1`, args...)
	return postgres.Collect(rows, err, "count dead letters", pgx.RowToStructByPos[Count])
}

// Load reads one letter with what was received; a *event.Refusal of code not_found when there is none.
func Load(ctx context.Context, q Querier, topic string, partition int32, offset int64) (*Letter, error) {
	l := &Letter{}
	var headers []byte
	err := q.QueryRow(ctx, `SELECT `+columns+`, key, headers, value FROM neuronx.dead_letter_states
		WHERE topic = $1 AND partition = $2 AND "offset" = $3`, topic, partition, offset).Scan(append(l.dest(), &l.Key, &headers, &l.Value)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, event.Refuse(event.CodeNotFound, "there is no dead letter %s/%d/%d", topic, partition, offset).Hint("neuronx deadletter list --state all")
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter: %w", err)
	}
	if l.Headers, err = archive.DecodeHeaders(headers); err != nil {
		return nil, fmt.Errorf("read dead letter %s: %w", l.Ref(), err)
	}
	return l, nil
}

// TenantExists reports whether the tenant has a stream.
func TenantExists(ctx context.Context, tx pgx.Tx, tenant string) (bool, error) {
	if !event.ValidTenant(tenant) {
		return false, nil
	}
	var there bool
	_, err := tx.Exec(ctx, `SELECT set_config('neuronx.tenant', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true)`, tenant)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM neuronx.tenant_events WHERE tenant_id = $1)`, tenant).Scan(&there)
	}
	if err != nil {
		return false, fmt.Errorf("look for tenant %s: %w", tenant, err)
	}
	return there, nil
}

// Answer is what was decided about a request; Done false and no Code: nothing yet.
type Answer struct {
	ID     uuid.UUID
	Done   bool
	Code   event.Code // of a refusal
	Detail string
}

// Submit asks for an act on a letter. The role needs no more than neuronx_ops has.
func Submit(ctx context.Context, q Querier, l *Letter, ask Ask) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, fmt.Errorf("make a request id: %w", err)
	}
	origin := "redrive"
	if ask.Live {
		origin = "live"
	}
	if err := postgres.Exec(ctx, q, fmt.Sprintf("ask for %s of %s", ask.Action, l.Ref()), `INSERT INTO neuronx.dead_letter_requests (id, tenant_id, topic, partition, "offset", action, origin, value, by, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, id, l.Tenant, l.Topic, l.Partition, l.Offset, ask.Action, origin, ask.Value, ask.By, ask.Reason); err != nil {
		return id, err
	}
	return id, nil
}

// Answers reads what was decided.
func Answers(ctx context.Context, q Querier, ids []uuid.UUID) (map[uuid.UUID]Answer, error) {
	rows, err := q.Query(ctx, `SELECT id, state = 'done', code, detail FROM neuronx.dead_letter_requests WHERE id = ANY($1) AND state <> 'new'`, ids)
	list, err := postgres.Collect(rows, err, "read answers", pgx.RowToStructByPos[Answer])
	if err != nil {
		return nil, err
	}
	out := map[uuid.UUID]Answer{}
	for _, a := range list {
		out[a.ID] = a
	}
	return out, nil
}
