package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Why a tenant's effects wait for its CRM account.
const (
	PausedAuth    = "auth"    // the CRM refuses the token
	PausedScope   = "scope"   // the token may not do one kind of call; the other kinds go on
	PausedAccount = "account" // the token can't be read, or the connection's base URL is refused
	PausedAway    = "away"    // the CRM does not answer, or answers that it can't; what waits goes on by itself when it is back
)

// refusals are the reasons that last until somebody mends the connection.
var refusals = []string{PausedAuth, PausedScope, PausedAccount}

// Paused is a tenant whose effects wait for its account in the CRM.
type Paused struct {
	Tenant    string    `json:"tenant_id"`
	Reason    string    `json:"reason"`
	LastError string    `json:"last_error"` // of the effect that was tried last
	Waiting   int64     `json:"waiting"`    // pending effects of the tenant, whether they were tried or not
	Next      time.Time `json:"next_attempt_at"`

	Location string `json:"location"` // the connection, as it is in force
	Token    string `json:"token"`    // names a secret and is none
	Mode     string `json:"mode"`
	BaseURL  string `json:"base_url,omitempty"`
}

// waitingRows finds effects that wait for the account, each with its reason. Most effects of such a tenant were never tried, as the first refusal stops
// all, so its few refused effects speak for it. Release makes a refused effect due at once (next_attempt_at is then not after updated_at): until it is
// tried with the new connection, nothing is known against that. Nor is a suspended tenant paused: it waits for its resumption.
const waitingRows = `SELECT e.tenant_id, e.adapter, CASE e.code WHEN '` + crm.CodeUnauthorized + `' THEN '` + PausedAuth + `' WHEN '` + crm.CodeScope + `' THEN '` + PausedScope +
	`' WHEN '` + crm.CodeAccount + `' THEN '` + PausedAccount + `' ELSE '` + PausedAway + `' END AS reason, e.last_error, e.next_attempt_at, e.updated_at, e.attempts
	FROM neuronx.effects e
	WHERE e.status IN ('pending', 'sending') AND e.code IN ('` + crm.CodeUnauthorized + `', '` + crm.CodeScope + `', '` + crm.CodeAccount + `', '` +
	crm.CodeNotConnected + `', '` + crm.CodeNoAnswer + `', '` + crm.CodeNoVerdict + `')
	  AND (e.status = 'sending' OR e.next_attempt_at > e.updated_at)
	  AND NOT EXISTS (SELECT 1 FROM neuronx.crm_connections c WHERE c.tenant_id = e.tenant_id AND c.adapter = e.adapter AND c.suspended)`

// awayAfter is how many attempts in vain say that a CRM is away: as many as open an account's breaker. One alone is an answer that was lost.
const awayAfter = "5"

// ListPaused lists up to limit tenants whose effects wait for their CRM account, each once per reason.
func ListPaused(ctx context.Context, q Querier, limit int) ([]Paused, error) {
	rows, err := q.Query(ctx, `WITH paused AS (
			SELECT tenant_id, adapter, reason, (array_agg(last_error ORDER BY updated_at DESC))[1] AS last_error, min(next_attempt_at) AS next
			FROM (`+waitingRows+`) r GROUP BY tenant_id, adapter, reason HAVING reason <> '`+PausedAway+`' OR sum(attempts) >= `+awayAfter+`
			ORDER BY tenant_id, adapter, reason LIMIT $1)
		SELECT p.tenant_id, p.reason, p.last_error, (SELECT count(*) FROM neuronx.effects e WHERE e.tenant_id = p.tenant_id AND e.adapter = p.adapter AND e.status = 'pending'), p.next,
			coalesce(c.location, ''), coalesce(c.token, ''), coalesce(c.mode, ''), coalesce(c.base_url, '')
		FROM paused p LEFT JOIN neuronx.crm_connections c ON c.tenant_id = p.tenant_id AND c.adapter = p.adapter ORDER BY p.tenant_id, p.adapter, p.reason`, limit)
	return postgres.Collect(rows, err, "list tenants that wait for their CRM", pgx.RowToStructByPos[Paused])
}

// CountRefused counts the tenants whose connection is refused, by reason; a reason without any is 0.
func CountRefused(ctx context.Context, q Querier) (map[string]int64, error) {
	out := map[string]int64{}
	for _, reason := range refusals {
		out[reason] = 0
	}
	rows, err := q.Query(ctx, `SELECT reason, count(DISTINCT tenant_id) FROM (`+waitingRows+`) r WHERE reason = ANY($1) GROUP BY reason`, refusals)
	var reason string
	var n int64
	err = postgres.ForEach(rows, err, "count tenants whose CRM refuses them", []any{&reason, &n}, func() error { out[reason] = n; return nil })
	return out, err
}
