package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules/workflowstore/flowtest"
)

func TestWorkflows_NameTheTenantAndTheCommandThatHelps(t *testing.T) {
	db := postgrestest.New(t, provision.Migrations()...)
	ops := db.Pool(t, postgres.RoleOps)
	if got, more, err := Workflows(t.Context(), ops); err != nil || len(got) != 0 || more != 0 {
		t.Fatalf("no workflow is in trouble: %+v %v", got, err)
	}
	s := flowtest.New(t, db.Pool(t, postgres.RoleRules), "acme", time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		flowtest.Workflow("nurture", "\n  start: {on: [lead.created], key: data.lead_id}\n  do:\n    - grace: {wait: {for: PT4H}}"),
		flowtest.Workflow("fails", "\n  start: {on: [lead.created], when: 'data.lead_id != \"0\"', key: data.lead_id}\n  do:\n    - half: {set: {x: '1 / 0'}}"),
		flowtest.Workflow("once", "\n  start: {on: [lead.created], when: 'data.lead_id == \"0\"', key: data.lead_id}\n  do:\n    - half: {set: {x: '1 / 0'}}"))
	for i := range 6 {
		s.Send("lead.created", map[string]any{"lead_id": fmt.Sprint(i)})
	}
	got, _, err := Workflows(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range got {
		lines = append(lines, fmt.Sprintf("%s of %s: %s; %s", got[i].Workflow, got[i].Tenant, got[i].What(), got[i].Next()))
	}
	want := []string{
		"fails of acme: off: failures; 5 instances in an incident; neuronx rules reset fails --tenant acme",
		"nurture of acme: 6 timers not fired, the oldest was due 2026-03-02T16:00:00Z; neuronx stalled list --consumer rules --tenant acme",
		"once of acme: 1 instance in an incident; neuronx workflows list --tenant acme --workflow once --state incident",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	o := Overview{Workflows: got}
	o.judge()
	if len(o.Wrong) != 1 || o.Wrong[0] != "6 timers of workflows not fired in time" {
		t.Errorf("%q", o.Wrong)
	}
}
