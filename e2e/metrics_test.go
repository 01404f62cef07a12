//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// observability is where alerts, dashboards and the configuration of Prometheus are.
const observability = "../deploy/observability"

// TestMetrics_AreClean holds what every process of a cluster exposes against promtool, after enough traffic for every family to have
// a series.
func TestMetrics_AreClean(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	promtool := findPromtool(t)
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
	exercise(t, c)
	for name, p := range c.Processes {
		if p.Admin != "" {
			checkMetrics(t, promtool, name, "http://"+p.Admin)
		}
	}
}

// TestMetrics_OfDevAreClean does the same for the one process of neuronx dev.
func TestMetrics_OfDevAreClean(t *testing.T) {
	cluster.Turn(t, cluster.Any)
	promtool := findPromtool(t)
	c := cluster.Dev(t, nil)
	exercise(t, c)
	for _, setting := range c.Command(context.Background()).Env {
		if url, ok := strings.CutPrefix(setting, "NEURONX_ADMIN_URL="); ok {
			checkMetrics(t, promtool, "dev", url)
			return
		}
	}
	t.Fatal("dev does not say where its admin port is")
}

// TestAlerts_FireWhenTheyShould runs promtool's unit tests of the alerts, and its checks of their syntax and of what scrapes.
func TestAlerts_FireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool := findPromtool(t)
	for _, args := range [][]string{
		{"check", "rules", "alerts.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = observability
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func findPromtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: apt-get install -y --no-install-recommends prometheus, and do not start its service", err)
	}
	return path
}

// exercise sends good and bad events of a tenant with a CRM and waits until all is at rest.
func exercise(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tenants := c.Tenants(t, "m", 1, 1)
	for _, body := range []string{
		`{"specversion":"1.0","id":"1","source":"/m","type":"lead.scored","subject":"lead/1","data":{"lead_id":"1","score":80}}`,
		`{"specversion":"1.0","id":"2","source":"/m","type":"activity.recorded","subject":"lead/1","data":{"activity_id":"2","lead_id":"1","kind":"note","note":"hello"}}`,
		`{"specversion":"1.0","id":"2","source":"/m","type":"lead.scored","subject":"lead/1","data":{"lead_id":"1","score":80}}`,
		`{"specversion":"1.0","id":"3","source":"/m","type":"no.such","data":{}}`,
	} {
		if err := cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error { return postEvent(ctx, c.HTTPURLs[0], tenants[0].Key, body) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitIdle(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// postEvent wants an answer, whichever, to an event whose tenant neuronx-ingest knows.
func postEvent(ctx context.Context, base, key, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/events", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusUnprocessableEntity {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}

func checkMetrics(t *testing.T, promtool, name, url string) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || bytes.Count(text, []byte("\nneuronx_")) == 0 {
		t.Fatalf("%s: %s, %d bytes, %v", name, resp.Status, len(text), err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.CombinedOutput() // findings make it fail, too
	findings := 0
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			t.Errorf("%s: %s", name, line)
			findings++
		}
	}
	if err != nil && len(out) == 0 {
		t.Errorf("%s: promtool: %v", name, err)
	}
	t.Logf("%s: %d families, %d findings", name, bytes.Count(text, []byte("# TYPE ")), findings)
}
