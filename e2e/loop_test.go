//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/checker"
	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/e2e/load"
)

// ping and pong trigger each other without end; qualify is a rule like any other.
var loopRules = map[string]string{
	"ping": `on: [lead.updated]
  emit:
    - type: lead.contacted
      data: {lead_id: data.lead_id}`,
	"pong": `on: [lead.contacted]
  emit:
    - type: lead.updated
      data: {lead_id: data.lead_id}`,
	"qualify": `on: [lead.scored]
  emit:
    - type: lead.qualified
      data: {lead_id: data.lead_id}`,
}

func TestLoop(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	l := &loop{t: t, c: cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})}
	l.tenant = l.c.Tenants(t, "loop", 1, 0)[0]
	dir := filepath.Join(l.c.Dir, "rules")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, spec := range loopRules {
		text := "apiVersion: neuronx/v1\nkind: Rule\nmetadata:\n  name: " + name + "\nspec:\n  " + spec + "\n"
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if warned := l.cli("rules", "publish", dir, "--tenant", l.tenant.ID, "--execute"); !strings.Contains(warned, "loop") {
		t.Errorf("publishing rules that trigger each other does not warn of the loop:\n%s", warned)
	}

	l.publish("lead.updated", "lead/1", `{"lead_id":"1"}`)
	l.cut(ctx, 1)
	if got := l.tripped(); !slices.Equal(got, []string{"ping"}) {
		t.Errorf("tripped %v, want ping", got)
	}

	// The loop stands still, other rules go on.
	l.publish("lead.updated", "lead/2", `{"lead_id":"2"}`)
	l.publish("lead.scored", "lead/2", `{"lead_id":"2","score":80}`)
	l.wait(ctx, "the other rule's event", func(w tally) bool { return w.derived["lead.qualified"] == 1 })
	l.cut(ctx, 1)

	l.cli("rules", "reset", "ping", "--tenant", l.tenant.ID, "--execute")
	if got := l.tripped(); len(got) > 0 {
		t.Errorf("tripped %v after the reset", got)
	}
	l.publish("lead.updated", "lead/3", `{"lead_id":"3"}`)
	l.cut(ctx, 2)

	d, err := l.c.Dump(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range checker.Check(d) {
		t.Error(v)
	}
}

// loop is a tenant whose rules trigger each other.
type loop struct {
	t      *testing.T
	c      *cluster.Cluster
	tenant load.Tenant
}

// tally is what log and dead letters hold of the loop.
type tally struct {
	derived map[string]int // events that were derived, by type
	storms  []checker.DeadLetter
}

func (l *loop) look(ctx context.Context) tally {
	l.t.Helper()
	log, err := l.c.Log(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	w := tally{derived: map[string]int{}}
	for i := range log {
		if log[i].Derived() {
			w.derived[log[i].Type]++
		}
	}
	letters, err := l.c.DeadLetters(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range letters {
		if d.Code == "storm" {
			w.storms = append(w.storms, d)
		}
	}
	return w
}

func (l *loop) wait(ctx context.Context, what string, done func(tally) bool) {
	l.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; rest(ctx, 200*time.Millisecond) {
		w := l.look(ctx)
		if done(w) {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("waiting for %s: %v derived, %d storms", what, w.derived, len(w.storms))
		}
	}
}

// cut waits until the loop was cut so many times, and checks that each time it made 16 events and one dead letter that tells its path.
func (l *loop) cut(ctx context.Context, times int) {
	l.t.Helper()
	l.wait(ctx, "the storm to be reported", func(w tally) bool { return w.derived["engine.storm.detected"] >= times })
	if err := l.c.WaitIdle(ctx, time.Minute); err != nil {
		l.t.Fatal(err)
	}
	w := l.look(ctx)
	if n := w.derived["lead.contacted"] + w.derived["lead.updated"]; n != 16*times {
		l.t.Errorf("%d events of the loop were derived, want exactly %d: %v", n, 16*times, w.derived)
	}
	if len(w.storms) != times || w.derived["engine.storm.detected"] != times {
		l.t.Fatalf("%d dead letters and %d reports, want %d of each", len(w.storms), w.derived["engine.storm.detected"], times)
	}
	for _, d := range w.storms {
		want := make([]string, 17)
		for i := range want {
			want[i] = []string{"lead.contacted<ping@2", "lead.updated<pong@2"}[i%2]
		}
		if !slices.Equal(d.Path, want) {
			l.t.Errorf("the dead letter's path is %v", d.Path)
		}
	}
}

func (l *loop) cli(args ...string) string {
	l.t.Helper()
	cmd := l.c.Command(context.Background(), args...)
	cmd.Env = append(cmd.Env, "NEURONX_API_KEY="+l.tenant.Key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("neuronx %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (l *loop) publish(typ, subject, data string) {
	l.t.Helper()
	l.cli("publish", typ, "--subject", subject, "--data", data)
}

// tripped asks the operators' program which rules are off.
func (l *loop) tripped() []string {
	l.t.Helper()
	out, stderr, code := l.c.CLI(context.Background(), "rules", "list", "--tenant", l.tenant.ID, "-o", "json")
	var rows []struct {
		Version int64
		Tripped []string
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 || len(rows) != 1 || rows[0].Version != 2 {
		l.t.Fatalf("rules list: exit %d, %v\n%s%s", code, err, out, stderr)
	}
	return rows[0].Tripped
}
