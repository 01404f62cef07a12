//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/e2e/cluster"
)

// exporter is a process of the engine as Prometheus sees it: an admin port with metrics.
type exporter struct {
	server  *http.Server
	addr    string
	metrics atomic.Pointer[string]
}

func startExporter(t *testing.T, metrics string) *exporter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	cluster.Must(t, err)
	e := &exporter{addr: l.Addr().String()}
	e.metrics.Store(&metrics)
	e.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, *e.metrics.Load())
	})}
	go func() { _ = e.server.Serve(l) }()
	t.Cleanup(func() { _ = e.server.Close() })
	return e
}

// TestAlerts_TellOutagesAtTheIntervalsThatShip lets a real Prometheus run with the committed prometheus.yml and alerts.yml, but for the
// addresses, takes away what the processes are about, and waits for the alerts. How long they take is said and not judged: a machine may be
// slow. The sum of the intervals is held below a minute elsewhere.
func TestAlerts_TellOutagesAtTheIntervalsThatShip(t *testing.T) {
	t.Parallel() // with the real outages
	down := startExporter(t, `neuronx_ready{service="archiver",component="kafka"} 1`+"\n")
	waits := startExporter(t, `neuronx_ready{service="projector",component="postgres"} 1`+"\n")
	stalls := startExporter(t, `neuronx_consumer_tenants{service="rules",feed="main",state="stalled"} 0`+"\n")
	p := startPrometheusWith(t, shippedConfig(t, map[string]string{"archiver": down.addr, "projector": waits.addr, "rules": stalls.addr}))
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	firing := func(alert, matchers string) func(context.Context) error {
		return func(ctx context.Context) error {
			n, err := p.query(ctx, fmt.Sprintf(`ALERTS{alertstate="firing",alertname=%q,%s}`, alert, matchers))
			if err == nil && n == 0 {
				err = fmt.Errorf("%s does not fire", alert)
			}
			return err
		}
	}
	cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		if n, err := p.query(ctx, `up{job="neuronx"} == 1`); err != nil || n != 3 {
			return fmt.Errorf("%d processes are scraped, %w", n, err)
		}
		return nil
	}))
	if n, err := p.query(ctx, `ALERTS{alertstate="firing"}`); n != 0 || err != nil {
		t.Fatalf("%d alerts fire before anything happened, %v", n, err)
	}

	fault := time.Now()
	cluster.Must(t, down.server.Close())
	waiting := `neuronx_ready{service="projector",component="postgres"} 0` + "\n"
	waits.metrics.Store(&waiting)
	stalled := `neuronx_consumer_tenants{service="rules",feed="main",state="stalled"} 1` + "\n" + `neuronx_consumer_stalled{service="rules",feed="main",tenant="acme"} 1` + "\n"
	stalls.metrics.Store(&stalled)
	for _, want := range []struct{ alert, matchers string }{
		{"NeuronXTenantStalled", `service="rules",feed="main",tenant="acme"`},
		{"NeuronXProcessDown", `service="archiver"`},
		{"NeuronXNotReady", `service="projector",component="postgres"`},
		{"NeuronXTenantsStalled", `service="rules",feed="main"`},
	} {
		if err := cluster.Eventually(ctx, 3*time.Minute, firing(want.alert, want.matchers)); err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s is told %s after the fault", want.alert, time.Since(fault).Round(time.Second))
	}
}

// shippedConfig is prometheus.yml with the addresses of some services, and without the targets that are not given.
func shippedConfig(t *testing.T, targets map[string]string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(observability, "prometheus.yml"))
	cluster.Must(t, err)
	var cfg map[string]any
	cluster.Must(t, yaml.Unmarshal(b, &cfg))
	rules, err := filepath.Abs(filepath.Join(observability, "alerts.yml"))
	cluster.Must(t, err)
	cfg["rule_files"] = []string{rules}
	job := cfg["scrape_configs"].([]any)[0].(map[string]any)
	if job["job_name"] != "neuronx" {
		t.Fatalf("the first job is %v", job["job_name"])
	}
	var kept []any
	for _, s := range job["static_configs"].([]any) {
		static := s.(map[string]any)
		if addr := targets[static["labels"].(map[string]any)["service"].(string)]; addr != "" {
			static["targets"] = []string{addr}
			kept = append(kept, static)
		}
	}
	if len(kept) != len(targets) {
		t.Fatalf("prometheus.yml has %d of the services %v", len(kept), targets)
	}
	job["static_configs"], cfg["scrape_configs"] = kept, []any{job}
	out, err := yaml.Marshal(cfg)
	cluster.Must(t, err)
	return out
}
