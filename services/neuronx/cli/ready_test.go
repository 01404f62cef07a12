package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
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
	env := map[string]string{operate.EnvPostgres + "_FILE": path, operate.EnvKeys + "_FILE": path}
	c := tool(env, io.Discard, io.Discard)
	if got := c.value(operate.EnvPostgres); got != "postgres://ops@db/neuronx" {
		t.Errorf("%s = %q, want the file's text", operate.EnvPostgres, got)
	}
	if got := c.value(operate.EnvKeys); got != "" {
		t.Errorf("%s = %q; only URLs are read from files", operate.EnvKeys, got)
	}
	env[operate.EnvPostgres] = "postgres://other"
	if got := c.value(operate.EnvPostgres); got != "postgres://other" {
		t.Errorf("%s = %q, want the variable before the file", operate.EnvPostgres, got)
	}
}
