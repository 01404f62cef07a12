package grants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/services/standin"
)

// browser is a person's, with cookies.
type browser struct {
	t *testing.T
	*http.Client
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// get loads a page and returns its status, its text and where it leads.
func (b browser) get(address string) (status int, text string, to *url.URL) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusFound && (resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer") {
		b.t.Errorf("%d %s: headers %v", resp.StatusCode, body, resp.Header)
	}
	to, err = resp.Location()
	if err != nil {
		to = nil
	}
	return resp.StatusCode, string(body), to
}

// office is a vendor's app with its pages of consent.
type office struct {
	*vendor
	base      string
	connected []string
	fails     error // recording a connection fails with it
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{vendor: newVendor(t)}
	c := &Consent{Adapter: adapter, App: o.app, Granter: gohighlevel.Adapter{}, Pool: o.own, Vault: o.vault, Ask: o.ask, Log: slog.New(slog.DiscardHandler),
		Connect: func(_ context.Context, ticket Ticket, location, mark string) error {
			o.connected = append(o.connected, fmt.Sprintf("%s %s %s by %s v%s", ticket.Tenant, location, ticket.Mode, ticket.By, mark))
			return o.fails
		}}
	srv := httptest.NewServer(c.Handler())
	t.Cleanup(srv.Close)
	o.base = srv.URL + Path(adapter)
	return o
}

func (o *office) ticket(tenant string) string {
	o.t.Helper()
	ticket, err := NewTicket(o.t.Context(), o.ops, Ticket{Adapter: adapter, Tenant: tenant, Mode: "record", By: "ann"})
	if err != nil {
		o.t.Fatal(err)
	}
	return ticket.Reveal()
}

// begin opens a ticket's address and returns the state that went to the CRM.
func (o *office) begin(b browser, ticket string) string {
	o.t.Helper()
	status, text, to := b.get(o.base + "/start?ticket=" + ticket)
	if status != http.StatusFound || !strings.HasPrefix(to.String(), o.app.Consent+"?") || to.Query().Get("client_id") != "app-1" || to.Query().Get("redirect_uri") != redirect {
		o.t.Fatalf("%d %s %v", status, text, to)
	}
	return to.Query().Get("state")
}

func (o *office) back(b browser, q url.Values) (int, string) {
	o.t.Helper()
	status, text, _ := b.get(o.base + "/callback?" + q.Encode())
	return status, text
}

func TestConsent_APersonConnectsATenant(t *testing.T) {
	o := newOffice(t)
	b := newBrowser(t)
	state := o.begin(b, o.ticket("acme"))
	q := url.Values{"code": {o.code("loc1")}, "state": {state}}
	if status, text := o.back(b, q); status != http.StatusOK || !strings.HasPrefix(text, "connected:") {
		t.Fatalf("%d %s", status, text)
	}
	o.opens(1)
	g, err := o.grant("loc1")
	if want := "acme loc1 record by ann v1/" + g.Fingerprint; len(o.connected) != 1 || o.connected[0] != want {
		t.Errorf("connected %q, want %s", o.connected, want)
	}
	if err != nil || g.Auth != AuthOAuth || g.RefreshAt.IsZero() || g.GivenBy != "ann" {
		t.Errorf("%+v, %v", g, err)
	}
	if status, text := o.back(b, q); status != http.StatusForbidden || !strings.HasPrefix(text, "state_refused:") {
		t.Errorf("the same return again: %d %s", status, text)
	}
	if status, text, _ := b.get(o.base + "/start?ticket=" + o.ticket("acme") + "x"); status != http.StatusForbidden || !strings.HasPrefix(text, "ticket_refused:") {
		t.Errorf("another ticket: %d %s", status, text)
	}
	o.exec(due)
	o.round(o.keeper(), 1)
	o.opens(2)
}

