//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
)

// TestStrangers_AreAdmittedOnceEachUnderTheirOwnTypes runs producers that know nothing of the engine but its topic and a tenant, twice each
// with the same ids.
func TestStrangers_AreAdmittedOnceEachUnderTheirOwnTypes(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	const events = 1000
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	python, java, node := pythonProgram(t, ctx), javaProgram(t, ctx), nodeProgram(t, ctx)
	strangers := []struct {
		name, typ string
		command   []string
	}{
		{"python", "ticket.opened", []string{python[0], "strangers/stranger.py"}},
		{"java", "com.acme.crm.deal_closed", append(java[:len(java)-1:len(java)-1], "strangers/Stranger.java")},
		{"node", "com.acme.billing.invoice_paid", []string{"node", "strangers/stranger.mjs"}},
	}
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})
	tenants := strayTenants(t, c.Tenants(t, "stranger", 24, 0), len(strangers))
	for i, s := range strangers {
		before := judged(t, ctx, c)
		for range 2 {
			cmd := exec.CommandContext(ctx, s.command[0], append(s.command[1:], tenants[i].ID, fmt.Sprint(events))...)
			cmd.Env = append(os.Environ(), "NEURONX_KAFKA_BROKERS="+strings.Join(c.Kafka.Brokers, ","), "NEURONX_SCHEMA_REGISTRY_URL="+c.RegistryURL,
				"STRANGER_MODULES="+filepath.Dir(node[1]))
			out, err := cmd.CombinedOutput()
			if ok := strings.Count(string(out), "ok\n"); err != nil || ok != events {
				t.Fatalf("%s: %d of %d are acknowledged: %v\n%.2000s", s.name, ok, events, err, out)
			}
		}
		noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
			now, err := c.Judged(ctx)
			if err != nil {
				return err
			}
			if a, d := now["admitted"]-before["admitted"], now["duplicate"]-before["duplicate"]; a != events || d != events || now["refused"] != before["refused"] {
				return fmt.Errorf("%s: %d are admitted and %d are duplicates, %d are refused; want %d, %[5]d and 0", s.name, a, d, now["refused"]-before["refused"], events)
			}
			return nil
		}))
	}
	noError(t, c.WaitIdle(ctx, time.Minute))
	d, err := c.Dump(ctx)
	noError(t, err)
	got := map[string]int{}
	for _, e := range d.Log {
		for i, s := range strangers {
			if e.TenantID == tenants[i].ID && !strings.HasPrefix(e.Type, "tenant.") && !strings.HasPrefix(e.Type, "rules.") {
				got[s.name+" "+e.Type]++
			}
		}
	}
	for _, s := range strangers {
		if n := got[s.name+" "+s.typ]; n != events {
			t.Errorf("%d events of %s, want %d: %v", n, s.typ, events, got)
		}
	}
	if len(d.DeadLetters) > 0 {
		t.Errorf("there are %d dead letters, the first: %+v", len(d.DeadLetters), d.DeadLetters[0])
	}
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}
