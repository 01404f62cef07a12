package grants

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/secret"
	"github.com/neuronx/engine/pkg/vault"
)

const (
	claimFor   = time.Minute      // how long a refresh belongs to the process that claimed it
	sendWithin = 40 * time.Second // of claiming, all requests of a refresh have left, so that the next claimer meets none of them
	retryAfter = time.Minute      // where nothing was done
	early      = 6 * time.Hour    // before the end of an access token: the CRM's token service may be away for hours
	spread     = time.Hour        // so that accounts which were connected together are not refreshed together
	perRound   = 20
)

// Asker sends one request to the CRM, without a token of an account.
type Asker func(ctx context.Context, c crm.Call) crm.Answer

// Teller records in a tenant's stream that what opens an account changed. It may be told the same again, of a grant with the same Mark.
type Teller func(ctx context.Context, g Grant, what, reason string) error

// Keeper refreshes the tokens of grants before they end. Any number of processes may keep the same grants: one at a time claims a refresh.
//
//	due ── claim, committed ──> ask with the refresh token ── given ──> next version
//	                                 │ refused: it was used or taken back
//	                                 v
//	                            ask to reconnect ── a code ──> exchange ── given ──> next version
//	                                 │ refused
//	                                 v
//	                            needs_consent, and the tenant's stream says so
//
// A refresh token is used a second time only if it is not known what became of the first: then the claim runs out, and who claims next finds
// out. Where the process ends between the answer and the store, the tokens are lost, the old one is refused, and reconnecting gives others.
type Keeper struct {
	Adapter string
	App     crm.App
	Granter crm.Granter
	Pool    *pgxpool.Pool
	Vault   *vault.Vault
	Ask     Asker
	Tell    Teller
	Log     *slog.Logger
	Every   time.Duration // between looks; default 30 s

	wake chan struct{}
}

// Wake makes a look come soon. It never blocks.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run keeps grants until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	every := k.Every
	if every == 0 {
		every = 30 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := k.Round(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error("tokens of CRM accounts can't be refreshed; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-k.wake:
		}
	}
}

// NewKeeper makes a keeper that can be woken.
func NewKeeper(k Keeper) *Keeper {
	k.wake = make(chan struct{}, 1)
	return &k
}

// claimed is a refresh that belongs to this process until its deadline.
type claimed struct {
	Grant
	tokens Tokens
	until  time.Time
}

// Round refreshes what is due now, and returns how many refreshes were claimed. One account's trouble does not hold up the others.
func (k *Keeper) Round(ctx context.Context) (int, error) {
	rows, err := k.Pool.Query(ctx, `SELECT `+grantColumns+` FROM neuronx.crm_grants WHERE adapter = $1 AND state = 'active' AND refresh_at <= now()
		AND (claimed_until IS NULL OR claimed_until < now()) ORDER BY refresh_at LIMIT $2`, k.Adapter, perRound)
	due, err := postgres.Collect(rows, err, "look for tokens to refresh", scanGrant)
	if err != nil {
		return 0, err
	}
	errs := []error{forgetTickets(ctx, k.Pool, k.Adapter)}
	n := 0
	for _, g := range due {
		c, ok, err := k.claim(ctx, g)
		if ok && err == nil {
			n++
			err = k.refresh(ctx, c)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", g.Holder, err))
		}
	}
	return n, errors.Join(errs...)
}

