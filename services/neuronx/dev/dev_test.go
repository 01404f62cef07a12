package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	pgembedded "github.com/neuronx/engine/pkg/postgres/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// screen collects what a person would see.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is an engine under test.
type running struct {
	env    map[string]string
	screen *screen
	stop   func() error
}

func start(t *testing.T, dir string, demo bool) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{env: map[string]string{}, screen: &screen{}}
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

func TestDev_LeadTravelsToTheCRMAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = pgembedded.Remove(context.Background(), filepath.Join(dir, "postgres")) })
	r := start(t, dir, false)
	id := uuid.NewString()[:8]
	email := "trial-" + id + "@example.com"
	client := &http.Client{Timeout: 10 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	post := fmt.Sprintf(`{"lead_id":%q,"email":%q,"channel":"referral"}`, id, email)
	req, err := http.NewRequest(http.MethodPost, r.env["NEURONX_HTTP_URL"]+"/v1/events", strings.NewReader(post))
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
	seen := func(r *running) {
		t.Helper()
		if err := wait(context.Background(), "the lead", 30*time.Second, func() error { return r.found(context.Background(), email) }); err != nil {
			t.Fatal(err)
		}
	}
	seen(r)
	if err := r.stop(); err != nil {
		t.Fatalf("the stop: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, envFile)); err == nil {
		t.Error("dev.env says that an engine is up which has stopped")
	}
	r = start(t, dir, true)
	seen(r)
	err = wait(context.Background(), "a demo lead on the screen", 60*time.Second, func() error {
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

// start2 tries a second engine on a folder and returns why it was refused.
func start2(dir string) error {
	return Run(context.Background(), Config{DataDir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", LogLevel: "warn"}, io.Discard)
}
