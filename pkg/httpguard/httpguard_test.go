package httpguard

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func addr(t *testing.T, s string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type ask struct {
	method, path, host string
	header             map[string]string
	want               int
}

func (a ask) check(t *testing.T, h http.Handler) {
	t.Helper()
	r := httptest.NewRequest(a.method, a.path, nil)
	r.Host = a.host
	for k, v := range a.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != a.want {
		t.Errorf("%s %s, Host %q, %v: %d, want %d: %s", a.method, a.path, a.host, a.header, w.Code, a.want, strings.TrimSpace(w.Body.String()))
	}
}

func ok() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") })
}

func TestGuard_OnLoopbackAnswersToLoopbackNamesAndAllowedOnes(t *testing.T) {
	h := New(addr(t, "127.0.0.1:9090"), []string{"Engine.example.com", ".corp.example"}, ok())
	for host, want := range map[string]int{
		"127.0.0.1:9090": 200, "localhost:9090": 200, "LOCALHOST": 200, "localhost.": 200, "nx.localhost:1": 200, "[::1]:9090": 200, "[::1]": 200,
		"127.9.9.9": 200, "[::ffff:127.0.0.1]:9090": 200, "engine.example.com:80": 200, "corp.example": 200, "a.b.corp.example": 200, "": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "127.0.0.1.nip.io:9090": 421, "0.0.0.0:9090": 421,
		"10.0.0.1": 421, "evilcorp.example": 421, "ingest": 421, "169.254.169.254": 421, "2130706433": 421, "127.1": 421, "localhost:9090@evil.example": 421,
		" localhost": 421, "[::1].evil.example": 421,
	} {
		for _, method := range []string{"GET", "POST"} {
			ask{method, "/metrics", host, nil, want}.check(t, h)
		}
	}
	ask{"GET", "/livez", "evil.example", nil, 421}.check(t, h)
}

func TestGuard_OffLoopbackAnswersToAddressesAndNamesThatNobodyCanRegister(t *testing.T) {
	h := New(addr(t, "0.0.0.0:9091"), []string{"metrics.example.com"}, ok())
	for host, want := range map[string]int{
		"10.1.2.3:9091": 200, "[fd00::7]:9091": 200, "127.0.0.1:9091": 200, "localhost:9091": 200, "ingest:9091": 200, "ingest.prod.svc:9091": 200,
		"ingest.prod.svc.cluster.local:9091": 200, "ingest.internal": 200, "metrics.example.com": 200, "": 200,
		"evil.example": 421, "svc.evil.example": 421, "127.0.0.1.nip.io": 421, "local.evil.example": 421,
	} {
		ask{"GET", "/metrics", host, nil, want}.check(t, h)
	}
	// A load balancer's probe may carry any name; what it learns is a word.
	ask{"GET", "/livez", "lb.example.org", nil, 200}.check(t, h)
	ask{"HEAD", "/readyz", "lb.example.org", nil, 200}.check(t, h)
	ask{"POST", "/readyz", "lb.example.org", nil, 421}.check(t, h)
}

func TestGuard_AnAPIWithKeysAnswersToEveryNameUntilNamesAreGiven(t *testing.T) {
	ask{"POST", "/v1/events", "events.example.com", nil, 200}.check(t, New(addr(t, "[::]:8080"), nil, ok(), Keyed()))
	ask{"POST", "/v1/events", "events.example.com", nil, 421}.check(t, New(addr(t, "[::]:8080"), []string{"other.example.com"}, ok(), Keyed()))
	ask{"POST", "/v1/events", "events.example.com", nil, 200}.check(t, New(addr(t, "[::]:8080"), []string{"*"}, ok(), Keyed()))
	ask{"POST", "/v1/events", "events.example.com", nil, 421}.check(t, New(addr(t, "127.0.0.1:8080"), nil, ok(), Keyed()))
}

func TestGuard_RefusesWhatAPageOfAnotherSiteWouldChange(t *testing.T) {
	h := New(addr(t, "127.0.0.1:9090"), nil, ok())
	host := "127.0.0.1:9090"
	for _, a := range []ask{
		{"POST", "/services/ingest/stop", host, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"POST", "/x", host, map[string]string{"Sec-Fetch-Site": "same-site"}, 403}, // another port of localhost is the same site
		{"POST", "/x", host, map[string]string{"Origin": "https://evil.example"}, 403},
		{"POST", "/x", host, map[string]string{"Origin": "null"}, 403},
		{"POST", "/x", host, map[string]string{"Origin": "http://127.0.0.1:8080"}, 403},
		{"DELETE", "/x", host, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"PUT", "/x", host, map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}, 403},
		{"POST", "/x", host, map[string]string{"Origin": "http://127.0.0.1:9090"}, 200},
		{"POST", "/x", host, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9090"}, 200},
		{"POST", "/x", host, map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"POST", "/x", host, nil, 200}, // curl, Prometheus, Java
		{"GET", "/x", host, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 200},
		{"POST", "/x", "evil.example", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 421}, // rebinding
	} {
		a.check(t, h)
	}
}

type speaker struct{ http.Handler }

func (speaker) Refuse(w http.ResponseWriter, _ *http.Request, status int, why string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "own form: "+why)
}

func TestGuard_LetsAHandlerSayARefusalInItsOwnForm(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", nil)
	r.Host = "evil.example\x1b[31m"
	New(addr(t, "127.0.0.1:1"), nil, speaker{ok()}).ServeHTTP(w, r)
	if w.Code != 421 || !strings.HasPrefix(w.Body.String(), "own form: ") || !strings.Contains(w.Body.String(), `evil.example\x1b[31m`) || !strings.Contains(w.Body.String(), "--allowed-hosts") {
		t.Errorf("%d %q", w.Code, w.Body.String())
	}
}

func TestCheckHosts_NamesWhatIsNoHost(t *testing.T) {
	if err := CheckHosts([]string{"a.example.com", ".example.com", "10.0.0.1", "::1", "*", "under_score.svc"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", ".", "https://a.example", "a.example:80", "a b", "*.example.com", "a/b", "..x", "a\x00"} {
		if err := CheckHosts([]string{"fine.example", bad}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
