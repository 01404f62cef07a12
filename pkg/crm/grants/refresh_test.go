package grants

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/crm/transport"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/standin"
)

// vendor is the stand-in as the marketplace, with an app and one location.
type vendor struct {
	*bench
	crm    *standin.Server
	url    string
	app    crm.App
	client *transport.Client
	told   []string // what the tenant's stream was told
	untold error    // telling fails with it
}

const redirect = "http://127.0.0.1:8085/v1/oauth/gohighlevel/callback"

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{bench: newBench(t), app: crm.App{ID: "app-1", Secret: "secret-canary", Redirect: redirect, Scopes: gohighlevel.DefaultScopes}}
	var err error
	v.crm, err = standin.New(standin.Config{Tokens: map[string]string{"tok-1": "loc1", "tok-2": "loc2"},
		Apps: []standin.App{{ID: "app-1", Secret: "secret-canary", Redirects: []string{redirect}}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v.crm.Handler())
	v.url, v.app.Consent = srv.URL, srv.URL+"/v2/oauth/chooselocation"
	v.client = transport.New(5*time.Second, srv.URL, "test")
	t.Cleanup(func() { v.client.Close(); _ = v.crm.Close(); srv.CloseClientConnections(); srv.Close() })
	return v
}

func (v *vendor) ask(ctx context.Context, c crm.Call) crm.Answer {
	return v.client.Do(ctx, v.url, "", c)
}

func (v *vendor) keeper() *Keeper {
	return &Keeper{Adapter: adapter, App: v.app, Granter: gohighlevel.Adapter{}, Pool: v.own, Vault: v.vault, Ask: v.ask, Log: slog.New(slog.DiscardHandler),
		Tell: func(_ context.Context, g Grant, what, reason string) error {
			v.told = append(v.told, fmt.Sprintf("%s %s v%d %s", g.Tenant, what, g.Version, reason))
			return v.untold
		}}
}

// code lets the app use a location, as a person does, and returns the code.
func (v *vendor) code(location string) string {
	v.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, gohighlevel.Adapter{}.ConsentURL(v.app, "s")+"&location="+location, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil || to.Query().Get("state") != "s" {
		v.t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	return to.Query().Get("code")
}

// consented gives acme the grant of loc1, due to be refreshed.
func (v *vendor) consented() {
	v.t.Helper()
	g, verdict := gohighlevel.Adapter{}.Granted(v.ask(v.t.Context(), gohighlevel.Adapter{}.Exchange(v.app, v.code("loc1"))))
	if verdict.Kind != crm.Given || g.Account != "loc1" || g.Expires != 86399*time.Second {
		v.t.Fatalf("%+v for %s, %s", verdict, g.Account, g.Expires)
	}
	err := pgx.BeginFunc(v.t.Context(), v.own, func(tx pgx.Tx) error {
		_, err := Give(v.t.Context(), tx, v.vault, Given{Adapter: adapter, Holder: Location("loc1"), Tenant: "acme", Auth: AuthOAuth, Tokens: Tokens{Access: g.Access, Refresh: g.Refresh},
			ExpiresAt: time.Now().Add(g.Expires), RefreshAt: time.Now().Add(-time.Second)})
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vendor) round(k *Keeper, want int) {
	v.t.Helper()
	if n, err := k.Round(v.t.Context()); err != nil || n != want {
		v.t.Fatalf("%d refreshes, want %d: %v", n, want, err)
	}
}

// opens checks that the token in force opens the location.
func (v *vendor) opens(version int64) {
	v.t.Helper()
	tok, problem := v.token("acme", "loc1")
	if problem != "" || tok.Version != version {
		v.t.Fatalf("version %d, want %d: %s", tok.Version, version, problem)
	}
	if _, err := gohighlevel.Probed("loc1", v.client.Do(v.t.Context(), v.url, tok.Access.Reveal(), gohighlevel.Probe("loc1"))); err != nil {
		v.t.Errorf("version %d: %v", version, err)
	}
}

// tokens counts requests to the token endpoint, and those that it refused.
func (v *vendor) tokens() (asked, refused int) {
	for _, e := range v.crm.Requests(0, "") {
		if e.Path == "/oauth/token" {
			asked++
			if e.Status >= 400 {
				refused++
			}
		}
	}
	return asked, refused
}

func (v *vendor) exec(sql string) {
	v.t.Helper()
	if _, err := v.admin.Exec(v.t.Context(), sql); err != nil {
		v.t.Fatal(err)
	}
}

const (
	claimEnds = `UPDATE neuronx.crm_grants SET claimed_until = now() - interval '1 second' WHERE claimed_until IS NOT NULL`
	due       = `UPDATE neuronx.crm_grants SET refresh_at = now() - interval '1 second'`
)

func (v *vendor) fault(f standin.Fault) {
	v.t.Helper()
	if err := v.crm.AddFault(f); err != nil {
		v.t.Fatal(err)
	}
}

func TestKeeper_RefreshesBeforeTheEndAndUsesEachTokenOnce(t *testing.T) {
	v := newVendor(t)
	v.consented()
	v.opens(1)
	k := v.keeper()
	v.round(k, 1)
	v.opens(2)
	v.round(k, 0)
	g, err := v.grant("loc1")
	if err != nil {
		t.Fatal(err)
	}
	if before := time.Until(g.ExpiresAt) - time.Until(g.RefreshAt); before < early-spread || before > early+spread || time.Until(g.ExpiresAt) < 23*time.Hour || g.RefreshedAt.IsZero() {
		t.Errorf("the next refresh is %s before the end, in %s", before, time.Until(g.RefreshAt))
	}
	for n := int64(3); n < 6; n++ {
		v.exec(due)
		v.round(k, 1)
		v.opens(n)
	}
	if asked, refused := v.tokens(); asked != 5 || refused != 0 {
		t.Errorf("%d requests for tokens, %d refused", asked, refused)
	}
	if len(v.told) != 0 {
		t.Errorf("the stream was told %q", v.told)
	}
}

func TestKeeper_OneProcessRefreshesAtATime(t *testing.T) {
	v := newVendor(t)
	v.consented()
	v.fault(standin.Fault{Kind: "delay", Path: "/oauth/token", DelayMS: 300, Apply: true})
	var all sync.WaitGroup
	total := make(chan int, 8)
	for range cap(total) {
		k := v.keeper()
		all.Go(func() {
			n, err := k.Round(t.Context())
			if err != nil {
				t.Error(err)
			}
			total <- n
		})
	}
	all.Wait()
	close(total)
	n := 0
	for one := range total {
		n += one
	}
	if asked, refused := v.tokens(); n != 1 || asked != 2 || refused != 0 {
		t.Errorf("%d refreshes, %d requests for tokens, %d refused", n, asked, refused)
	}
	v.opens(2)
}

func TestKeeper_AfterALostAnswerTheAccountIsReconnected(t *testing.T) {
	v := newVendor(t)
	v.consented()
	k := v.keeper()
	v.fault(standin.Fault{Kind: "close", Path: "/oauth/token", Apply: true})
	v.round(k, 1)
	v.round(k, 0) // the claim holds
	v.opens(1)
	v.exec(claimEnds)
	v.round(k, 1)
	v.opens(2)
	if _, refused := v.tokens(); refused != 1 || len(v.told) != 0 {
		t.Errorf("%d refusals after one lost answer, told %q", refused, v.told)
	}
}

func TestKeeper_WhereNothingWasDoneItWaitsAndTheOldTokenServes(t *testing.T) {
	v := newVendor(t)
	v.consented()
	k := v.keeper()
	away := *k
	away.Ask = func(ctx context.Context, c crm.Call) crm.Answer { return v.client.Do(ctx, "http://127.0.0.1:1", "", c) }
	v.round(&away, 1)
	v.fault(standin.Fault{Kind: "status", Status: 429, Path: "/oauth/token"})
	v.exec(due)
	v.round(k, 1)
	v.opens(1)
	var claimed bool
	if err := v.admin.QueryRow(t.Context(), `SELECT claimed_until IS NOT NULL OR refresh_at < now() + interval '30 seconds' FROM neuronx.crm_grants`).Scan(&claimed); err != nil || claimed {
		t.Errorf("it is not put off by a minute: %v", err)
	}
	v.exec(due)
	v.round(k, 1)
	v.opens(2)
}

func TestKeeper_AnswersThatAreNoneAreNoEnd(t *testing.T) {
	for _, f := range []standin.Fault{
		{Kind: "status", Status: 500}, {Kind: "status", Status: 302}, {Kind: "html"}, {Kind: "empty"}, {Kind: "half"}, {Kind: "huge", Bytes: 2 << 20}, {Kind: "redirect"}, {Kind: "gzip", Bytes: 4 << 20},
		{Kind: "status", Status: 200, Body: `{}`}, {Kind: "status", Status: 200, Body: `{"access_token":"a","refresh_token":"r","expires_in":-1}`},
		{Kind: "status", Status: 200, Body: `{"access_token":"a","refresh_token":"","expires_in":9}`}, {Kind: "status", Status: 200, Body: `[]`},
		{Kind: "status", Status: 200, Body: `{"access_token":7}`}, {Kind: "status", Status: 200, Body: `{"access_token":"a","refresh_token":"r","expires_in":1e99}`},
	} {
		t.Run(f.Kind+f.Body, func(t *testing.T) {
			v := newVendor(t)
			v.consented()
			f.Path = "/oauth/token"
			v.fault(f)
			v.round(v.keeper(), 1)
			v.opens(1)
			v.exec(claimEnds)
			v.round(v.keeper(), 1)
			v.opens(2)
			if len(v.told) != 0 {
				t.Errorf("told %q", v.told)
			}
		})
	}
}

func TestKeeper_AnUninstalledAppNeedsAPersonAndTheStreamSaysSo(t *testing.T) {
	v := newVendor(t)
	v.consented()
	v.crm.Uninstall("app-1", "loc1")
	k := v.keeper()
	v.untold = errors.New("Kafka is away")
	if _, err := k.Round(t.Context()); !errors.Is(err, v.untold) {
		t.Fatalf("it was not told: %v", err)
	}
	if g, err := v.grant("loc1"); err != nil || g.State != Active {
		t.Errorf("%s before the stream knows: %v", g.State, err)
	}
	v.untold = nil
	v.exec(claimEnds)
	v.round(k, 1)
	if len(v.told) != 2 || v.told[0] != v.told[1] || !strings.HasPrefix(v.told[1], "acme failed v1 ") {
		t.Errorf("told %q", v.told)
	}
	if _, problem := v.token("acme", "loc1"); !strings.Contains(problem, "must consent again") || strings.Contains(problem, "canary") {
		t.Errorf("problem %q", problem)
	}
	v.round(k, 0)
	v.consented() // a person does
	v.opens(2)
}

func TestKeeper_APersonWhoConnectsMeanwhileWins(t *testing.T) {
	v := newVendor(t)
	v.consented()
	k := v.keeper()
	k.Ask = func(ctx context.Context, c crm.Call) crm.Answer {
		answer := v.ask(ctx, c)
		v.must("acme", "loc1", "tok-1", 0, 2) // a private integration's
		return answer
	}
	v.round(k, 1)
	v.opens(2)
	if tok, _ := v.token("acme", "loc1"); tok.Access.Reveal() != "tok-1" {
		t.Error("what a person gave is replaced by what was asked for before")
	}
}

func TestKeeper_TokensOfAnotherAccountAreNotTaken(t *testing.T) {
	v := newVendor(t)
	v.consented()
	v.fault(standin.Fault{Kind: "status", Status: 200, Path: "/oauth/token", Body: `{"access_token":"a","refresh_token":"r","expires_in":9,"userType":"Location","locationId":"loc2"}`})
	v.round(v.keeper(), 1)
	if _, problem := v.token("acme", "loc1"); !strings.Contains(problem, "another account") {
		t.Errorf("problem %q", problem)
	}
}

func TestKeeper_EachStatementThatFailsIsSurvived(t *testing.T) {
	v := newVendor(t)
	v.consented()
	breaker, through := postgrestest.NewBreaker(t, v.db.URL("neuronx_gohighlevel"))
	pool, err := postgres.Open(t.Context(), through, postgres.MaxConns(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	k := v.keeper()
	k.Pool = pool
	version := int64(1)
	for broken := 0; ; broken++ {
		if broken > 40 {
			t.Fatal("a round runs more than 40 statements")
		}
		nth := 0
		breaker.Break(func(sql string) bool {
			if strings.EqualFold(sql, "rollback") {
				return false
			}
			nth++
			return nth == broken+1
		})
		_, _ = k.Round(t.Context())
		hit := breaker.Hits() > 0
		breaker.Break(nil)
		v.exec(claimEnds)
		if _, err := k.Round(t.Context()); err != nil {
			t.Fatalf("statement %d failed, and then: %v", broken+1, err)
		}
		tok, problem := v.token("acme", "loc1")
		if problem != "" || tok.Version <= version {
			t.Fatalf("statement %d failed: version %d after %d, %s", broken+1, tok.Version, version, problem)
		}
		version = tok.Version
		v.opens(version)
		v.exec(due)
		if !hit {
			if broken < 6 {
				t.Errorf("only %d statements were broken", broken)
			}
			break
		}
	}
	if len(v.told) != 0 {
		t.Errorf("told %q", v.told)
	}
}

func TestRefused_AsksForARefreshOfThatVersionOnly(t *testing.T) {
	v := newVendor(t)
	v.consented()
	v.round(v.keeper(), 1)
	for version, want := range map[int64]bool{1: false, 2: false} { // it was refreshed just now
		if due, err := Refused(t.Context(), v.own, adapter, "loc1", version); err != nil || due != want {
			t.Errorf("version %d at once: %v, %v", version, due, err)
		}
	}
	v.round(v.keeper(), 0)
	v.exec(`UPDATE neuronx.crm_grants SET refreshed_at = now() - interval '6 minutes'`)
	for version, want := range map[int64]bool{1: false, 2: true} {
		if due, err := Refused(t.Context(), v.own, adapter, "loc1", version); err != nil || due != want {
			t.Errorf("version %d: %v, %v", version, due, err)
		}
	}
	v.round(v.keeper(), 1)
	v.opens(3)
	v.must("beta", "loc2", "pit", 0, 1)
	if due, err := Refused(t.Context(), v.own, adapter, "loc2", 1); err != nil || due {
		t.Errorf("a token that is not refreshed: %v, %v", due, err)
	}
}

func TestRefreshIn_IsAfterHalfOfAShortLife(t *testing.T) {
	for life, want := range map[time.Duration][2]time.Duration{24 * time.Hour: {17 * time.Hour, 19 * time.Hour}, time.Hour: {30 * time.Minute, 30 * time.Minute}, 10 * time.Hour: {5 * time.Hour, 5 * time.Hour}} {
		for range 50 {
			if in := RefreshIn(life); in < want[0] || in > want[1] {
				t.Fatalf("a token of %s is refreshed after %s, want %v", life, in, want)
			}
		}
	}
}

func TestHide_TakesTokensOutOfWhatTheCRMSays(t *testing.T) {
	c := claimed{tokens: Tokens{Access: "acc-canary", Refresh: "ref-canary"}}
	if s := c.hide("bad acc-canary and ref-canary \x00\xff" + strings.Repeat("é", 300)); strings.Contains(s, "canary") || strings.ContainsRune(s, 0) || len(s) > 310 {
		t.Errorf("%q", s)
	}
}
