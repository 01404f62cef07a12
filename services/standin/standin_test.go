package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
)

// The requests of these tests are written by hand, many of them wrong on purpose: they are not what the engine sends, and not recorded.
func TestMain(m *testing.M) {
	if err := os.Unsetenv(RecordVariable); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

type rig struct {
	t   *testing.T
	s   *Server
	url string
	now time.Time
}

func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	if cfg.Tokens == nil {
		cfg.Tokens = map[string]string{"tok-a": "locA"}
	}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, s: s, now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	s.now = func() time.Time { return r.now }
	srv := httptest.NewServer(s.Handler())
	r.url = srv.URL
	t.Cleanup(func() {
		_ = s.Close()
		srv.CloseClientConnections()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

func (r *rig) do(method, path, body string, change ...func(*http.Request)) (int, map[string]any, http.Header) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer tok-a")
	req.Header.Set("Version", "2021-07-28")
	req.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	var out map[string]any
	_ = json.Unmarshal(b, &out)
	return resp.StatusCode, out, resp.Header
}

func (r *rig) upsert(fields string) (int, map[string]any) {
	status, out, _ := r.do("POST", "/contacts/upsert", `{"locationId":"locA",`+fields+`}`)
	return status, out
}

func contactID(t *testing.T, out map[string]any) string {
	t.Helper()
	c, ok := out["contact"].(map[string]any)
	if !ok {
		t.Fatalf("no contact in %v", out)
	}
	return c["id"].(string)
}

func TestCRM_RefusesWhatTheVendorRefuses(t *testing.T) {
	r := start(t, Config{})
	drop := func(h string) func(*http.Request) { return func(q *http.Request) { q.Header.Del(h) } }
	set := func(h, v string) func(*http.Request) { return func(q *http.Request) { q.Header.Set(h, v) } }
	for name, c := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
		message            string
	}{
		"no token":       {"POST", "/contacts/upsert", `{}`, drop("Authorization"), 401, "Invalid JWT"},
		"wrong token":    {"POST", "/contacts/upsert", `{}`, set("Authorization", "Bearer x"), 401, "Invalid token: access token is invalid"},
		"no version":     {"POST", "/contacts/upsert", `{}`, drop("Version"), 401, "version header was not found."},
		"made-up":        {"POST", "/contacts/upsert", `{}`, set("Version", "v9"), 401, "version header is invalid"},
		"no json":        {"POST", "/contacts/upsert", `{}`, set("Content-Type", "text/plain"), 415, ""},
		"other location": {"POST", "/contacts/upsert", `{"locationId":"locB","email":"a@b.co"}`, nil, 403, "The token does not have access to this location."},
		"no key":         {"POST", "/contacts/upsert", `{"locationId":"locA"}`, nil, 400, ""},
		"no such route":  {"POST", "/contacts/x/y/z", `{}`, nil, 404, "Cannot POST /contacts/x/y/z"},
		"missing":        {"GET", "/contacts/nope", ``, nil, 404, "Contact with id nope not found"},
		"too large":      {"POST", "/contacts/upsert", `{"email":"` + strings.Repeat("a", maxBody) + `"}`, nil, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			status, out, _ := r.do(c.method, c.path, c.body, change)
			if status != c.status || c.message != "" && out["message"] != c.message {
				t.Fatalf("got %d %v, want %d %q", status, out, c.status, c.message)
			}
			if out["traceId"] == "" || out["traceId"] == nil {
				t.Fatal("no traceId")
			}
		})
	}
}

func TestCRM_NamesAllUnknownFieldsInAnArray(t *testing.T) {
	r := start(t, Config{})
	status, out := r.upsert(`"email":"a@b.co","zzz":1,"aaa":2,"phone":7`)
	list, _ := out["message"].([]any)
	if status != 422 || len(list) != 3 || list[0] != "phone must be a string" || list[1] != "property aaa should not exist" {
		t.Fatalf("got %d %v", status, out)
	}
	if len(r.s.Contacts("locA")) != 0 {
		t.Fatal("a refused upsert was applied")
	}
}

func TestUpsert_MatchesByEmailThenPhoneAndReplacesAllTags(t *testing.T) {
	r := start(t, Config{})
	_, first := r.upsert(`"email":"A@b.co","tags":["One","two"]`)
	status, second := r.upsert(`"email":"a@B.co","firstName":"Ann","tags":["Three"]`)
	if status != 200 || first["new"] != true || second["new"] != false || contactID(t, first) != contactID(t, second) {
		t.Fatalf("%v then %v", first, second)
	}
	c := r.s.Contacts("locA")[0]
	if len(c.Tags) != 1 || c.Tags[0] != "three" || c.Fields["firstName"] != "Ann" {
		t.Fatalf("%+v", c)
	}
}

