package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/crm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSecrets_ReadsOnlyFilesOfItsFolder(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "secrets")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(dir, "ghl@1"): " tok-1\n", filepath.Join(dir, "empty@1"): "\n", filepath.Join(dir, "lines@1"): "a\nb",
		filepath.Join(dir, "big@1"): strings.Repeat("x", maxSecret+1), filepath.Join(outer, "out@1"): "outside",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outer, "out@1"), filepath.Join(dir, "link@1")); err != nil {
		t.Fatal(err)
	}
	s := NewSecrets(dir)
	if got, err := s.Read("secret://ghl@1"); err != nil || got != "tok-1" {
		t.Fatalf("%q %v", got, err)
	}
	for _, ref := range []string{"secret://ghl@2", "secret://empty@1", "secret://lines@1", "secret://big@1", "secret://link@1", "secret://../out@1",
		"secret://..%2fout@1", "secret:///etc/passwd@1", "secret://a/b@1", "secret://@1", "secret://ghl", "ghl@1", "", "secret://.hidden@1", "secret://ghl@1\n"} {
		got, err := s.Read(ref)
		if err == nil || got != "" || strings.Contains(err.Error(), "outside") {
			t.Fatalf("%q: %q %v", ref, got, err)
		}
	}
}

func TestPublic_KnowsEveryWayInside(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false, "10.1.2.3": false, "172.16.0.1": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "fe80::1": false,
		"fd00::1": false, "fc00::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "224.0.0.1": false, "255.255.255.255": false,
		"198.18.0.1": false, "192.0.0.8": false, "240.0.0.1": false, "2001:db8::1": false, "ff02::1": false,
		"::127.0.0.1": false, "::10.0.0.1": false, "fec0::1": false, "100::1": false, "192.88.99.1": false, "3fff::1": false,
	} {
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public %v", addr, got)
		}
	}
}

func TestCheckBaseURL_TakesOriginsOnly(t *testing.T) {
	for s, want := range map[string]bool{
		"https://services.leadconnectorhq.com": true, "http://127.0.0.1:18090": true, "ftp://x": false, "file:///etc/passwd": false, "https://": false,
		"https://u:p@x": false, "https://x?q=1": false, "https://x#f": false, "x": false, "": false,
	} {
		if got := CheckBaseURL(s) == nil; got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestDo_RefusesPrivateHostsThatAreNotConfigured(t *testing.T) {
	hit := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer srv.Close()
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	c := New(time.Second, "https://services.example.com", "test")
	defer c.Close()
	for _, host := range []string{"http://127.0.0.1", "http://localhost", "http://[::1]", "http://0.0.0.0", "http://[::ffff:127.0.0.1]"} {
		a := c.Do(context.Background(), host+port, "t", crm.Call{Method: "POST", Path: "/x"})
		if a.Status != 0 || !a.NotSent || hit {
			t.Fatalf("%s: %+v", host, a)
		}
	}
}

func TestDo_SendsTheHeadersAndNoProxyOrRedirect(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(307)
	}))
	defer srv.Close()
	c := New(time.Second, srv.URL, "test")
	defer c.Close()
	a := c.Do(context.Background(), srv.URL, "tok", crm.Call{Method: "DELETE", Version: "2021-07-28", Path: "/contacts/x/tags", Body: []byte(`{"tags":[]}`)})
	if a.Status != 307 || a.Err != nil {
		t.Fatalf("%+v", a)
	}
	if got.Header.Get("Authorization") != "Bearer tok" || got.Header.Get("Version") != "2021-07-28" || got.Header.Get("Content-Type") != "application/json" || got.ContentLength != 11 {
		t.Fatalf("%+v", got.Header)
	}
}

func TestDo_CutsAnswersAndProvesWhatWasNotSent(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, maxAnswer+10))
	}))
	c := New(time.Second, srv.URL, "test")
	defer c.Close()
	if a := c.Do(context.Background(), srv.URL, "t", crm.Call{Method: "POST", Path: "/x"}); !a.Cut || len(a.Body) != maxAnswer {
		t.Fatalf("cut %v, %d bytes", a.Cut, len(a.Body))
	}
	late, cancel := context.WithCancel(context.Background())
	cancel()
	if a := c.Do(late, srv.URL, "t", crm.Call{Method: "POST", Path: "/x"}); !a.NotSent {
		t.Fatalf("%+v", a)
	}
	srv.Close()
	if a := c.Do(context.Background(), srv.URL, "t", crm.Call{Method: "POST", Path: "/x"}); !a.NotSent || a.Status != 0 {
		t.Fatalf("%+v", a)
	}
}
