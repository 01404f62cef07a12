package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReady_SaysWhatTheProcessLacks(t *testing.T) {
	t.Chdir(t.TempDir())
	status, text := http.StatusServiceUnavailable, "tenant directory: not loaded yet"
	process := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	defer process.Close()
	if code, _, stderr := try(t, nil, "ready", process.URL); code != exitFailed || !strings.Contains(stderr, text) {
		t.Errorf("not ready: exit %d: %s", code, stderr)
	}
	status, text = http.StatusOK, "ok"
	if code, _, stderr := try(t, nil, "ready", process.URL+"/"); code != exitOK {
		t.Errorf("ready: exit %d: %s", code, stderr)
	}
}

func TestValue_PostgresURLsComeFromFilesToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "neuronx_ops.url")
	if err := os.WriteFile(path, []byte("postgres://ops@db/neuronx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{envPostgres + "_FILE": path, envKeys + "_FILE": path}
	c := &cli{settings: map[string]*string{}, getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	if got := c.value(envPostgres); got != "postgres://ops@db/neuronx" {
		t.Errorf("%s = %q, want the file's text", envPostgres, got)
	}
	if got := c.value(envKeys); got != "" {
		t.Errorf("%s = %q; only URLs are read from files", envKeys, got)
	}
	env[envPostgres] = "postgres://other"
	if got := c.value(envPostgres); got != "postgres://other" {
		t.Errorf("%s = %q, want the variable before the file", envPostgres, got)
	}
}
