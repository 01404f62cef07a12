package grants

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/secret"
)

// TicketLife is how long a ticket may be used.
const TicketLife = 15 * time.Minute

// Ticket is for whom a browser may ask for access to an account, and what becomes of it.
type Ticket struct {
	Adapter string
	Tenant  string
	Mode    string // of the connection that it makes: off, record or send
	By      string
}

// NewTicket stores a ticket and returns it as it goes into a URL. It is shown once.
func NewTicket(ctx context.Context, q ledger.Querier, t Ticket) (secret.Text, error) {
	text := rand.Text() // 130 bits
	_, err := q.Exec(ctx, `INSERT INTO neuronx.crm_tickets (hash, adapter, tenant_id, mode, given_by, expires_at) VALUES ($1, $2, $3, $4, $5, now() + $6::interval)`,
		hashed(text), t.Adapter, t.Tenant, t.Mode, t.By, TicketLife)
	if err != nil {
		return "", fmt.Errorf("store a ticket: %w", err)
	}
	return secret.Text(text), nil
}

func hashed(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Why a ticket is refused.
var (
	errNoTicket      = errors.New("there is no such ticket, or it was used or has expired")
	errOtherBrowser  = errors.New("it is not the browser that began")
	errNobodysReturn = errors.New("nobody began this here, or it has ended or expired")
)

// begin binds a ticket to a browser: what goes to the CRM as the state, and into the browser as the cookie. Begun again, the last one counts.
func begin(ctx context.Context, pool *pgxpool.Pool, adapter, ticket string) (state, cookie string, err error) {
	state, cookie = rand.Text(), rand.Text()
	tag, err := pool.Exec(ctx, `UPDATE neuronx.crm_tickets SET state_hash = $3, cookie_hash = $4 WHERE hash = $1 AND adapter = $2 AND used_at IS NULL AND expires_at > now()`,
		hashed(ticket), adapter, hashed(state), hashed(cookie))
	if err == nil && tag.RowsAffected() == 0 {
		err = errNoTicket
	}
	return state, cookie, err
}

// use ends a ticket, for the browser that began with it only.
func use(ctx context.Context, pool *pgxpool.Pool, adapter, state, cookie string) (t Ticket, err error) {
	t.Adapter = adapter
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var want []byte
		err := tx.QueryRow(ctx, `SELECT tenant_id, mode, given_by, cookie_hash FROM neuronx.crm_tickets
			WHERE state_hash = $1 AND adapter = $2 AND used_at IS NULL AND expires_at > now() FOR UPDATE`, hashed(state), adapter).Scan(&t.Tenant, &t.Mode, &t.By, &want)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errNobodysReturn
		case err != nil:
			return fmt.Errorf("read the ticket: %w", err)
		case cookie == "" || subtle.ConstantTimeCompare(want, hashed(cookie)) != 1:
			return errOtherBrowser // and the ticket stays for the one that began
		}
		return postgres.Exec(ctx, tx, "end the ticket", `UPDATE neuronx.crm_tickets SET used_at = now() WHERE state_hash = $1`, hashed(state))
	})
	return t, err
}

// forgetTickets deletes those that ended a day ago.
func forgetTickets(ctx context.Context, pool *pgxpool.Pool, adapter string) error {
	return postgres.Exec(ctx, pool, "delete old tickets", `DELETE FROM neuronx.crm_tickets WHERE adapter = $1 AND expires_at < now() - interval '1 day'`, adapter)
}
