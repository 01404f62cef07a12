package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// migrateAll asks of all instances of a tenant that live to go on by the bundle in force.
func (b *flowBench) migrateAll(tenant string) {
	b.Helper()
	for _, id := range b.lines(`SELECT id FROM neuronx.workflow_instances WHERE tenant_id = $1 AND ended IS NULL ORDER BY started, id`, tenant) {
		b.send(tenant, "workflow.migrated", "instance/"+id, map[string]any{"instance_id": id, "to_version": b.command(tenant, typePublished).Sequence, "tasks": []any{}, "retime": false})
	}
}

// startRequest asks for a start on an event about a lead.
func startRequest(workflow string, r event.Recorded) map[string]any {
	return map[string]any{"workflow": workflow, "key": r.Subject[len("lead/"):], "about": r.Subject, "trigger_sequence": r.Sequence, "trigger_id": r.ID}
}

func (b *flowBench) startOn(tenant, workflow string, r event.Recorded) {
	b.Helper()
	b.send(tenant, "workflow.start.requested", "workflow/"+workflow, startRequest(workflow, r))
}

const notes = `
start: {on: [lead.created], key: data.lead_id}
do:
  - pause: {wait: {for: PT1H}}
  - note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"hello"'}}}`

// What people asked for is in the log, so a reset meets it where the service did.
func TestFlows_AResetDerivesAskedStartsAndMigrationsAgain(t *testing.T) {
	b := newFlowBench(t)
	older := kindFile("Workflow", "older", notes)
	b.publish("a", 1, older)
	b.lead("a", "1")
	created := b.command("a", "lead.created")
	b.publish("a", 2, kindFile("Workflow", "older", notes+"\n  - more: {wait: {for: P1D}}"), kindFile("Workflow", "late", notes))
	b.migrateAll("a")
	b.migrateAll("a") // refused: they run by it
	b.now = b.now.Add(time.Minute)
	b.startOn("a", "late", created)
	b.startOn("a", "late", created) // refused: it lives
	n := len(b.log["a"])
	b.later(2 * time.Hour)
	b.is("derived", b.since("a", n), "timer.fired note.add timer.fired note.add workflow.completed")
	refused := 0
	for _, r := range b.log["a"] {
		if r.Type == "workflow.verb.refused" {
			refused++
		}
	}
	if b.is("instances", b.statuses("a"), "1:waiting 1:completed"); refused != 2 {
		t.Errorf("%d requests were refused, want 2", refused)
	}
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ($1, 1, 'a', 0, $2)`,
		kafka.GroupRules, len(b.log["a"])); err != nil {
		t.Fatal(err)
	}
	s := &shadow{pool: b.pool, archive: b, registry: b.registry, log: quiet(), metrics: newMetrics(nil), patience: time.Second}
	if c, err := s.compare(t.Context(), "a"); err != nil || c.differences != 0 || c.examined < 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

// The event that a start is asked on is read from the archive: no batch waits for it.
func TestFlows_AnAskedStartIsLeftForTheCatchUp(t *testing.T) {
	b := newFlowBench(t)
	b.lead("a", "1")
	created := b.command("a", "lead.created")
	b.publish("a", 1, kindFile("Workflow", "late", notes))
	request := b.outside("a", "workflow.start.requested", "workflow/late", startRequest("late", created))
	before := b.kept(true)
	if part := b.parts(b.h, runOf(request))[0]; !part.Later || part.Applied != 0 || part.Err != nil {
		t.Fatalf("%+v, want it for later", part)
	}
	b.is("kept", other(b.kept(true), before), "")
	if part := b.catchUp(b.h, runOf(request)); part.Applied != 1 || part.Err != nil {
		t.Fatalf("%+v", part)
	}
	if all := b.lines(`SELECT workflow || ':' || key FROM neuronx.workflow_instances`); !slices.Equal(all, []string{"late:1"}) {
		t.Errorf("started %v", all)
	}
}
