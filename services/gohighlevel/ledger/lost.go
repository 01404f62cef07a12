package ledger

import (
	"context"
	"encoding/json"
	"fmt"
)

// LostTwin reports whether an effect that asked for the very same stands aside, because its command was lost with the tail of a log
// that was built anew, and was or may have been carried out. A producer that sends the lost fact again makes a new command of it.
func LostTwin(ctx context.Context, q Querier, e Effect) (is bool, err error) {
	request, err := json.Marshal(e.Command)
	if err != nil {
		return false, fmt.Errorf("look for a lost twin: %w", err)
	}
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM neuronx.effects WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND request = $4::jsonb
		AND code = 'command_lost' AND status IN ('done', 'unknown'))`, e.TenantID, e.Kind, e.Subject, request).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("look for a lost twin: %w", err)
	}
	return is, nil
}
