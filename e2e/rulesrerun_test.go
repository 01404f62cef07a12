//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// What a rule missed while it was off is run over once, by the operators' program against the real processes.
func TestRulesRerun_RunsWhatWasMissedOnce(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	l := &loop{t: t, c: cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})}
	l.tenant = l.c.Tenants(t, "rerun", 1, 0)[0]
	publish := func(names ...string) {
		t.Helper()
		dir := t.TempDir()
		for _, name := range names {
			text := "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: " + name + "\nspec:\n  " + loopRules[name] + "\n"
			noError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600))
		}
		l.cli("rules", "publish", dir, "--tenant", l.tenant.ID, "--execute")
	}
	rerun := func(want int, args ...string) []map[string]any {
		t.Helper()
		out, stderr, code := l.c.CLI(ctx, append([]string{"rules", "rerun", "--tenant", l.tenant.ID, "--since", "1", "-o", "json"}, args...)...)
		var rows []map[string]any
		if err := json.Unmarshal([]byte(out), &rows); err != nil || code != want {
			t.Fatalf("rules rerun %v: exit %d, want %d (%v)\n%s%s", args, code, want, err, out, stderr)
		}
		return rows
	}
	publish("ping", "pong", "qualify")
	l.publish("lead.updated", "lead/1", `{"lead_id":"1"}`)
	l.cut(ctx, 1)
	for _, id := range []string{"2", "3"} {
		l.publish("lead.updated", "lead/"+id, `{"lead_id":"`+id+`"}`)
	}
	noError(t, l.c.WaitIdle(ctx, time.Minute))
	if rows := rerun(0); len(rows) != 1 || rows[0]["rule"] != "ping" || rows[0]["state"] != "off" || rows[0]["missed"].(float64) < 2 {
		t.Errorf("a rule that is off: %v", rows)
	}
	rerun(3, "--execute") // off: nothing is run
	publish("ping", "qualify")
	l.cli("rules", "reset", "ping", "--tenant", l.tenant.ID, "--execute")
	rows := rerun(0, "--rule", "ping")
	missed := rows[0]["missed"].(float64)
	if seen, _ := rows[0]["foreseen"].(map[string]any); seen["ran"] != missed {
		t.Errorf("foreseen: %v", rows)
	}
	if rows := rerun(0, "--execute", "--by", "ada"); rows[0]["ran"] != missed || rows[0]["derived"] != missed {
		t.Errorf("run: %v, %v were missed", rows, missed)
	}
	if rows := rerun(0, "--execute"); len(rows) != 0 {
		t.Errorf("run twice: %v", rows)
	}
	noError(t, l.c.WaitIdle(ctx, time.Minute))
	if out := l.cli("events", "list", "--tenant", l.tenant.ID, "--type", "lead.contacted", "--subject", "lead/3"); strings.Count(out, "lead/3") != 1 {
		t.Errorf("what was missed about lead/3 was not derived once:\n%s", out)
	}
}
