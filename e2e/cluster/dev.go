package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/dev"
)

// Dev runs the engine as `neuronx dev` does, in this process, on kfake, without the demo's leads. now is the sequencer's clock: kfake
// does not stamp records, so it is the clock of the log too. Such a cluster has no Processes.
func Dev(t testing.TB, now func() time.Time) *Cluster {
	t.Helper()
	c := &Cluster{Dir: t.TempDir(), Processes: map[string]*Process{}, programs: build(t, "", nil)}
	must(t, os.Chmod(c.Dir, 0o755))
	cfg := dev.Config{DataDir: filepath.Join(c.Dir, "data"), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", LogLevel: "info", Now: now}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx, cfg, io.Discard) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("dev: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("dev does not stop")
		}
	})
	env := map[string]string{}
	must(t, Eventually(ctx, 2*time.Minute, func(context.Context) error {
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("dev ended: %v", err)
		default:
		}
		b, err := os.ReadFile(filepath.Join(cfg.DataDir, "dev.env"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				env[k] = strings.Trim(v, "'")
			}
		}
		return nil
	}))
	c.Kafka = kafka.Config{Brokers: []string{env["NEURONX_KAFKA_BROKERS"]}, ClientID: "e2e"}
	c.RegistryURL, c.CRMURL, c.Doors, c.admin = env["NEURONX_SCHEMA_REGISTRY_URL"], env["NEURONX_CRM_URL"], []string{env["NEURONX_HTTP_URL"]}, env["NEURONX_ADMIN_URL"]
	c.Secrets = env["NEURONX_SECRETS_DIR"]
	for k, v := range env {
		if k != "NEURONX_DEMO_API_KEY" && k != "NEURONX_POSTGRES_ADMIN_URL" {
			c.env = append(c.env, k+"="+v)
		}
	}
	var err error
	c.Keys, err = event.LoadKeyring(env["NEURONX_SIGNING_KEYS_FILE"])
	must(t, err)
	c.Registry, err = registry.NewClient(c.RegistryURL, slog.New(slog.DiscardHandler))
	must(t, err)
	producer, err := kafka.NewProducer(c.Kafka, 0, nil)
	must(t, err)
	t.Cleanup(producer.Close)
	c.Control = control.New(producer, c.Keys, c.Registry)
	c.Ops = pool(t, env["NEURONX_POSTGRES_URL"])
	c.Admin = pool(t, env["NEURONX_POSTGRES_ADMIN_URL"], postgres.AllowSuperuser())
	return c
}

// With adds arguments to the process's next start.
func (p *Process) With(args ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.args = append(p.args, args...)
}

// Judged sums neuronx_admission_records_total by outcome over all sequencers. It counts since the start of each process.
func (c *Cluster) Judged(ctx context.Context) (map[string]int64, error) {
	admins := []string{}
	if c.admin != "" {
		admins = append(admins, c.admin)
	}
	for name, p := range c.Processes {
		if strings.HasPrefix(name, "ingest-") && p.Running() {
			admins = append(admins, "http://"+p.Admin)
		}
	}
	sum := map[string]int64{}
	for _, url := range admins {
		body, _, err := get(ctx, url+"/metrics")
		if err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
		for line := range strings.Lines(body) {
			labels, ok := strings.CutPrefix(line, "neuronx_admission_records_total{")
			if !ok {
				continue
			}
			labels, value, _ := strings.Cut(labels, "} ")
			_, outcome, _ := strings.Cut(labels, `outcome="`)
			outcome, _, _ = strings.Cut(outcome, `"`)
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				return nil, fmt.Errorf("read metrics: %q: %w", line, err)
			}
			sum[outcome] += int64(n)
		}
	}
	return sum, nil
}

// Requests is how many requests the stand-in CRM has in its log, at most 1,000; refused ones count too.
func (c *Cluster) Requests(ctx context.Context) (int, error) {
	body, code, err := get(ctx, c.CRMURL+"/_standin/requests")
	if err != nil || code != http.StatusOK {
		return 0, fmt.Errorf("ask the stand-in: %d %w", code, err)
	}
	var log struct {
		Requests []json.RawMessage `json:"requests"`
	}
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		return 0, fmt.Errorf("read the stand-in's answer: %w", err)
	}
	return len(log.Requests), nil
}
