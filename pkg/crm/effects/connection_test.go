package effects

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm/grants"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/crm/transport"
)

// What earlier versions recorded is there for ever; the adapter refuses it by name and sends nothing.
func TestEndpoint_RefusesARecordedBaseURLThatMayNotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "acme@1"), []byte("tok"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(own string, allow bool) (string, string) {
		w := newWorker(workerConfig{Config: Config{BaseURL: "http://127.0.0.1:18090", AllowTenantURL: allow, Workers: 1}, tokens: grants.Source{Files: transport.NewSecrets(dir)}})
		base, _, problem, err := w.endpoint(t.Context(), nil, ledger.Tenant{Connection: ledger.Connection{Location: "l", Token: "secret://acme@1", BaseURL: own}})
		if err != nil {
			t.Fatal(err)
		}
		return base, problem
	}
	for own, says := range map[string]string{
		"https://user:hunter2@crm.example.com": "user or password", "http://crm.example.com": "in the clear", "https://169.254.169.254": "not public",
		"https://metadata.google.internal": "public DNS", "https://crm.example.com?token=hunter2": "query",
	} {
		base, problem := open(own, true)
		if base != "" || !strings.Contains(problem, says) || strings.Contains(problem, "hunter2") {
			t.Errorf("%q: base %q, problem %q", own, base, problem)
		}
	}
	for own, want := range map[string]string{"": "http://127.0.0.1:18090", "http://127.0.0.1:18090/": "http://127.0.0.1:18090", "https://crm.example.com/v2": "https://crm.example.com/v2"} {
		if base, problem := open(own, true); base != want || problem != "" {
			t.Errorf("%q: base %q, problem %q", own, base, problem)
		}
	}
	if base, problem := open("https://crm.example.com", false); base != "" || problem == "" {
		t.Errorf("a tenant's URL without the flag: %q %q", base, problem)
	}
}
