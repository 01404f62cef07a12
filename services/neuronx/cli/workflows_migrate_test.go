package cli

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/workflowstore/flowtest"
)

// nurtureOf publishes nurture with other tasks.
func (r *flowRig) nurtureOf(tasks string) {
	r.t.Helper()
	r.Publish(flowtest.Workflow("nurture", `
  start: {on: [lead.created], when: 'data.phone != null', key: data.lead_id, set: {name: data.first_name}}
  do:
`+tasks))
}

func TestWorkflows_MigrateCountsFirstAndMovesWhatTheNewTextHas(t *testing.T) {
	r := newFlowRig(t)
	a, b := r.lead("1", "+15551234567"), r.lead("2", "+15551234567")
	r.says("workflows migrate nurture", exitOK, "no instance of nurture that lives runs by another version than 1, which is in force")
	r.nurtureOf("    - grace: {wait: {for: PT9H}}\n    - more: {wait: {for: PT1H}}")
	r.says("workflows migrate nurture", exitOK, "version 1: 2 live instances; of those listed 2 can go on by the new text, and 0 can't", a+" nurture 1 would_migrate - waiting grace",
		b+" nurture 2 would_migrate - waiting grace", "2 requests of 2 instances", "dry run: nothing was changed")
	r.says("workflows migrate nurture --from-version 7", exitFailed, "no instance of nurture that lives runs by version 7", "they run by 1")
	r.says("workflows migrate nurture --from-version 2", exitFailed, "version 2 is in force: there is nothing to migrate")
	r.says("workflows migrate nurture --from-version 0", exitUsage, "--from-version must be at least 1")
	r.says("workflows migrate nurture --limit 0", exitUsage, "--limit must be from 1 to 10000")
	r.says("workflows migrate nurtur", exitFailed, "did you mean nurture?")
	if n := len(r.published()); n > 0 {
		t.Fatalf("%d events were published without --execute", n)
	}
	r.says("workflows migrate nurture --limit 1 --by ada --reason r --execute", exitOK, a+" nurture 1 done - waiting grace", "these are the oldest 1 of 2")
	r.says("workflows migrate nurture --from-version 1 --execute", exitOK, b+" nurture 2 done - waiting grace")
	r.says("workflows migrate nurture", exitOK, "no instance of nurture that lives runs by another version than 2")
	r.says("workflows show "+a, exitOK, "nurture, version 2", "grace timer 2026-03-02T16:00:00.000Z") // its due is the one that was armed
	if said := r.published()[0]; !strings.HasPrefix(said, `workflow.migrated instance/`+a+` /neuronx/cli {"instance_id":"`+a+`","to_version":`) || !strings.Contains(said, `"tasks":[],"retime":false,"by":"ada","reason":"r"}`) {
		t.Errorf("published %s", said)
	}
	r.nurtureOf("    - other: {wait: {for: PT9H}}")
	r.says("workflows migrate nurture", exitOK, "of those listed 0 can go on by the new text, and 2 can't", a+" nurture 1 would_refuse not_migratable waiting grace - the new text has no task grace")
	r.says("workflows migrate nurture --execute", exitPartial, a+" nurture 1 refused not_migratable waiting grace", "2 of 2 requests were not done")
	r.Publish(flowtest.Workflow("other", "\n  start: {on: [lead.lost], key: data.lead_id}\n  do:\n    - x: {wait: {for: PT1H}}"))
	r.says("workflows migrate nurture", exitFailed, "the rules in force have no workflow nurture that its instances could go on by")
}

func TestWorkflows_StartAsksForTheEventThatIsNamed(t *testing.T) {
	r := newFlowRig(t)
	tool := tool(r.env, io.Discard, io.Discard)
	defer tool.env.Close()
	reg, err := tool.env.Registry()
	if err != nil {
		t.Fatal(err)
	}
	send := func(lead string, phone any) event.Recorded {
		rec := r.Event("lead.created", map[string]any{"lead_id": lead, "phone": phone, "first_name": "Ann"})
		id, _, err := reg.ByType(t.Context(), rec.Type)
		if err != nil {
			t.Fatal(err)
		}
		_, body, err := event.Unframe(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		rec.Value = event.Frame(id, body)
		r.Fold(rec)
		archiveEvent(t, r.root, reg, rec)
		return rec
	}
	good, bad := send("1", "+15551234567"), send("2", nil)
	r.Send("lead.lost", map[string]any{"lead_id": "1"})
	r.says("workflows start nurture --event nope", exitFailed, "no event nope")
	r.says("workflows start nurtur --event "+good.ID, exitFailed, "did you mean nurture?")
	r.says("workflows start nurture --event "+bad.ID, exitFailed, "start.when of the workflow does not hold for it")
	r.says(fmt.Sprint("workflows start nurture --event ", good.Sequence), exitOK, fmt.Sprintf("would start nurture of flow for the key 1, on lead.created at sequence %d", good.Sequence), "dry run")
	if n := len(r.published()); n > 0 {
		t.Fatalf("%d events were published without --execute", n)
	}
	r.says("workflows start nurture --event "+good.ID+" --by ada --reason r --execute", exitOK, "workflow nurture started as instance ", "(sequence 101)")
	rows := r.rows()
	if last := rows[len(rows)-1]; last.Workflow != "nurture" || last.Key != "1" || last.Status != "waiting" {
		t.Errorf("%+v", rows)
	}
	want := fmt.Sprintf(`workflow.start.requested workflow/nurture /neuronx/cli {"workflow":"nurture","key":"1","about":"lead/1","by":"ada","reason":"r","trigger_sequence":%d,"trigger_id":"%s"}`, good.Sequence, good.ID)
	if said := r.published(); len(said) != 1 || said[0] != want {
		t.Errorf("published %v\nwant %s", said, want)
	}
	r.says("workflows start nurture --event "+good.ID+" --execute", exitFailed, "the workflow was not started")
}