// claim takes a refresh for this process; false: another one has it. It is committed when it returns.
func (k *Keeper) claim(ctx context.Context, g Grant) (claimed, bool, error) {
	started := time.Now()
	tag, err := k.Pool.Exec(ctx, `UPDATE neuronx.crm_grants SET claimed_until = now() + $4::interval
		WHERE adapter = $1 AND holder = $2 AND version = $3 AND state = 'active' AND refresh_at <= now() AND (claimed_until IS NULL OR claimed_until < now())`, g.Adapter, g.Holder, g.Version, claimFor)
	if err != nil || tag.RowsAffected() == 0 {
		return claimed{}, false, err
	}
	var sealed []byte
	err = k.Pool.QueryRow(ctx, `SELECT sealed FROM neuronx.crm_tokens WHERE adapter = $1 AND holder = $2 AND version = $3`, g.Adapter, g.Holder, g.Version).Scan(&sealed)
	if err != nil {
		return claimed{}, false, fmt.Errorf("read the token: %w", err)
	}
	tokens, err := open(k.Vault, g.Adapter, g.Holder, g.Version, sealed)
	return claimed{Grant: g, tokens: tokens, until: started.Add(sendWithin)}, err == nil, err
}

func (k *Keeper) refresh(ctx context.Context, c claimed) error {
	asking, cancel := context.WithDeadline(ctx, c.until)
	defer cancel()
	got, v := k.Granter.Granted(k.Ask(asking, k.Granter.Refresh(k.App, c.tokens.Refresh)))
	if v.Kind == crm.Refused {
		k.Log.Warn("the CRM refuses to refresh a token; asking it to reconnect", "holder", c.Holder, "tenant", c.Tenant, "detail", c.hide(v.Detail))
		got, v = k.reconnect(asking, c)
	}
	switch v.Kind {
	case crm.Given:
		if Location(got.Account) != c.Holder {
			return k.fail(ctx, c, "the tokens that came back are another account's")
		}
		return k.store(ctx, c, got)
	case crm.Refused:
		return k.fail(ctx, c, v.Detail)
	case crm.NotDone:
		return postgres.Exec(ctx, k.Pool, "put a refresh off", `UPDATE neuronx.crm_grants SET claimed_until = NULL, refresh_at = now() + $4::interval
			WHERE adapter = $1 AND holder = $2 AND version = $3`, c.Adapter, c.Holder, c.Version, retryAfter)
	}
	k.Log.Warn("it is not known whether the CRM refreshed a token; trying again when the claim has run out", "holder", c.Holder, "tenant", c.Tenant, "detail", c.hide(v.Detail))
	return nil
}

// reconnect asks for tokens without the old ones. A refusal of the code is no refusal for good: the next round asks for another.
func (k *Keeper) reconnect(ctx context.Context, c claimed) (got crm.Tokens, v crm.Verdict) {
	account, _ := strings.CutPrefix(c.Holder, Location(""))
	code, v := k.Granter.Reconnected(k.Ask(ctx, k.Granter.Reconnect(k.App, account)))
	if v.Kind != crm.Given {
		return got, v
	}
	got, v = k.Granter.Granted(k.Ask(ctx, k.Granter.Exchange(k.App, code)))
	if v.Kind == crm.Refused {
		v.Kind = crm.Unclear
	}
	return got, v
}

// store makes the next version. What came back can't be asked for again, so it is tried until it is stored or the process ends.
func (k *Keeper) store(ctx context.Context, c claimed, got crm.Tokens) error {
	version := c.Version + 1
	tokens := Tokens{Access: got.Access, Refresh: got.Refresh}
	sealed, err := seal(k.Vault, c.Adapter, c.Holder, version, tokens)
	if err != nil {
		return k.fail(ctx, c, "the tokens that came back can't be used: "+err.Error())
	}
	for failures := 0; ; failures++ {
		stored, err := k.next(context.WithoutCancel(ctx), c, version, got, sealed)
		switch {
		case err == nil && stored:
			k.Log.Info("the token of a CRM account was refreshed", "holder", c.Holder, "tenant", c.Tenant, "version", version)
			return nil
		case err == nil:
			k.Log.Info("the account was connected again while its token was refreshed", "holder", c.Holder, "tenant", c.Tenant)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("a refreshed token is lost, as the process ends; the account will be reconnected: %w", err)
		}
		k.Log.Error("a refreshed token can't be stored; trying again", "holder", c.Holder, "tenant", c.Tenant, "err", err)
		_ = backoff.Wait(ctx, backoff.Pause(failures))
	}
}

