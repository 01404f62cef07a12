package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/logtest"
	pgembedded "github.com/neuronx/engine/pkg/postgres/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is an engine under test.
type running struct {
	env    map[string]string
	screen *logtest.Buffer
	stop   func() error
}

func start(t *testing.T, dir string, demo bool) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{env: map[string]string{}, screen: &logtest.Buffer{}}
	cfg := Config{DataDir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Demo: demo, LogLevel: "info"}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, r.screen) }()
	var once sync.Once
	var result error
	r.stop = func() error {
		once.Do(func() { cancel(); result = <-done })
		return result
	}
	t.Cleanup(func() { _ = r.stop() })
	err := wait(context.Background(), "the engine", 4*time.Minute, func() error {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the engine ended: %v\n%s", err, r.screen)
		default:
		}
		b, err := os.ReadFile(filepath.Join(dir, envFile))
		if err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			name, value, _ := strings.Cut(line, "=")
			r.env[name] = strings.Trim(value, "'")
		}
		return nil
	})
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "dev.log"))
		t.Fatalf("%v\n%s\n%s", err, r.screen, log[max(0, len(log)-4000):])
	}
	return r
}

// found asks the read model and the CRM for a lead.
func (r *running) found(ctx context.Context, email string) error {
	conn, err := pgx.Connect(ctx, r.env["NEURONX_POSTGRES_URL"])
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var n int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM read.leads WHERE tenant_id = 'demo' AND email = $1`, email).Scan(&n); err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%d rows in read.leads", n)
	}
	resp, err := http.Get(r.env["NEURONX_CRM_URL"] + "/_standin/contacts?location=demo")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte(email)) {
		return errors.New("not in the CRM")
	}
	return nil
}

func TestConfig_IsOnLoopbackUnlessTold(t *testing.T) {
	var cfg Config
	cfg.Bind(pflag.NewFlagSet("dev", pflag.ContinueOnError))
	for _, addr := range []string{cfg.HTTP, cfg.Admin, loopback(cfg.KafkaPort), loopback(cfg.PostgresPort), loopback(cfg.RegistryPort), loopback(cfg.CRMPort)} {
		if ap, err := netip.ParseAddrPort(addr); err != nil || !ap.Addr().IsLoopback() {
			t.Errorf("%s is not on loopback", addr)
		}
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.Admin = "0.0.0.0:9090"
	if cfg.Validate() == nil {
		t.Error("the services' switches may be reached from outside")
	}
	cfg.Admin, cfg.AllowedHosts = "127.0.0.1:9090", []string{"https://engine.example"}
	if cfg.Validate() == nil {
		t.Error("a URL passes for a host name")
	}
}

func TestDev_LeadTravelsToTheCRMAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = pgembedded.Remove(context.Background(), filepath.Join(dir, "postgres")) })
	r := start(t, dir, false)
	client := &http.Client{Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	email := post(t, client, r)
	seen := func(r *running, email string) {
		t.Helper()
		if err := wait(context.Background(), "the lead", time.Minute, func() error { return r.found(context.Background(), email) }); err != nil {
			t.Fatal(err)
		}
	}
	seen(r, email)
	endPostgres(t, dir)
	seen(r, post(t, client, r))
	pageStopsNothing(t, client, r)
	if err := r.stop(); err != nil {
		t.Fatalf("the stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, envFile)); err == nil {
		t.Error("dev.env says that an engine is up which has stopped")
	}
	r = start(t, dir, true)
	seen(r, email)
	err := wait(context.Background(), "a demo lead on the screen", 60*time.Second, func() error {
		if s := r.screen.String(); !strings.Contains(s, "sent as contact") {
			return errors.New(s)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	second := start2(dir)
	if second == nil || !strings.Contains(second.Error(), "another `neuronx dev` runs") {
		t.Errorf("a second dev on one folder: %v", second)
	}
}

// post posts a lead and returns its address.
func post(t *testing.T, client *http.Client, r *running) string {
	t.Helper()
	id := uuid.NewString()[:8]
	email := "trial-" + id + "@example.com"
	body := fmt.Sprintf(`{"lead_id":%q,"email":%q,"channel":"referral"}`, id, email)
	req, err := http.NewRequest(http.MethodPost, r.env["NEURONX_HTTP_URL"]+"/v1/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + r.env["NEURONX_DEMO_API_KEY"], "Content-Type": "application/json", "ce-specversion": "1.0",
		"ce-type": "lead.created", "ce-source": "/trial", "ce-id": id, "ce-subject": "lead/" + id,
	} {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s", resp.Status, answer)
	}
	return email
}

// endPostgres kills the engine's Postgres, as the kernel does that is out of memory.
func endPostgres(t *testing.T, dir string) {
	t.Helper()
	cluster := filepath.Join(dir, "postgres", "cluster")
	if at, err := os.ReadFile(filepath.Join(dir, "postgres", "location")); err == nil {
		cluster = strings.TrimSpace(string(at))
	}
	b, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		t.Fatalf("%q is no process id: %v", first, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// pageStopsNothing sends what a page in a browser can send to every HTTP port, and what programs send.
func pageStopsNothing(t *testing.T, client *http.Client, r *running) {
	t.Helper()
	foreign := map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", "Content-Type": "text/plain"}
	for _, c := range []struct {
		port, method, path, body, host string
		header                         map[string]string
		want                           int
	}{
		{"ADMIN", "POST", "/services/projector/stop", "", "", foreign, 403},
		{"ADMIN", "POST", "/services/projector/stop", "", "evil.example", nil, 421},
		{"ADMIN", "GET", "/services/projector/stop", "", "", nil, 405},
		{"ADMIN", "GET", "/metrics", "", "evil.example", nil, 421},
		{"ADMIN", "GET", "/metrics", "", "localhost:9090", nil, 200},
		{"SCHEMA_REGISTRY", "POST", "/subjects/evil-value/versions", `{"schema":"\"string\""}`, "", foreign, 403},
		{"SCHEMA_REGISTRY", "GET", "/subjects", "", "evil.example", nil, 421},
		{"SCHEMA_REGISTRY", "POST", "/subjects/lead.created-value/versions", `{"schema":"no schema"}`, "", map[string]string{"Content-Type": "application/vnd.schemaregistry.v1+json"}, 422},
		{"CRM", "POST", "/_standin/reset", "", "", foreign, 403},
		{"CRM", "GET", "/_standin/contacts?location=demo", "", "evil.example:18090", nil, 421},
		{"HTTP", "POST", "/v1/events", "{}", "", foreign, 403},
		{"HTTP", "GET", "/openapi.json", "", "evil.example", nil, 421},
		{"HTTP", "POST", "/v1/events", "{}", "", nil, 401},
		{"ADMIN", "POST", "/services/projector/stop", "", "", nil, 200}, // neuronx, curl
		{"ADMIN", "POST", "/services/projector/start", "", "", nil, 200},
	} {
		req, err := http.NewRequest(c.method, r.env["NEURONX_"+c.port+"_URL"]+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s%s, Host %q, %v: %s, want %d: %s", c.method, c.port, c.path, c.host, c.header, resp.Status, c.want, answer)
		}
	}
}

// start2 tries a second engine on a folder and returns why it was refused.
func start2(dir string) error {
	return Run(context.Background(), Config{DataDir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", LogLevel: "warn"}, io.Discard)
}
