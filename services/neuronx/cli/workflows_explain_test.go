package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/explain/explaintest"
)

func TestWorkflowsExplain_SaysWhatAnInstanceDidAndWhy(t *testing.T) {
	var created int64
	run, root, l := explainBench(t, func(l *explaintest.Log) {
		l.Publish(1, explaintest.Greeting()...)
		created = l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7", "source": "ads", "phone": "+15551234567"})
		l.Fire()
	})
	id := l.Instances()[0].ID
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.effects (adapter, tenant_id, effect_id, command_event_id, command_sequence, kind, class, subject, status, attempts, request, envelope, partition, position)
		VALUES ('gohighlevel', 'acme', $1, $1, 5, 'crm.contact.tag', 'once', 'lead/7', 'done', 1, '{}', '{}', 0, 1)`, l.Find("crm.contact.tag.requested", 0).ID); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"greet at bundle 1 waiting key 7 start 1 of the key " + id, fmt.Sprintf("%d lead.created if start.when: data.phone != null is true data.phone = •", created),
		"pick route: sales → ann ann: eligible, weight 3, turn 0, has 0 of 25 bob: excluded", "cai: closed until 2026-03-03T11:00:00.000Z", "dan: weight below 1",
		"route: assign sales → ann", "emit lead.assigned", "timer.fired if tag if: vars.source == \"ads\" is true vars.source = \"ads\"", "→ done", "1 attempt",
		"stands at rest (wait), due 2026-04-01T", "ends by: contacted; by itself", "phone = •",
	}
	for _, line := range []string{"workflows explain --tenant acme --subject lead/7", "workflows explain " + id + " --tenant acme"} {
		out, code := run(line)
		out = strings.Join(strings.Fields(out), " ")
		for _, w := range want {
			if code != exitOK || !strings.Contains(out, w) || strings.Contains(out, "5551234567") {
				t.Errorf("%s: exit %d, want %q:\n%s", line, code, w, out)
			}
		}
	}
	out, code := run("workflows explain " + id + " --tenant acme -o json")
	var found []explain.Instance
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&found); err != nil || code != exitOK || len(found) != 1 || len(found[0].Steps) != 2 || len(found[0].Steps[0].Picks[0].Members) != 4 {
		t.Errorf("exit %d (%v): %s", code, err, out)
	}
	// What an event started is told with the event, too.
	out, code = run(fmt.Sprintf("rules explain --tenant acme --event %d", created))
	if out = strings.Join(strings.Fields(out), " "); code != exitOK || !strings.Contains(out, "greet started when data.phone != null data.phone = • instance "+id+" route: assign sales → ann") {
		t.Errorf("exit %d: %s", code, out)
	}
	for line, says := range map[string]string{
		"workflows explain --tenant acme":                                 "name an instance, or give --subject",
		"workflows explain nope --tenant acme":                            "no instance nope",
		"workflows explain " + id + " --tenant acme --subject lead/7":     "name an instance, or give --subject",
		"workflows explain --tenant acme --subject lead/9":                "no instance is kept about lead/9",
		"workflows explain " + id + " two --tenant acme --subject lead/7": "one instance at a time",
	} {
		if out, code := run(line); code == exitOK && !strings.Contains(line, "lead/9") || !strings.Contains(out, says) {
			t.Errorf("%s: exit %d: %s", line, code, out)
		}
	}
	// An instance whose row is gone is told from the log; one that is recorded otherwise is an alarm.
	if _, err := root.Exec(t.Context(), `DELETE FROM neuronx.workflow_instances`); err != nil {
		t.Fatal(err)
	}
	if out, code = run("workflows explain " + id + " --tenant acme"); code != exitOK || !strings.Contains(out, "its row is gone") || !strings.Contains(out, "cai: closed") {
		t.Errorf("exit %d: %s", code, out)
	}
	if _, err := root.Exec(t.Context(), `INSERT INTO neuronx.skips (consumer, tenant_id, sequence, skipped_at) VALUES ('neuronx.rules', 'acme', $1, now())`, created); err != nil {
		t.Fatal(err)
	}
	if out, code = run("workflows explain " + id + " --tenant acme"); code != exitUnsafe || !strings.HasPrefix(out, "ALARM  instance "+id) {
		t.Errorf("exit %d: %s", code, out)
	}
}