func TestUpsert_DropsAKeyOfAnotherContactWithoutAWord(t *testing.T) {
	r := start(t, Config{})
	_, byMail := r.upsert(`"email":"a@b.co"`)
	_, byPhone := r.upsert(`"phone":"+1 555 000 1111"`)
	status, out := r.upsert(`"email":"a@b.co","phone":"+15550001111","firstName":"Ann"`)
	if status != 200 || contactID(t, out) != contactID(t, byMail) {
		t.Fatalf("got %d %v", status, out)
	}
	for _, c := range r.s.Contacts("locA") {
		if c.ID == contactID(t, byMail) && c.Fields["phone"] != "" || c.ID == contactID(t, byPhone) && c.Fields["firstName"] != "" {
			t.Fatalf("%+v", c)
		}
	}
}

func TestCreate_NamesTheContactThatIsThere(t *testing.T) {
	r := start(t, Config{})
	_, first := r.upsert(`"email":"a@b.co"`)
	status, out, _ := r.do("POST", "/contacts/", `{"locationId":"locA","email":"a@b.co"}`)
	meta, _ := out["meta"].(map[string]any)
	if status != 400 || meta["contactId"] != contactID(t, first) || meta["matchingField"] != "email" {
		t.Fatalf("got %d %v", status, out)
	}
	r.s.mu.Lock()
	r.s.addLocation(LocationSettings{Location: "locA", AllowDuplicateContact: true})
	r.s.mu.Unlock()
	if status, _, _ = r.do("POST", "/contacts/", `{"locationId":"locA","email":"a@b.co"}`); status != 201 {
		t.Fatalf("duplicates allowed: %d", status)
	}
}

func TestTagsAndNotes_TagsAreASetNotesAreNot(t *testing.T) {
	r := start(t, Config{})
	_, out := r.upsert(`"email":"a@b.co"`)
	id := contactID(t, out)
	for range 2 {
		if status, _, _ := r.do("POST", "/contacts/"+id+"/tags", `{"tags":["Hot","hot","New"]}`); status != 201 {
			t.Fatal(status)
		}
		if status, _, _ := r.do("POST", "/contacts/"+id+"/notes", `{"body":"hello"}`); status != 201 {
			t.Fatal(status)
		}
	}
	if status, _, _ := r.do("DELETE", "/contacts/"+id+"/tags", `{"tags":["NEW"]}`); status != 200 {
		t.Fatal(status)
	}
	c := r.s.Contacts("locA")[0]
	if len(c.Tags) != 1 || c.Tags[0] != "hot" || len(c.Notes) != 2 {
		t.Fatalf("%+v", c)
	}
	if status, _, _ := r.do("POST", "/contacts/"+id+"/notes", `{"body":"x","nope":1}`); status != 422 {
		t.Fatal(status)
	}
}

func TestSearch_LagsBehindWrites(t *testing.T) {
	r := start(t, Config{SearchLag: 3 * time.Second})
	r.upsert(`"email":"a@b.co"`)
	find := func() (any, any) {
		_, found, _ := r.do("POST", "/contacts/search", `{"locationId":"locA","pageLimit":10,"filters":[{"field":"email","operator":"eq","value":"A@b.co"}]}`)
		_, dup, _ := r.do("GET", "/contacts/search/duplicate?locationId=locA&email=a%40b.co", "")
		return found["total"], dup["contact"]
	}
	if total, dup := find(); total != 0.0 || dup != nil {
		t.Fatalf("seen at once: %v %v", total, dup)
	}
	r.now = r.now.Add(3 * time.Second)
	if total, dup := find(); total != 1.0 || dup == nil {
		t.Fatalf("not seen after the lag: %v %v", total, dup)
	}
	if status, _, _ := r.do("POST", "/contacts/search", `{"locationId":"locA"}`); status != 422 {
		t.Fatal("a search without pageLimit was served")
	}
}

func TestLimits_AreToldAndKept(t *testing.T) {
	r := start(t, Config{Burst: 3})
	var status int
	var h http.Header
	for range 4 {
		status, _, h = r.do("GET", "/contacts/nope", "")
	}
	if status != 429 || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Max") != "3" || h.Get("X-RateLimit-Interval-Milliseconds") != "10000" ||
		h.Get("X-RateLimit-Limit-Daily") != "200000" || h.Get("X-RateLimit-Daily-Remaining") != "199997" {
		t.Fatalf("%d %v", status, h)
	}
	r.now = r.now.Add(10 * time.Second)
	if status, _, _ = r.do("GET", "/contacts/nope", ""); status == 429 {
		t.Fatal("the next interval is closed too")
	}
}

