package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// DueTenants lists tenants of the partitions that have an effect due, in the order of their ids: those after one, up to and including another
// (empty: the end), without those of except. A tenant whose progress is catching up waits: what is still to be read may hold the outcome of
// what looks unsent. It steps from tenant to tenant, so that one with very many effects costs no more than one with a few.
func (l Ledger) DueTenants(ctx context.Context, q Querier, partitions []int32, except []string, after, until string, limit int) ([]string, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE t AS (
			(SELECT tenant_id FROM neuronx.effects WHERE adapter = $3 AND status = 'pending' AND tenant_id > $6 ORDER BY tenant_id LIMIT 1)
			UNION ALL
			SELECT (SELECT e.tenant_id FROM neuronx.effects e WHERE e.adapter = $3 AND e.status = 'pending' AND e.tenant_id > t.tenant_id ORDER BY e.tenant_id LIMIT 1)
			FROM t WHERE t.tenant_id IS NOT NULL AND ($7 = '' OR t.tenant_id < $7))
		SELECT tenant_id FROM t WHERE tenant_id IS NOT NULL AND ($7 = '' OR tenant_id <= $7) AND tenant_id <> ALL($5)
		  AND EXISTS (SELECT 1 FROM neuronx.effects e WHERE e.tenant_id = t.tenant_id AND e.adapter = $3 AND e.status = 'pending' AND e.next_attempt_at <= now() AND e.partition = ANY($1))
		  AND NOT EXISTS (SELECT 1 FROM `+consumer.ProgressOf("$2")+` p WHERE p.tenant_id = t.tenant_id AND p.state = 'catching-up')
		  AND NOT EXISTS (SELECT 1 FROM neuronx.crm_connections c WHERE c.tenant_id = t.tenant_id AND c.adapter = $3 AND c.suspended)
		LIMIT $4`, partitions, l.Group(), l.Adapter, limit, except, after, until)
	return postgres.Collect(rows, err, "list tenants with effects due", pgx.RowTo[string])
}

// lookedThrough is how many pending effects of a tenant are looked through at once for those whose turn it is.
const lookedThrough = 500

// Due locks up to limit effects of a tenant that may be worked on now: due, and without an earlier pending or sending effect of
// the same lane. Unknown and failed ones do not block, nor does one of another kind that the token may not do: that kind alone waits.
// But all wait for an upsert, which makes the contact. Rows that another worker holds are passed over.
//
// It looks through the oldest pending effects and, where their turn has not come, through as many behind from, a command's sequence, and no
// further: all tenants wait while one is looked at, and a hundred thousand effects may stand in one lane. The next look goes on from next; 0 is
// the start again.
func (l Ledger) Due(ctx context.Context, tx pgx.Tx, tenant string, limit int, from int64) (due []Effect, next int64, err error) {
	due, next, err = l.dueBehind(ctx, tx, tenant, limit, -1)
	if err != nil || next == 0 || len(due) == limit {
		return due, from, err
	}
	more, next, err := l.dueBehind(ctx, tx, tenant, limit-len(due), max(from, next))
	return append(due, more...), next, err
}

// dueBehind looks through the pending effects behind a sequence. next is that of the last one; 0: it was the tenant's last.
func (l Ledger) dueBehind(ctx context.Context, tx pgx.Tx, tenant string, limit int, from int64) (due []Effect, next int64, err error) {
	through := int64(math.MaxInt64)
	err = tx.QueryRow(ctx, `SELECT command_sequence FROM neuronx.effects WHERE tenant_id = $1 AND adapter = $2 AND status = 'pending' AND command_sequence > $3
		ORDER BY command_sequence OFFSET $4 LIMIT 1`, tenant, l.Adapter, from, lookedThrough-1).Scan(&next)
	switch {
	case err == nil:
		through = next
	case !errors.Is(err, pgx.ErrNoRows):
		return nil, 0, fmt.Errorf("find effects due: %w", err)
	}
	// What stands before an effect is asked for in order, which the index of lanes gives; Postgres may read a NOT EXISTS as a join by hash, which
	// compares each effect with its whole lane.
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM neuronx.effects e
		WHERE e.tenant_id = $1 AND e.adapter = $5 AND e.status = 'pending' AND e.next_attempt_at <= now() AND e.command_sequence > $6 AND e.command_sequence <= $7
		  AND (SELECT true FROM neuronx.effects b WHERE b.tenant_id = e.tenant_id AND b.adapter = e.adapter AND CASE WHEN b.lane IS NULL THEN b.subject ELSE b.lane END = CASE WHEN e.lane IS NULL THEN e.subject ELSE e.lane END
			AND b.status IN ('pending', 'sending') AND (b.command_sequence, b.effect_id) < (e.command_sequence, e.effect_id)
			AND NOT (b.status = 'pending' AND b.code = $3 AND b.kind <> e.kind AND b.kind <> $4) ORDER BY CASE WHEN b.lane IS NULL THEN b.subject ELSE b.lane END, b.command_sequence LIMIT 1) IS NULL
		ORDER BY e.command_sequence LIMIT $2 FOR UPDATE OF e SKIP LOCKED`, tenant, limit, crm.CodeScope, crm.KindUpsert, l.Adapter, from, through)
	due, err = postgres.Collect(rows, err, "find effects due", scan)
	return due, next, err
}

