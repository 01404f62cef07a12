package grants

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/vault"
)

// Path is where the pages of consent are, below which are start and callback.
func Path(adapter string) string { return "/v1/oauth/" + adapter }

const (
	cookieName = "neuronx_consent"
	maxParam   = 4 << 10 // bytes of a query parameter
)

// Connector records in a tenant's stream that it is connected to an account, by a grant that has Mark.
type Connector func(ctx context.Context, t Ticket, location, mark string) error

// Consent serves the pages that a person passes through who gives the engine access to an account.
//
//	start?ticket=… ── cookie, state ──> the CRM's page ── the person consents ──> callback?code=…&state=… ── code ──> tokens ──> grant, connection
//
// A callback counts only in the browser that began, with the state that went out, and once; so nobody can make another's browser connect an
// account of his own to the other's tenant. Pages are plain text, name what was refused by a code, and repeat nothing of the request.
type Consent struct {
	Adapter string
	App     crm.App
	Granter crm.Granter
	Pool    *pgxpool.Pool
	Vault   *vault.Vault
	Ask     Asker
	Connect Connector
	Log     *slog.Logger
}

// Handler serves start and callback.
func (c *Consent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path(c.Adapter)+"/start", c.start)
	mux.HandleFunc("GET "+Path(c.Adapter)+"/callback", c.callback)
	return mux
}

// page answers with a code and a sentence, and with headers that keep the page's address, which has the code in it, to itself.
func page(w http.ResponseWriter, status int, code, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s: %s\n", code, text)
}

// param is a query parameter that is there once and not too long; false answers the request.
func param(w http.ResponseWriter, r *http.Request, name string) (string, bool) {
	all := r.URL.Query()[name]
	if len(all) != 1 || all[0] == "" || len(all[0]) > maxParam {
		page(w, http.StatusBadRequest, "bad_request", "the address needs "+name+", once; begin again with the address that `neuronx crm connect --oauth` shows")
		return "", false
	}
	return all[0], true
}

func (c *Consent) start(w http.ResponseWriter, r *http.Request) {
	ticket, ok := param(w, r, "ticket")
	if !ok {
		return
	}
	state, cookie, err := begin(r.Context(), c.Pool, c.Adapter, ticket)
	switch {
	case errors.Is(err, errNoTicket):
		page(w, http.StatusForbidden, "ticket_refused", "the ticket was used, has expired, or is none; ask for another: neuronx crm connect --oauth")
		return
	case err != nil:
		c.Log.Error("a ticket can't be read", "err", err)
		page(w, http.StatusServiceUnavailable, "unavailable", "the ticket can't be looked up now; try again")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: Path(c.Adapter), MaxAge: int(TicketLife.Seconds()), HttpOnly: true,
		Secure: strings.HasPrefix(c.App.Redirect, "https:"), SameSite: http.SameSiteLaxMode}) // lax: the CRM's page sends the browser back
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, c.Granter.ConsentURL(c.App, state), http.StatusFound)
}

func (c *Consent) callback(w http.ResponseWriter, r *http.Request) {
	state, ok := param(w, r, "state")
	if !ok {
		return
	}
	cookie := ""
	if got, err := r.Cookie(cookieName); err == nil {
		cookie = got.Value
	}
	if r.URL.Query().Has("error") {
		page(w, http.StatusForbidden, "consent_refused", "the CRM says that access was not given; begin again if that was not meant")
		return
	}
	code, ok := param(w, r, "code")
	if !ok {
		return
	}
	t, err := use(r.Context(), c.Pool, c.Adapter, state, cookie)
	switch {
	case errors.Is(err, errOtherBrowser):
		page(w, http.StatusForbidden, "other_browser", "this browser did not begin; use the one that opened the address of `neuronx crm connect --oauth`")
		return
	case errors.Is(err, errNobodysReturn):
		page(w, http.StatusForbidden, "state_refused", "nobody began this here, or it has ended or expired; begin again: neuronx crm connect --oauth")
		return
	case err != nil:
		c.Log.Error("a ticket can't be used", "err", err)
		page(w, http.StatusServiceUnavailable, "unavailable", "the ticket can't be looked up now; load this page again")
		return
	}
	// The person may close the page; what the CRM gave must be kept all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	status, result, text := c.finish(ctx, t, code)
	c.Log.Info("a person came back from the CRM's consent page", "tenant", t.Tenant, "by", t.By, "result", result)
	page(w, status, result, text)
}

// finish exchanges the code, stores the grant and connects the tenant.
func (c *Consent) finish(ctx context.Context, t Ticket, code string) (status int, result, text string) {
	got, v := c.Granter.Granted(c.Ask(ctx, c.Granter.Exchange(c.App, code)))
	switch {
	case v.Kind == crm.Refused:
		return http.StatusForbidden, "code_refused", "the CRM does not take the code that came back; begin again: neuronx crm connect --oauth"
	case v.Kind != crm.Given:
		return http.StatusBadGateway, "crm_unavailable", "the CRM does not answer as it should; begin again later: neuronx crm connect --oauth"
	case got.Account == "":
		return http.StatusForbidden, "company_token", "access was given for a whole agency; choose the one sub-account that this tenant uses"
	}
	var version int64
	err := pgx.BeginFunc(ctx, c.Pool, func(tx pgx.Tx) (err error) {
		version, err = Give(ctx, tx, c.Vault, Given{Adapter: c.Adapter, Holder: Location(got.Account), Tenant: t.Tenant, Auth: AuthOAuth, By: t.By, Scopes: got.Scopes,
			Tokens: Tokens{Access: got.Access, Refresh: got.Refresh}, ExpiresAt: time.Now().Add(got.Expires), RefreshAt: time.Now().Add(RefreshIn(got.Expires))})
		return err
	})
	switch {
	case errors.Is(err, ErrTaken):
		return http.StatusConflict, "account_taken", "this sub-account is connected to another tenant; an operator can disconnect that: neuronx crm status"
	case err != nil && !errors.Is(err, ErrSame):
		c.Log.Error("a grant can't be stored", "tenant", t.Tenant, "err", err)
		return http.StatusServiceUnavailable, "unavailable", "access was given and can't be stored now; begin again: neuronx crm connect --oauth"
	}
	if err := c.Connect(ctx, t, got.Account, Mark(version, Fingerprint(got.Access))); err != nil {
		c.Log.Error("a connection can't be recorded", "tenant", t.Tenant, "err", err)
		return http.StatusServiceUnavailable, "unavailable", "access was given and the connection can't be recorded now; begin again: neuronx crm connect --oauth"
	}
	return http.StatusOK, "connected", "the tenant is connected to its sub-account in mode " + t.Mode + "; you can close this page"
}
