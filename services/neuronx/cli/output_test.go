package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

// severalHosts is what pgx says when Postgres is away: a line for each address and way of TLS that it tried.
var severalHosts = "failed to connect to `user=neuronx_rules database=neuronx`:\n" + strings.Repeat("\t127.0.0.1:5432 (localhost): dial error: dial tcp 127.0.0.1:5432: connect: connection refused\n", 12)

func TestStatusAndDoctor_ShowALongErrorAsOneShortLine(t *testing.T) {
	ready := app.NewReadiness()
	ready.Set(app.ComponentPostgres, errors.New(severalHosts))
	for _, name := range []string{"archiver", "gohighlevel", "projector", "rules"} { // they wait for the same
		ready.Set(name, errors.New(severalHosts))
	}
	admin := httptest.NewServer(app.AdminHandler(prometheus.NewRegistry(), ready, nil))
	defer admin.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for _, verb := range []string{"status", "doctor"} {
		_, out, errs := call(t, verb, "--admin", admin.URL, "--postgres-url", "postgres://u@127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4/x")
		if !strings.Contains(out, "failed to connect to `user=neuronx_rules database=neuronx`: 127.0.0.1:5432 (localhost): dial error") || !strings.Contains(out, "2 more (-o json tells all)") {
			t.Errorf("%s does not say why:\n%s", verb, out)
		}
		for line := range strings.Lines(out + errs) {
			if strings.Contains(line, `\n`) || strings.Contains(line, `\t`) {
				t.Errorf("%s: line ends as text in %q", verb, line)
			}
			if n := utf8.RuneCountInString(line); n > 800 {
				t.Errorf("%s: a line of %d characters: %q", verb, n, line)
			}
		}
	}
	_, out, _ := call(t, "status", "--admin", admin.URL, "-o", "json")
	var o status.Overview
	if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Processes) != 1 || len(o.Processes[0].Components) != 5 || len(o.Processes[0].Components[0].Reason) <= operate.MaxBrief {
		t.Errorf("JSON lacks a part of what the process told (%v): %s", err, out)
	}
}
