package standin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const back = "http://127.0.0.1:1/back"

var marketplace = []App{{ID: "app", Secret: "s", Redirects: []string{back}}}

// consent opens the page of consent with a query changed, and returns the status and where it leads.
func (r *rig) consent(change func(url.Values)) (int, url.Values) {
	r.t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {back}, "state": {"st"}, "location": {"locA"}}
	change(q)
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(r.url + "/v2/oauth/chooselocation?" + q.Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, to.Query()
}

func (r *rig) token(form url.Values) (int, map[string]any) {
	r.t.Helper()
	form.Set("client_id", "app")
	if !form.Has("client_secret") {
		form.Set("client_secret", "s")
	}
	status, out, _ := r.do("POST", "/oauth/token", form.Encode(), func(q *http.Request) { q.Header.Set("Content-Type", "application/x-www-form-urlencoded") })
	return status, out
}

func (r *rig) exchange() map[string]any {
	r.t.Helper()
	_, q := r.consent(func(url.Values) {})
	status, out := r.token(url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {back}})
	if status != http.StatusOK || out["locationId"] != "locA" || out["userType"] != "Location" {
		r.t.Fatalf("%d %v", status, out)
	}
	return out
}

// opens gives the status of a request with an access token.
func (r *rig) opens(access any) int {
	status, _, _ := r.do("GET", "/locations/locA", "", func(q *http.Request) { q.Header.Set("Authorization", "Bearer "+access.(string)) })
	return status
}

func (r *rig) refresh(token any) (int, map[string]any) {
	r.t.Helper()
	return r.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.(string)}})
}

func TestOAuth_CodesAndRefreshTokensWorkOnce(t *testing.T) {
	r := start(t, Config{Apps: marketplace})
	_, q := r.consent(func(url.Values) {})
	if q.Get("state") != "st" || q.Get("code") == "" {
		t.Fatalf("%v", q)
	}
	form := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {back}}
	}
	wrong, elsewhere := form(), form()
	wrong.Set("client_secret", "x")
	elsewhere.Set("redirect_uri", "http://127.0.0.1:1/other")
	for name, f := range map[string]url.Values{"another's secret": wrong, "another redirect": elsewhere} {
		if status, out := r.token(f); status < 400 || out["error_description"] == nil {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	status, first := r.token(form())
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, first)
	}
	if status, _ := r.token(form()); status != http.StatusBadRequest {
		t.Errorf("the code a second time: %d", status)
	}
	if status := r.opens(first["access_token"]); status != http.StatusOK {
		t.Errorf("the access token: %d", status)
	}
	status, second := r.refresh(first["refresh_token"])
	if status != http.StatusOK || second["access_token"] == first["access_token"] {
		t.Errorf("%d %v", status, second)
	}
	if status, _ := r.refresh(first["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("the refresh token a second time: %d", status)
	}
	r.now = r.now.Add(24 * time.Hour)
	if status := r.opens(second["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("the access token a day later: %d", status)
	}
	if status, _ := r.refresh(second["refresh_token"]); status != http.StatusOK {
		t.Errorf("the refresh token a day later: %d", status)
	}
}

func TestOAuth_ThePageSendsNobodyElsewhere(t *testing.T) {
	r := start(t, Config{Apps: marketplace})
	for name, change := range map[string]func(url.Values){
		"another app":      func(q url.Values) { q.Set("client_id", "other") },
		"another redirect": func(q url.Values) { q.Set("redirect_uri", "http://evil.example/") },
		"another type":     func(q url.Values) { q.Set("response_type", "token") },
	} {
		if status, to := r.consent(change); status != http.StatusBadRequest || to != nil {
			t.Errorf("%s: %d %v", name, status, to)
		}
	}
	if status, to := r.consent(func(q url.Values) { q.Del("location") }); status != http.StatusOK || to != nil {
		t.Errorf("without a location the page is %d, to %v", status, to)
	}
	if status, to := r.consent(func(q url.Values) { q.Set("location", "nobody") }); status != http.StatusOK || to != nil {
		t.Errorf("a location that is not there: %d, to %v", status, to)
	}
}

func TestOAuth_TokensOutliveARestartAndEndWithTheApp(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{DataDir: dir, Apps: marketplace}
	r := start(t, cfg)
	first := r.exchange()
	_, second := r.refresh(first["refresh_token"])
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	if status := r.opens(second["access_token"]); status != http.StatusOK {
		t.Errorf("after a restart the access token is %d", status)
	}
	if status, _ := r.refresh(first["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("a used refresh token works after a restart: %d", status)
	}
	_, third := r.refresh(second["refresh_token"])
	reconnect := func() (int, map[string]any) {
		status, out, _ := r.do("POST", "/oauth/reconnect", `{"clientKey":"app","clientSecret":"s","locationId":"locA"}`)
		return status, out
	}
	if status, out := reconnect(); status != http.StatusOK || out["authorizationCode"] == "" {
		t.Errorf("%d %v", status, out)
	}
	r.s.Uninstall("app", "locA")
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, cfg)
	for _, access := range []any{second["access_token"], third["access_token"]} {
		if status := r.opens(access); status != http.StatusUnauthorized {
			t.Errorf("after the end an access token is %d", status)
		}
	}
	if status, _ := r.refresh(third["refresh_token"]); status != http.StatusBadRequest {
		t.Errorf("after the end a refresh token is %d", status)
	}
	if status, out := reconnect(); status != http.StatusUnauthorized || !strings.Contains(out["message"].(string), "not installed") {
		t.Errorf("after the end reconnecting is %d %v", status, out)
	}
}
