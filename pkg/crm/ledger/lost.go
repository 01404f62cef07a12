package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Codes of effects around a log that was rebuilt without its tail.
const (
	CodeLost = "command_lost" // the command is gone
	codeMet  = "command_met"  // and the same was asked for again
	codeTwin = "lost_twin"    // this is what was asked for again
)

// MeetTwin makes a new effect unknown if it asks for the same as an effect whose command was lost with the tail of a rebuilt log, and
// which was or may have been carried out: a producer that sends the lost fact again causes a new command, and its effect would come
// twice. Each lost effect is matched once; a later command is a new request.
func (l Ledger) MeetTwin(ctx context.Context, q Querier, e Effect) (is bool, err error) {
	request, err := json.Marshal(e.Command)
	if err != nil {
		return false, fmt.Errorf("look for a lost twin: %w", err)
	}
	const lost = `SELECT effect_id FROM neuronx.effects WHERE tenant_id = $1 AND adapter = $8 AND kind = $3 AND subject = $4 AND request = $5::jsonb
		AND code = '` + CodeLost + `' AND status IN ('done', 'unknown') ORDER BY command_sequence, effect_id LIMIT 1`
	var twin string
	err = q.QueryRow(ctx, `UPDATE neuronx.effects SET status = 'unknown', code = $6, last_error = $7, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $8 AND effect_id = $2 AND status = 'pending' AND attempts = 0 AND EXISTS (`+lost+`) RETURNING (`+lost+`)`,
		e.TenantID, e.ID, e.Kind, e.Subject, request, codeTwin,
		"the same was asked for by a command that was lost with the tail of the log, and may have been carried out: resolve it", l.Adapter).Scan(&twin)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		_, err = q.Exec(ctx, `UPDATE neuronx.effects SET code = $3, updated_at = now() WHERE tenant_id = $1 AND adapter = $4 AND effect_id = $2`, e.TenantID, twin, codeMet, l.Adapter)
	}
	if err != nil {
		return false, fmt.Errorf("look for a lost twin: %w", err)
	}
	return true, nil
}