func (k *Keeper) next(ctx context.Context, c claimed, version int64, got crm.Tokens, sealed []byte) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = pgx.BeginFunc(ctx, k.Pool, func(tx pgx.Tx) error {
		var now int64
		err := tx.QueryRow(ctx, `SELECT version FROM neuronx.crm_grants WHERE adapter = $1 AND holder = $2 FOR UPDATE`, c.Adapter, c.Holder).Scan(&now)
		if err != nil {
			return fmt.Errorf("read the grant: %w", err)
		}
		if now != c.Version {
			if now == version { // a commit whose answer was lost
				err = tx.QueryRow(ctx, `SELECT fingerprint = $3 FROM neuronx.crm_grants WHERE adapter = $1 AND holder = $2`, c.Adapter, c.Holder, Fingerprint(got.Access)).Scan(&stored)
			}
			return err
		}
		life := got.Expires
		_, err = tx.Exec(ctx, `UPDATE neuronx.crm_grants SET version = $3, fingerprint = $4, scopes = $5, refreshed_at = now(), claimed_until = NULL, fallback_until = NULL,
			expires_at = now() + $6::interval, refresh_at = now() + $7::interval WHERE adapter = $1 AND holder = $2`,
			c.Adapter, c.Holder, version, Fingerprint(got.Access), got.Scopes, life, RefreshIn(life))
		if err != nil {
			return fmt.Errorf("store the grant: %w", err)
		}
		stored = true
		return keep(ctx, tx, c.Adapter, c.Holder, version, sealed, false)
	})
	return stored && err == nil, err
}

// RefreshIn is when a token of a life is refreshed: 6 h ± 1 h before its end, or after half of a life that is shorter than two of that.
func RefreshIn(life time.Duration) time.Duration {
	before := early + time.Duration((2*rand.Float64()-1)*float64(spread))
	return max(life-before, life/2)
}

// fail notes that only a person can open the account again. The stream is told first: told again it says the same.
func (k *Keeper) fail(ctx context.Context, c claimed, reason string) error {
	reason = c.hide(reason)
	if err := k.Tell(ctx, c.Grant, "failed", reason); err != nil {
		return fmt.Errorf("tell that a person must consent again: %w", err)
	}
	k.Log.Error("a CRM account needs a person's consent again: neuronx crm status", "holder", c.Holder, "tenant", c.Tenant, "reason", reason)
	return postgres.Exec(ctx, k.Pool, "note that a person must consent again", `UPDATE neuronx.crm_grants SET state = 'needs_consent', reason = $4, claimed_until = NULL, refresh_at = NULL
		WHERE adapter = $1 AND holder = $2 AND version = $3`, c.Adapter, c.Holder, c.Version, reason)
}

// hide takes the tokens out of a text of the CRM's, bounds it, and leaves out what is not for reading.
func (c claimed) hide(s string) string {
	for _, token := range []secret.Text{c.tokens.Access, c.tokens.Refresh} {
		if token != "" {
			s = strings.ReplaceAll(s, token.Reveal(), "[redacted]")
		}
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// refreshAgain is how long after a refresh the next one may come before its time: a CRM that refuses each fresh token, too, is not asked for others as
// fast as it answers.
const refreshAgain = 5 * time.Minute

// Refused asks for a refresh before its time, since the CRM took a version's access token no more. It reports whether that will be.
func Refused(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, adapter, location string, version int64) (bool, error) {
	var due bool
	err := q.QueryRow(ctx, `UPDATE neuronx.crm_grants SET refresh_at = least(refresh_at, now())
		WHERE adapter = $1 AND holder = $2 AND version = $3 AND auth = 'oauth' AND state = 'active'
		AND (refreshed_at IS NULL OR refreshed_at < now() - $4::interval) RETURNING true`, adapter, Location(location), version, refreshAgain).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for a refresh: %w", err)
	}
	return due, nil
}