func TestConsent_RefusesReturnsThatDidNotBeginHere(t *testing.T) {
	o := newOffice(t)
	mine, others := newBrowser(t), newBrowser(t)
	state := o.begin(mine, o.ticket("acme"))
	otherState := o.begin(others, o.ticket("beta"))
	code := o.code("loc1")
	long := strings.Repeat("x", maxParam+1)
	for name, x := range map[string]struct {
		who  browser
		q    url.Values
		says string
	}{
		"no parameters":               {mine, url.Values{}, "bad_request"},
		"no state":                    {mine, url.Values{"code": {code}}, "bad_request"},
		"an empty state":              {mine, url.Values{"code": {code}, "state": {""}}, "bad_request"},
		"two states":                  {mine, url.Values{"code": {code}, "state": {state, "x"}}, "bad_request"},
		"a long state":                {mine, url.Values{"code": {code}, "state": {long}}, "bad_request"},
		"no code":                     {mine, url.Values{"state": {state}}, "bad_request"},
		"an empty code":               {mine, url.Values{"state": {state}, "code": {""}}, "bad_request"},
		"two codes":                   {mine, url.Values{"state": {state}, "code": {code, code}}, "bad_request"},
		"a long code":                 {mine, url.Values{"state": {state}, "code": {long}}, "bad_request"},
		"a state of nobody":           {mine, url.Values{"state": {"nobody"}, "code": {code}}, "state_refused"},
		"a state with SQL in it":      {mine, url.Values{"state": {"' OR true --"}, "code": {code}}, "state_refused"},
		"a state with a NUL in it":    {mine, url.Values{"state": {"a\x00b"}, "code": {code}}, "state_refused"},
		"another's state":             {mine, url.Values{"state": {otherState}, "code": {code}}, "other_browser"},
		"my state, another browser":   {others, url.Values{"state": {state}, "code": {code}}, "other_browser"},
		"my state, no cookie":         {newBrowser(t), url.Values{"state": {state}, "code": {code}}, "other_browser"},
		"the CRM refused":             {mine, url.Values{"state": {state}, "error": {"access_denied"}}, "consent_refused"},
		"the CRM refused, with HTML":  {mine, url.Values{"state": {state}, "error": {"<script>"}, "error_description": {"<b>"}}, "consent_refused"},
		"a ticket in place of a code": {mine, url.Values{"ticket": {"x"}}, "bad_request"},
	} {
		status, text := o.back(x.who, x.q)
		if status < 400 || status >= 500 || !strings.HasPrefix(text, x.says+":") || strings.Contains(text, "<") || strings.Contains(text, "SQL") {
			t.Errorf("%s: %d %s; want %s", name, status, text, x.says)
		}
	}
	if asked, _ := o.tokens(); asked != 0 || len(o.connected) != 0 {
		t.Fatalf("%d codes were exchanged, connected %q", asked, o.connected)
	}
	// None of this has used up what was mine.
	if status, text := o.back(mine, url.Values{"state": {state}, "code": {code}}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	for name, sql := range map[string]string{"used": `UPDATE neuronx.crm_tickets SET used_at = now()`, "expired": `UPDATE neuronx.crm_tickets SET expires_at = now() - interval '1 second'`} {
		ticket := o.ticket("acme")
		state := o.begin(mine, ticket)
		o.exec(sql)
		if status, text, _ := mine.get(o.base + "/start?ticket=" + ticket); status != http.StatusForbidden || !strings.HasPrefix(text, "ticket_refused:") {
			t.Errorf("start with a ticket that is %s: %d %s", name, status, text)
		}
		if status, text := o.back(mine, url.Values{"state": {state}, "code": {code}}); status != http.StatusForbidden || !strings.HasPrefix(text, "state_refused:") {
			t.Errorf("return with a ticket that is %s: %d %s", name, status, text)
		}
	}
}

func TestConsent_WhatTheCRMGivesMayBeOfNoUse(t *testing.T) {
	for name, x := range map[string]struct {
		before func(o *office)
		code   func(o *office) string
		status int
		says   string
	}{
		"a code of nobody": {nil, func(*office) string { return "nobody" }, http.StatusForbidden, "code_refused"},
		"a code used twice": {nil, func(o *office) string {
			c := o.code("loc1")
			o.ask(o.t.Context(), gohighlevel.Adapter{}.Exchange(o.app, c))
			return c
		}, http.StatusForbidden, "code_refused"},
		"no answer":          {func(o *office) { o.fault(standin.Fault{Kind: "close", Path: "/oauth/token"}) }, nil, http.StatusBadGateway, "crm_unavailable"},
		"a server's failure": {func(o *office) { o.fault(standin.Fault{Kind: "status", Status: 500, Path: "/oauth/token"}) }, nil, http.StatusBadGateway, "crm_unavailable"},
		"an agency": {func(o *office) {
			o.fault(standin.Fault{Kind: "status", Status: 200, Path: "/oauth/token", Body: `{"access_token":"a","refresh_token":"r","expires_in":9,"userType":"Company","companyId":"c"}`})
		}, nil, http.StatusForbidden, "company_token"},
		"a location of another form": {func(o *office) {
			o.fault(standin.Fault{Kind: "status", Status: 200, Path: "/oauth/token", Body: `{"access_token":"a","refresh_token":"r","expires_in":9,"userType":"Location","locationId":"../x"}`})
		}, nil, http.StatusForbidden, "company_token"},
		"another tenant's location": {func(o *office) { o.must("beta", "loc1", "pit-beta", 0, 1) }, nil, http.StatusConflict, "account_taken"},
		"another tenant's location, by a file": {func(o *office) {
			o.exec(`INSERT INTO neuronx.crm_connections (tenant_id, adapter, location, token, mode, sequence) VALUES ('beta', 'gohighlevel', 'loc1', 'secret://beta@1', 'record', 1)`)
		}, nil, http.StatusConflict, "account_taken"},
		"a token that no header holds": {func(o *office) {
			o.fault(standin.Fault{Kind: "status", Status: 200, Path: "/oauth/token", Body: `{"access_token":"a b","refresh_token":"r","expires_in":9,"userType":"Location","locationId":"loc1"}`})
		}, nil, http.StatusServiceUnavailable, "unavailable"},
		"a stream that can't be told": {func(o *office) { o.fails = errors.New("Kafka is away") }, nil, http.StatusServiceUnavailable, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			b := newBrowser(t)
			state := o.begin(b, o.ticket("acme"))
			code := o.code("loc1")
			if x.before != nil {
				x.before(o)
			}
			if x.code != nil {
				code = x.code(o)
			}
			if status, text := o.back(b, url.Values{"state": {state}, "code": {code}}); status != x.status || !strings.HasPrefix(text, x.says+":") || strings.Contains(text, "canary") {
				t.Errorf("%d %s, want %d %s", status, text, x.status, x.says)
			}
			if o.fails == nil && len(o.connected) != 0 {
				t.Errorf("connected %q", o.connected)
			}
		})
	}
}