// Begin makes a locked pending effect sending under a new attempt, with a lease. The caller commits before the first byte.
func (l Ledger) Begin(ctx context.Context, tx pgx.Tx, e *Effect, worker, intent string, lease time.Duration) error {
	err := tx.QueryRow(ctx, `UPDATE neuronx.effects SET status = 'sending', attempts = attempts + 1, lease_until = now() + $3, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $4 AND effect_id = $2 AND status = 'pending' RETURNING attempts`, e.TenantID, e.ID, lease, l.Adapter).Scan(&e.Attempts)
	if err != nil {
		return fmt.Errorf("begin attempt: %w", err)
	}
	e.Status = crm.Sending
	return postgres.Exec(ctx, tx, "begin attempt", `INSERT INTO neuronx.effect_attempts (adapter, tenant_id, effect_id, attempt, worker, intent) VALUES ($6, $1, $2, $3, $4, $5)`,
		e.TenantID, e.ID, e.Attempts, worker, intent, l.Adapter)
}

// Finish ends the attempt that e is in, if it is still the effect's own: the row must be sending under the same attempt, or, for
// an end that is known for sure, unknown since this very attempt was taken over (the answer came late, but it came). It reports
// whether the effect took the end; the attempt's own row is written in any case.
func (l Ledger) Finish(ctx context.Context, tx pgx.Tx, e Effect, end crm.End) (bool, error) {
	end.Code, end.Detail, end.RemoteID = clean(end.Code), clean(end.Detail), clean(end.RemoteID)
	late := end.Status == crm.Done || end.Status == crm.Failed
	tag, err := tx.Exec(ctx, `UPDATE neuronx.effects SET status = $5, code = $6, last_error = $7,
			remote_id = CASE WHEN $8 <> '' THEN $8 ELSE remote_id END, lease_until = NULL, next_attempt_at = now() + $9, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $11 AND effect_id = $2 AND attempts = $3 AND resolutions = $4 AND (status = 'sending' OR ($10 AND status = 'unknown'))`,
		e.TenantID, e.ID, e.Attempts, e.Resolutions, string(end.Status), end.Code, errorText(end), end.RemoteID, end.After, late, l.Adapter)
	if err != nil {
		return false, fmt.Errorf("finish attempt: %w", err)
	}
	if err := postgres.Exec(ctx, tx, "finish attempt", `UPDATE neuronx.effect_attempts SET finished_at = now(), outcome = $4, code = $5, detail = $6, remote_id = $7
		WHERE tenant_id = $1 AND adapter = $8 AND effect_id = $2 AND attempt = $3`,
		e.TenantID, e.ID, e.Attempts, outcomeWord(end.Status), end.Code, end.Detail, end.RemoteID, l.Adapter); err != nil {
		return false, err
	}
	return tag.RowsAffected() == 1, nil
}

