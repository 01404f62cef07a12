package engine

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/services/neuronx/cli"
	"github.com/neuronx/engine/services/neuronx/dev"
)

// alertRule is what Prometheus reads of one alert.
type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []alertRule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alertRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	readYAML(t, "deploy/observability/alerts.yml", &file)
	var out []alertRule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) < 30 {
		t.Fatalf("%d alerts", len(out))
	}
	return out
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestAlertsSayWhatToDo wants of each alert how bad it is, what it is about, what to run, and a section in the manual.
func TestAlertsSayWhatToDo(t *testing.T) {
	manual, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(manual), -1) {
		anchors[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	// A rule over an increase or a count of the last minutes needs no `for`: it waits in its window.
	window := regexp.MustCompile(`\b(increase|changes)\(|restore_seconds`)
	command := regexp.MustCompile(`neuronx ((?:[a-z]+ ?)+)((?: ?--[a-z-]+)*)`)
	root := cli.Root(dev.Command())
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("%s is there twice", a.Alert)
		}
		seen[a.Alert] = true
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s has severity %q, not page or ticket", a.Alert, s)
		}
		if a.For == "" && !window.MatchString(a.Expr) {
			t.Errorf("%s has no `for`: one odd sample would fire it", a.Alert)
		}
		if a.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", a.Alert)
		}
		doc, anchor, _ := strings.Cut(a.Annotations["runbook"], "#")
		if doc != "docs/operations.md" || anchor != strings.ToLower(a.Alert) || !anchors[anchor] {
			t.Errorf("%s has the runbook %q, which is no section of its own", a.Alert, a.Annotations["runbook"])
		}
		found := command.FindAllStringSubmatch(a.Annotations["description"], -1)
		if len(found) == 0 {
			t.Errorf("%s names no command to run", a.Alert)
		}
		for _, m := range found {
			words := strings.Fields(m[1])
			cmd, rest, err := root.Find(words)
			if err != nil || cmd == root || (cmd.HasSubCommands() && len(rest) > 0) {
				t.Errorf("%s names neuronx %s, which is no command", a.Alert, m[1])
				continue
			}
			tail, _, _ := strings.Cut(a.Annotations["description"][strings.Index(a.Annotations["description"], m[0]):], ". ")
			for _, f := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(tail, -1) {
				if cmd.Flags().Lookup(f[1]) == nil && cmd.InheritedFlags().Lookup(f[1]) == nil {
					t.Errorf("%s gives neuronx %s the flag --%s, which it does not have", a.Alert, m[1], f[1])
				}
			}
		}
	}
}

// TestEveryAlertIsTested wants a case in which it fires and one in which it does not; promtool runs them in e2e.
func TestEveryAlertIsTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert string `yaml:"alertname"`
				Want  []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	readYAML(t, "deploy/observability/alerts_test.yml", &file)
	fires, quiet := map[string]int{}, map[string]int{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			if len(c.Want) > 0 {
				fires[c.Alert]++
			} else {
				quiet[c.Alert]++
			}
		}
	}
	for _, a := range alerts(t) {
		// Before its time in its own test, and in an engine that is idle and one that is busy.
		if fires[a.Alert] == 0 || quiet[a.Alert] < 3 {
			t.Errorf("%s has %d cases in which it fires and %d in which it does not, want 1 and 3", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

// TestOutagesAreToldWithinAMinute adds up what it takes from a fault to the alert: a scrape, the window, `for` and an evaluation.
func TestOutagesAreToldWithinAMinute(t *testing.T) {
	var cfg struct {
		Global struct {
			Scrape   string `yaml:"scrape_interval"`
			Evaluate string `yaml:"evaluation_interval"`
		} `yaml:"global"`
	}
	readYAML(t, "deploy/observability/prometheus.yml", &cfg)
	if cfg.Global.Scrape != "5s" || cfg.Global.Evaluate != "5s" {
		t.Fatalf("scraped every %s and evaluated every %s, want 5s", cfg.Global.Scrape, cfg.Global.Evaluate)
	}
	quick := map[string]bool{"NeuronXProcessDown": true, "NeuronXNoProcesses": true, "NeuronXNotReady": true, "NeuronXReadinessFlaps": true, "NeuronXProduceErrors": true,
		"NeuronXTenantStalled": true, "NeuronXTenantsStalled": true, "NeuronXRulesSetAside": true, "NeuronXRuleTripped": true, "NeuronXIngestRefusing": true}
	for _, a := range alerts(t) {
		if quick[a.Alert] && a.For != "" && a.For != "15s" && a.For != "20s" && a.For != "30s" {
			t.Errorf("%s waits %s, want 30s at most", a.Alert, a.For)
		}
		delete(quick, a.Alert)
	}
	for name := range quick {
		t.Errorf("%s is missing", name)
	}
}

func TestAlerts_AdviseNothingThatTheManualForbids(t *testing.T) {
	manual, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("deploy/observability/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile("(?i)\\b(?:do not|don't|never) (?:use|run)\\s+`([^`]+)`").FindAllSubmatch(manual, -1)
	if len(forbidden) == 0 {
		t.Fatal("the manual forbids no command: has its wording changed?")
	}
	flat := strings.Join(strings.Fields(string(alerts)), " ")
	for _, f := range forbidden {
		if strings.Contains(flat, string(f[1])) {
			t.Errorf("an alert advises %q, which the manual forbids", f[1])
		}
	}
}
