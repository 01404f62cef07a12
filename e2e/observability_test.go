//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/services/neuronx/dashboards"
)

// asked is one expression of a panel, a variable or an alert.
type asked struct {
	where  string
	expr   string
	labels []string // that legends and annotations name
	empty  bool     // nothing is an answer, too
}

// TestObservability_EveryQueryGivesDataOrIsMarkedEmptyWhenHealthy runs the queries of all dashboards and alerts as a real Prometheus
// does that scrapes an engine under load. What gives nothing must be marked so, and name metrics and labels that the engine registers.
func TestObservability_EveryQueryGivesDataOrIsMarkedEmptyWhenHealthy(t *testing.T) {
	cluster.Turn(t, cluster.Any)
	c := cluster.Dev(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	keepBusy(t, c)
	p := startPrometheus(t, c.AdminURL())
	panels, alerts := panelQueries(t), alertQueries(t)

	missing := map[string]bool{} // where and expression
	err := cluster.Eventually(ctx, 90*time.Second, func(ctx context.Context) error {
		clear(missing)
		for _, a := range panels {
			n, err := p.query(ctx, a.expr)
			if err != nil {
				return err
			}
			if n == 0 && !a.empty {
				missing[a.where+": "+a.expr] = true
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d queries give no data", len(missing))
		}
		return nil
	})
	for _, what := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("no data, and not marked %q: %s", dashboards.EmptyWhenHealthy, what)
	}
	if err != nil {
		t.Error(err)
	}
	metrics := c.Metrics()
	for _, a := range slices.Concat(panels, alerts) {
		checkNames(t, a, metrics)
	}
	p.wantNoAlert(t, ctx, len(alerts))
	t.Logf("%d queries of panels, %d of alerts, %d metrics", len(panels), len(alerts), len(metrics))
}

var (
	metricName = regexp.MustCompile(`\bneuronx_[a-z0-9_]+`)
	matchers   = regexp.MustCompile(`\b(neuronx_[a-z0-9_]+)\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping   = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
)

// scraped are labels that Prometheus adds, and that of histograms.
var scraped = []string{"service", "instance", "job", "le"}

// checkNames wants every metric of the expression to be registered, with the labels by which it is selected, summed and told.
func checkNames(t *testing.T, a asked, metrics map[string][]string) {
	t.Helper()
	known := slices.Clone(scraped)
	of := func(name string) ([]string, bool) {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			if labels, ok := metrics[strings.TrimSuffix(name, suffix)]; ok && strings.HasSuffix(name, suffix) {
				return labels, true
			}
		}
		return nil, false
	}
	named := metricName.FindAllString(a.expr, -1)
	slices.Sort(named)
	named = slices.Compact(named)
	for _, name := range named {
		labels, ok := of(name)
		if !ok && name != "neuronx_build_info" { // of the process, not of a service
			t.Errorf("%s: no service registers %s", a.where, name)
			return // its labels are not known either
		}
		known = append(known, labels...)
	}
	for _, m := range matchers.FindAllStringSubmatch(a.expr, -1) {
		labels, _ := of(m[1])
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) && !slices.Contains(scraped, l[1]) {
				t.Errorf("%s: %s has no label %s", a.where, m[1], l[1])
			}
		}
	}
	wanted := slices.Clone(a.labels)
	for _, m := range grouping.FindAllStringSubmatch(a.expr, -1) {
		wanted = append(wanted, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	slices.Sort(wanted)
	for _, l := range slices.Compact(wanted) {
		if len(named) > 0 && !slices.Contains(known, l) {
			t.Errorf("%s: none of its metrics has the label %s", a.where, l)
		}
	}
}

// panelQueries reads the committed dashboards: the expressions of their panels and variables, as Grafana sends them.
func panelQueries(t *testing.T) []asked {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(observability, "dashboards", "*.json"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	fill := strings.NewReplacer("$__rate_interval", "15s", "$service", ".*", "$instance", ".*")
	legend, choices := regexp.MustCompile(`\{\{(\w+)\}\}`), regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	var out []asked
	for _, file := range files {
		var d struct {
			Title      string
			Templating struct {
				List []struct{ Name, Type, Definition string }
			}
			Panels []struct {
				Title, Description string
				Targets            []struct{ Expr, LegendFormat string }
			}
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Templating.List {
			if m := choices.FindStringSubmatch(v.Definition); m != nil {
				out = append(out, asked{where: d.Title + ", variable " + v.Name, expr: "count by (" + m[2] + ") (" + fill.Replace(m[1]) + ")"})
			} else if v.Type == "query" {
				t.Errorf("%s: the variable %s asks %q", d.Title, v.Name, v.Definition)
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				a := asked{where: d.Title + ", " + p.Title, expr: fill.Replace(target.Expr), empty: strings.HasSuffix(p.Description, dashboards.EmptyWhenHealthy)}
				for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
					a.labels = append(a.labels, m[1])
				}
				out = append(out, a)
			}
		}
	}
	return out
}

func alertQueries(t *testing.T) []asked {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(observability, "alerts.yml"))
	if err == nil {
		err = yaml.Unmarshal(b, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\$labels\.(\w+)`)
	var out []asked
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			a := asked{where: r.Alert, expr: r.Expr}
			for _, text := range r.Annotations {
				for _, m := range named.FindAllStringSubmatch(text, -1) {
					a.labels = append(a.labels, m[1])
				}
			}
			out = append(out, a)
		}
	}
	return out
}

