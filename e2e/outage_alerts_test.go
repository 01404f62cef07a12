//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// A minute is the longest window that an alert looks back on; the last scrape and evaluation come on top.
const (
	resolvedWithin = 30 * time.Second // of the moment at which all is ready, for alerts about a state
	quietWithin    = 90 * time.Second // for those that look back, too
)

// flaps is the alert for a component that is away and back again and again; then no process stays not ready for long.
const flaps = "NeuronXReadinessFlaps"

// alertWatch is one Prometheus for several outages, with the configuration and the alerts that ship.
type alertWatch struct{ p *promServer }

// firing is an alert as Prometheus has it.
type firing struct {
	Labels   map[string]string
	State    string
	ActiveAt time.Time
}

func (f *firing) String() string {
	s := f.Labels["alertname"] + "{"
	for _, label := range []string{"service", "component", "topic", "partition", "tenant", "reason"} {
		if v := f.Labels[label]; v != "" {
			s += label + "=" + v + " "
		}
	}
	return strings.TrimSpace(s) + "}"
}

// watchAlerts scrapes the services of a cluster and waits until all are scraped.
func watchAlerts(t *testing.T, c *cluster.Cluster) *alertWatch {
	t.Helper()
	targets := map[string]string{}
	for _, name := range c.Services() {
		targets[serviceOf(name)] = c.Processes[name].Admin
	}
	w := &alertWatch{startPrometheusWith(t, shippedConfig(t, targets))}
	cluster.Must(t, cluster.Eventually(context.Background(), time.Minute, func(ctx context.Context) error {
		n, err := w.p.query(ctx, `up{job="neuronx"} == 1`)
		if err == nil && n != len(targets) {
			err = fmt.Errorf("%d of %d processes are scraped", n, len(targets))
		}
		return err
	}))
	return w
}

// serviceOf is the service of a process: that of ingest-0 is ingest.
func serviceOf(process string) string {
	service, _, _ := strings.Cut(process, "-")
	return service
}

// firing lists the alerts that fire now.
func (w *alertWatch) firing(ctx context.Context) ([]firing, error) {
	var answer struct{ Data struct{ Alerts []firing } }
	if err := w.p.get(ctx, "/api/v1/alerts", &answer); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Data.Alerts, func(f firing) bool { return f.State != "firing" }), nil
}

// told waits until every alert of an outage fires that was not active before it. A process that waits is not one that is down.
func (w *alertWatch) told(ctx context.Context, t *testing.T, x outage, struck time.Time) {
	waiting := map[string]bool{} // for an alert, until it fires
	for _, name := range x.processes {
		if slices.Contains(x.alerts, flaps) {
			break
		}
		waiting["NeuronXNotReady of "+serviceOf(name)] = true
	}
	for _, name := range x.alerts {
		waiting[name] = true
	}
	var all []firing
	for time.Since(struck) < toldWithin && ctx.Err() == nil {
		var err error
		if all, err = w.firing(ctx); err != nil {
			t.Error(err)
			return
		}
		for _, f := range all {
			name := f.Labels["alertname"]
			if name == "NeuronXProcessDown" || name == "NeuronXRestarting" {
				t.Errorf("%s fires, and the process runs", &f)
				return
			}
			if component := f.Labels["component"]; component != "" && !x.component.MatchString(component) {
				continue
			}
			if name == "NeuronXNotReady" {
				name += " of " + f.Labels["service"]
			}
			if waiting[name] && f.ActiveAt.After(struck) {
				delete(waiting, name)
				t.Logf("%s was told by %s after %s", x.name, &f, time.Since(struck).Truncate(100*time.Millisecond))
			}
		}
		if len(waiting) == 0 {
			return
		}
		rest(ctx, 500*time.Millisecond)
	}
	for name := range waiting {
		t.Errorf("%s does not fire within %s; firing: %v", name, toldWithin, names(all))
	}
}

func names(all []firing) (out []string) {
	for _, f := range all {
		out = append(out, f.String())
	}
	slices.Sort(out)
	return out
}

// resolved waits until nothing says any more that a process waits.
func (w *alertWatch) resolved(ctx context.Context, t *testing.T, x outage, healed time.Time) {
	err := cluster.Eventually(ctx, resolvedWithin, func(ctx context.Context) error {
		all, err := w.firing(ctx)
		still := slices.DeleteFunc(slices.Clone(all), func(f firing) bool { return f.Labels["alertname"] != "NeuronXNotReady" })
		if err == nil && len(still) > 0 {
			err = fmt.Errorf("%v still fire", names(still))
		}
		if err == nil {
			t.Logf("no process waits any more, %s after the end of the outage; firing: %v", time.Since(healed).Truncate(100*time.Millisecond), names(all))
		}
		return err
	})
	if err != nil {
		t.Errorf("after the end of %s: %v", x.name, err)
	}
}

// quiet waits until no alert fires at all.
func (w *alertWatch) quiet(ctx context.Context, t *testing.T) {
	began := time.Now()
	err := cluster.Eventually(ctx, quietWithin, func(ctx context.Context) error {
		all, err := w.firing(ctx)
		if err == nil && len(all) > 0 {
			err = fmt.Errorf("%v fire", names(all))
		}
		return err
	})
	if err != nil {
		t.Errorf("all is well, and: %v", err)
	}
	t.Logf("no alert fires %s after the last outage was judged", time.Since(began).Truncate(time.Second))
}