func errorText(end crm.End) string {
	if end.Status == crm.Done {
		return ""
	}
	return end.Detail
}

func outcomeWord(s crm.Status) string {
	if s == crm.Pending {
		return "retry"
	}
	return string(s)
}

// EndPending ends a locked pending effect without a request.
func (l Ledger) EndPending(ctx context.Context, tx pgx.Tx, e Effect, end crm.End) error {
	tag, err := tx.Exec(ctx, `UPDATE neuronx.effects SET status = $3, code = $4, last_error = $5,
			remote_id = CASE WHEN $6 <> '' THEN $6 ELSE remote_id END, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $7 AND effect_id = $2 AND status = 'pending'`, e.TenantID, e.ID, string(end.Status), clean(end.Code), clean(errorText(end)), clean(end.RemoteID), l.Adapter)
	if err != nil {
		return fmt.Errorf("end pending effect: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return errors.New("end pending effect: it is not pending any more")
	}
	return nil
}

// Postpone keeps a locked pending effect waiting, and says why.
func (l Ledger) Postpone(ctx context.Context, tx pgx.Tx, e Effect, after time.Duration, code, detail string) error {
	return postgres.Exec(ctx, tx, "postpone effect", `UPDATE neuronx.effects SET next_attempt_at = now() + $3, code = $4, last_error = $5, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $6 AND effect_id = $2 AND status = 'pending'`, e.TenantID, e.ID, after, clean(code), clean(detail), l.Adapter)
}

// Swept counts what Sweep found.
type Swept struct{ Pending, Unknown int64 }

// Sweep ends attempts whose lease is over: their worker died, or is paused. Only what may be repeated becomes pending again; a once
// effect becomes unknown, also when the worker never got to send, because that cannot be known.
func (l Ledger) Sweep(ctx context.Context, tx pgx.Tx) (Swept, error) {
	var s Swept
	if _, err := tx.Exec(ctx, `DELETE FROM neuronx.crm_claims WHERE adapter = $1 AND until < now()`, l.Adapter); err != nil {
		return s, fmt.Errorf("drop claims that are over: %w", err)
	}
	rows, err := tx.Query(ctx, `WITH lost AS (
			SELECT tenant_id, adapter, effect_id FROM neuronx.effects WHERE adapter = $1 AND status = 'sending' AND lease_until < now()
			LIMIT 1000 FOR UPDATE SKIP LOCKED
		), ended AS (
			UPDATE neuronx.effects e SET status = CASE WHEN class = 'once' THEN 'unknown' ELSE 'pending' END, code = 'lease_lost',
				last_error = 'the worker did not report back; it is not known whether the request was sent', lease_until = NULL,
				next_attempt_at = now(), updated_at = now()
			FROM lost WHERE e.tenant_id = lost.tenant_id AND e.adapter = lost.adapter AND e.effect_id = lost.effect_id
			RETURNING e.tenant_id, e.adapter, e.effect_id, e.attempts, e.status
		), attempts AS (
			UPDATE neuronx.effect_attempts a SET outcome = 'lost', code = 'lease_lost'
			FROM ended WHERE a.tenant_id = ended.tenant_id AND a.adapter = ended.adapter AND a.effect_id = ended.effect_id AND a.attempt = ended.attempts AND a.outcome = ''
		)
		SELECT status, count(*) FROM ended GROUP BY status`, l.Adapter)
	var status string
	var n int64
	if err := postgres.ForEach(rows, err, "sweep lost attempts", []any{&status, &n}, func() error {
		if status == string(crm.Unknown) {
			s.Unknown = n
		} else {
			s.Pending = n
		}
		return nil
	}); err != nil {
		return s, err
	}
	return s, nil
}