// keepBusy sends good and bad events of tenants with and without a CRM until the test ends.
func keepBusy(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	tenants := c.Tenants(t, "busy", 2, 1)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { stop(); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			for _, tenant := range tenants {
				for _, body := range busyEvents(n, tenant) {
					// A single one that fails does not matter: the queries tell whether enough came.
					_ = postEvent(ctx, c.HTTPURLs[0], tenant.Key, body)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}

func busyEvents(n int, tenant load.Tenant) []string {
	event := func(typ, id, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/busy","type":%q,"subject":"lead/%d","data":%s}`, id, typ, n, data)
	}
	out := []string{
		event("lead.scored", fmt.Sprintf("s%d", n), fmt.Sprintf(`{"lead_id":"%d","score":80}`, n)),
		event("no.such", fmt.Sprintf("x%d", n), `{}`),
	}
	if tenant.Commands && n%5 == 0 { // a vendor's limit is one of the things that must not be reached
		out = append(out, event("activity.recorded", fmt.Sprintf("n%d", n), fmt.Sprintf(`{"activity_id":"%d","lead_id":"%d","kind":"note","note":"hello"}`, n, n)))
	}
	return append(out, out[0]) // a duplicate
}

// promServer is a running Prometheus.
type promServer struct{ url string }

// startPrometheus starts a real Prometheus that scrapes target as prometheus.yml does, only faster, with the committed alerts.
func startPrometheus(t *testing.T, target string) *promServer {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(observability, "alerts.yml"))
	cluster.Must(t, err)
	return startPrometheusWith(t, fmt.Appendf(nil, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"  - {job_name: neuronx, honor_labels: true, scrape_timeout: 1s, static_configs: [{targets: [%q], labels: {service: dev}}]}\n", rules, strings.TrimPrefix(target, "http://")))
}

func startPrometheusWith(t *testing.T, config []byte) *promServer {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("%v: apt-get install -y --no-install-recommends prometheus, and do not start its service", err)
	}
	dir := t.TempDir()
	cluster.Must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), config, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	cluster.Must(t, err)
	addr := l.Addr().String()
	cluster.Must(t, l.Close())
	var log strings.Builder
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	cluster.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	p := &promServer{"http://" + addr}
	cluster.Must(t, cluster.Eventually(context.Background(), time.Minute, func(ctx context.Context) error { _, err := p.query(ctx, "vector(1)"); return err }))
	return p
}

func (p *promServer) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	return err
}

// query tells how many series an expression has now whose value is a number.
func (p *promServer) query(ctx context.Context, expr string) (n int, err error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return 0, fmt.Errorf("%s: %w", expr, err)
	}
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" {
			n++
		}
	}
	return n, nil
}

// wantNoAlert holds that Prometheus could evaluate every alert, and that none fires on a healthy engine.
func (p *promServer) wantNoAlert(t *testing.T, ctx context.Context, want int) {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, State, Health, LastError string
					Alerts                         []struct {
						State       string
						Annotations map[string]string
					}
				}
			}
		}
	}
	cluster.Must(t, p.get(ctx, "/api/v1/rules?type=alert", &answer))
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("%s can't be evaluated: %s %s", r.Name, r.Health, r.LastError)
			}
			for _, a := range r.Alerts {
				if a.State == "firing" {
					t.Errorf("%s fires on a healthy engine: %s", r.Name, a.Annotations["summary"])
				}
			}
		}
	}
	if n != want {
		t.Errorf("Prometheus has %d alerts, want %d", n, want)
	}
}