func TestFaults_LoseTheAnswerAfterTheEffect(t *testing.T) {
	r := start(t, Config{})
	_, out := r.upsert(`"email":"a@b.co"`)
	path := "/contacts/" + contactID(t, out) + "/notes"
	post := func(f Fault) int {
		t.Helper()
		b, _ := json.Marshal(f)
		resp, err := http.Post(r.url+"/_standin/faults", "application/json", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if s := post(Fault{Kind: "close", Apply: true, Method: "POST", Path: "/contacts/*/notes"}); s != 201 {
		t.Fatal(s)
	}
	if s := post(Fault{Kind: "burn"}); s != 400 {
		t.Fatal(s)
	}
	if status, _, _ := r.do("POST", path, `{"body":"one"}`); status != 0 {
		t.Fatalf("an answer came: %d", status)
	}
	if status, _, _ := r.do("POST", path, `{"body":"two"}`); status != 201 {
		t.Fatalf("the fault was not used up: %d", status)
	}
	post(Fault{Kind: "status", Status: 503})
	post(Fault{Kind: "status", Status: 503, Apply: true})
	for range 2 {
		if status, _, _ := r.do("POST", path, `{"body":"three"}`); status != 503 {
			t.Fatal(status)
		}
	}
	if n := len(r.s.Contacts("locA")[0].Notes); n != 3 {
		t.Fatalf("%d notes, want 3", n)
	}
	var applied, faults int
	for _, e := range r.s.Requests(1, "locA") {
		if e.Applied {
			applied++
		}
		if e.Fault != "" {
			faults++
		}
	}
	if applied != 3 || faults != 3 {
		t.Fatalf("log: %d applied, %d faults", applied, faults)
	}
}

func TestJournal_KeepsContactsOverARestartAndATornLine(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Config{DataDir: dir})
	_, out := r.upsert(`"email":"a@b.co"`)
	id := contactID(t, out)
	r.do("POST", "/contacts/"+id+"/notes", `{"body":"hello"}`)
	_, gone := r.upsert(`"email":"c@d.co"`)
	r.do("DELETE", "/contacts/"+contactID(t, gone), "")
	r.s.mu.Lock()
	if _, err := r.s.file.f.WriteString(`{"op":"contact","at":"lo`); err != nil {
		t.Fatal(err)
	}
	r.s.mu.Unlock()
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Config{DataDir: dir})
	have := again.s.Contacts("locA")
	if len(have) != 1 || have[0].ID != id || len(have[0].Notes) != 1 {
		t.Fatalf("%+v", have)
	}
	_, same := again.upsert(`"email":"A@b.co"`)
	if contactID(t, same) != id {
		t.Fatal("the keys were not rebuilt")
	}
}

func TestAnyToken_MakesItsLocation(t *testing.T) {
	r := start(t, Config{AnyToken: true})
	status, _, _ := r.do("POST", "/contacts/upsert", `{"locationId":"demo","email":"a@b.co"}`, func(q *http.Request) { q.Header.Set("Authorization", "Bearer standin-demo") })
	if status != 200 || len(r.s.Contacts("demo")) != 1 {
		t.Fatal(status)
	}
}

func TestRequestLog_IsARing(t *testing.T) {
	var l requestLog
	for range logEntries + 5 {
		l.add(Entry{Location: "x", Method: "GET", Path: "/contacts/abc"}, nil)
	}
	got := l.since(0, "", 10)
	if len(got) != 10 || got[0].N != 6 || len(l.entries) != logEntries {
		t.Fatalf("%d entries, first %d", len(l.entries), got[0].N)
	}
}

func TestRun_PageChangesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, app.NewRuntime("standin", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry()), Config{Addr: "127.0.0.1:0", Ready: func(u string) { url <- u }})
	}()
	base := <-url
	ask := func(method, path, host, origin string) int {
		req, err := http.NewRequest(method, base+path, strings.NewReader(`{"location":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		if req.Host = host; origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask("POST", "/_standin/reset", "", "https://evil.example"); got != 403 {
		t.Errorf("a page resets the stand-in: %d", got)
	}
	if got := ask("GET", "/_standin/contacts?location=x", "evil.example", ""); got != 421 {
		t.Errorf("a rebound name reads contacts: %d", got)
	}
	if got := ask("POST", "/_standin/locations", "", ""); got != 201 {
		t.Errorf("a test's call: %d", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
