package cluster

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	c := &Cluster{Dir: t.TempDir(), Processes: map[string]*Process{}, programs: build(t, "e2e", Seed{}, "neuronx")}
	must(t, os.Chmod(c.Dir, 0o755))
	cfg := dev.Config{DataDir: filepath.Join(c.Dir, "data"), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", LogLevel: "info", Now: now, Registered: c.registered}
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
	c.RegistryURL, c.CRMURL, c.HTTPURLs, c.admin = env["NEURONX_SCHEMA_REGISTRY_URL"], env["NEURONX_CRM_URL"], []string{env["NEURONX_HTTP_URL"]}, env["NEURONX_ADMIN_URL"]
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

// registered keeps the newest metrics registry of each service.
func (c *Cluster) registered(service string, reg *prometheus.Registry) {
	c.metricsMu.Lock()
	defer c.metricsMu.Unlock()
	if c.metrics == nil {
		c.metrics = map[string]*prometheus.Registry{}
	}
	c.metrics[service] = reg
}

// Metrics are the names of all metrics that Dev's services have registered, with their labels; also of those that have no series yet.
func (c *Cluster) Metrics() map[string][]string {
	c.metricsMu.Lock()
	defer c.metricsMu.Unlock()
	out := map[string][]string{}
	for _, reg := range c.metrics {
		descs := make(chan *prometheus.Desc)
		go func() { reg.Describe(descs); close(descs) }()
		for d := range descs {
			// A description tells its parts only as text.
			m := description.FindStringSubmatch(d.String())
			if m == nil {
				continue
			}
			labels := label.FindAllString(m[3], -1)
			for _, l := range constant.FindAllStringSubmatch(m[2], -1) {
				labels = append(labels, l[1])
			}
			for _, l := range labels {
				if !slices.Contains(out[m[1]], l) {
					out[m[1]] = append(out[m[1]], l)
				}
			}
		}
	}
	return out
}

var (
	description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constant    = regexp.MustCompile(`(\w+)="`)
	label       = regexp.MustCompile(`\w+`)
)
