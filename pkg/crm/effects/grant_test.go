package effects

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/vault"
	"github.com/neuronx/engine/services/standin"
)

// keyset gives the rig's workers a master keyset.
func (r *rig) keyset() {
	r.t.Helper()
	b, err := vault.New()
	if err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if r.vault, err = vault.Load(path); err != nil {
		r.t.Fatal(err)
	}
}

// grant gives the tenant's location a token, the next version of its grant.
func (r *rig) grant(token string) {
	r.t.Helper()
	err := pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) error {
		_, err := grants.Give(r.t.Context(), tx, r.vault, grants.Given{Adapter: gohighlevel.Name, Holder: grants.Location("loc-" + tenant), Tenant: tenant, Auth: grants.AuthPIT,
			Tokens: grants.Tokens{Access: app.Secret(token)}, Fallback: time.Hour})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) connectGrant() {
	r.t.Helper()
	r.apply(r.event(tenant, typeConnected, "tenant/"+tenant, map[string]any{
		"adapter": "gohighlevel", "location": "loc-" + tenant, "token": grants.Reference("loc-" + tenant), "mode": "send"}))
}

func (r *rig) rotated() {
	r.t.Helper()
	r.apply(r.event(tenant, typeGrantChanged, "tenant/"+tenant, map[string]any{"adapter": "gohighlevel", "location": "loc-" + tenant, "what": "rotated", "version": int64(2)}))
}

func TestGrant_ItsTokenOpensTheAccount(t *testing.T) {
	r := newRig(t)
	r.keyset()
	r.connectGrant()
	r.run(r.worker())
	upsert, note := r.upsert("1"), r.note("1", "before the grant")
	r.apply(upsert, note)
	r.waitFor("the effects to say that they wait for the account", func() bool {
		e := r.get(upsert.ID)
		return e.Code == crm.CodeAccount && strings.Contains(e.LastError, "has no grant")
	})
	r.grant("tok-acme")
	r.rotated()
	r.waitStatus(upsert.ID, crm.Done)
	r.waitStatus(note.ID, crm.Done)
}

func TestGrant_TheTokenBeforeServesWhereTheNewOneIsRefused(t *testing.T) {
	r := newRig(t)
	r.keyset()
	r.grant("tok-acme")
	r.grant("mistyped")
	r.connectGrant()
	r.run(r.worker())
	upsert := r.upsert("1")
	r.apply(upsert)
	r.waitStatus(upsert.ID, crm.Done)
	if n, applied := r.sent("POST", "/contacts/upsert"); n != 1 || applied != 1 {
		t.Errorf("%d upserts, %d applied", n, applied)
	}
	// What was refused once is not tried before each request.
	tag := r.tag("1", "hot")
	r.apply(tag)
	r.waitStatus(tag.ID, crm.Done)
	refused := 0
	for _, e := range r.crm.Requests(0, "") {
		if e.Status == 401 {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("the refused token was used %d times", refused)
	}
}

func TestDisconnected_WhatWaitsEndsAsOffAndNothingIsSent(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	before := r.upsert("1")
	r.apply(before)
	for _, typ := range []string{"another", gohighlevel.Name} { // another adapter's end is nothing to this one
		r.apply(r.event(tenant, typeDisconnected, "tenant/"+tenant, map[string]any{"adapter": typ}))
		ten, err := book.LoadTenant(t.Context(), r.pool, tenant)
		if err != nil || ten.Connected != (typ == "another") {
			t.Fatalf("after %s was disconnected the tenant is connected: %v, %v", typ, ten.Connected, err)
		}
	}
	after := r.upsert("2")
	r.apply(after)
	r.run(r.worker())
	r.waitStatus(before.ID, crm.Off)
	r.waitStatus(after.ID, crm.Off)
	if n := len(r.writes()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestGrant_ATokenThatTheCRMTakesNoMoreIsRefreshed(t *testing.T) {
	const back = "http://127.0.0.1:1/back"
	r := newRigOver(t, standin.Config{Apps: []standin.App{{ID: "app", Secret: "s", Redirects: []string{back}}}})
	r.keyset()
	mine := crm.App{ID: "app", Secret: "s", Redirect: back, Consent: r.crmURL + "/v2/oauth/chooselocation"}
	w := r.worker()
	ask := func(ctx context.Context, c crm.Call) crm.Answer { return w.client.Do(ctx, r.crmURL, "", c) }
	got, v := gohighlevel.Adapter{}.Granted(ask(t.Context(), gohighlevel.Adapter{}.Exchange(mine, r.code(mine))))
	if v.Kind != crm.Given {
		t.Fatalf("%+v", v)
	}
	err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		_, err := grants.Give(t.Context(), tx, r.vault, grants.Given{Adapter: gohighlevel.Name, Holder: grants.Location("loc-" + tenant), Tenant: tenant, Auth: grants.AuthOAuth,
			Tokens: grants.Tokens{Access: "revoked", Refresh: got.Refresh}, ExpiresAt: time.Now().Add(time.Hour), RefreshAt: time.Now().Add(time.Hour)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	keeper := grants.NewKeeper(grants.Keeper{Adapter: gohighlevel.Name, App: mine, Granter: gohighlevel.Adapter{}, Pool: r.pool, Vault: r.vault, Ask: ask, Log: slog.New(slog.DiscardHandler),
		Tell: func(context.Context, grants.Grant, string, string) error {
			return errors.New("there is nothing to tell")
		}})
	w.renewed = keeper.Wake
	ctx, stop := context.WithCancel(t.Context())
	var kept sync.WaitGroup
	kept.Go(func() { _ = keeper.Run(ctx) })
	t.Cleanup(func() { stop(); kept.Wait() })
	r.connectGrant()
	r.run(w)
	upsert := r.upsert("1")
	r.apply(upsert)
	r.waitStatus(upsert.ID, crm.Done) // long before the five minutes that a refused token has to wait
}

// code lets an app use the tenant's location, as a person does.
func (r *rig) code(a crm.App) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, gohighlevel.Adapter{}.ConsentURL(a, "s")+"&location=loc-"+tenant, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		r.t.Fatal(err)
	}
	return to.Query().Get("code")
}
