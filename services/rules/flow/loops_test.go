package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// looping is a workflow that starts on one type and does tasks.
func looping(t *testing.T, name, on, spec, tasks string) *Program {
	t.Helper()
	text := strings.Replace(header4, "name: w", "name: "+name, 1) + "  start: {on: [" + on + "], key: data.lead_id}\n" + spec + "  do: [" + tasks + "]\n"
	p, problems := parsed(text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func emitting(typ string) string {
	return "a: {emit: {type: " + typ + ", data: {lead_id: instance.key}}}"
}

func TestLoops_FindsWorkflowsThatLeadBackToTheirStart(t *testing.T) {
	const allowed = "  loops: allowed\n"
	live := []event.Origin{event.OriginLive}
	for _, c := range []struct {
		what     string
		programs []*Program
		rules    []Derives
		want     string // part of what is told; empty: nothing
	}{
		{"itself", []*Program{looping(t, "x", "lead.lost", "", emitting("lead.lost"))}, nil, "the workflow x can start itself again without end; take out"},
		{"itself, which is allowed", []*Program{looping(t, "x", "lead.lost", allowed, emitting("lead.lost"))}, nil, ""},
		{"two", []*Program{looping(t, "x", "lead.lost", "", emitting("lead.updated")), looping(t, "y", "lead.updated", "", emitting("lead.lost"))}, nil, "the workflow x can start itself again without end, by way of y"},
		{"two, one of which allows it", []*Program{looping(t, "x", "lead.lost", allowed, emitting("lead.updated")), looping(t, "y", "lead.updated", "", emitting("lead.lost"))}, nil, "[w.yaml:1: error: loop: the workflow y can"},
		{"a chain", []*Program{looping(t, "x", "lead.lost", "", emitting("lead.updated")), looping(t, "y", "lead.updated", "", emitting("lead.scored"))}, nil, ""},
		{"the outcome of its command", []*Program{looping(t, "x", "crm.note.add.failed", "", "a: {call: crm.note.add, with: {lead_id: instance.key}}")}, nil, "the workflow x can start itself"},
		{"its own end", []*Program{looping(t, "x", "workflow.completed", "", "a: "+wait)}, nil, "the workflow x can start itself"},
		{"what undoes it", []*Program{looping(t, "x", "lead.lost", "", "a: {emit: {type: lead.updated, data: {lead_id: instance.key}, undo: [{type: lead.lost, data: {lead_id: instance.key}}]}}")}, nil, "the workflow x can start itself"},
		{"an end", []*Program{looping(t, "x", "lead.lost", "  until: {e: {on: lead.scored, status: completed, do: ["+emitting("lead.lost")+"]}}\n", "a: "+wait)}, nil, "the workflow x can start itself"},
		{"a rule", []*Program{looping(t, "x", "lead.lost", "", emitting("lead.updated"))}, []Derives{{"r", []string{"lead.updated"}, live, []string{"lead.lost"}}}, "by way of r"},
		{"a rule for what was imported", []*Program{looping(t, "x", "lead.lost", "", emitting("lead.updated"))}, []Derives{{"r", []string{"lead.updated"}, []event.Origin{event.OriginImport}, []string{"lead.lost"}}}, ""},
		{"rules alone", nil, []Derives{{"r", []string{"lead.updated"}, live, []string{"lead.updated"}}}, ""},
	} {
		problems := Loops(c.programs, c.rules)
		if got := fmt.Sprint(problems); c.want == "" && len(problems) > 0 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q", c.what, got, c.want)
		}
	}
}
