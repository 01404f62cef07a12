package rules

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// One event that very many instances wait for is taken in outside the loop: no other tenant waits for it.
func TestFlows_AnEventThatManyInstancesWaitForIsForLater(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, kindFile("Workflow", "w", `
start: {on: [lead.created], key: data.lead_id}
until: {over: {on: [lead.lost], correlate: {from: data.reason, expect: '"all"'}, status: cancelled}}
do: [pause: {wait: {for: P1D}}]`))
	var starts []event.Recorded
	for i := range 300 {
		id := fmt.Sprint(i)
		starts = append(starts, b.outside("a", "lead.created", "lead/"+id, lead(id)))
	}
	b.apply(b.h, nil, runOf(starts...))
	over := runOf(b.outside("a", "lead.lost", "lead/x", map[string]any{"lead_id": "x", "reason": "all"}))
	if part := b.parts(b.h, over)[0]; !part.Later || part.Applied != 0 || part.Err != nil {
		t.Errorf("%+v: a batch waits for 300 instances of one tenant", part)
	}
	if part := b.catchUp(b.h, over); part.Applied != 1 {
		t.Fatalf("%+v", part)
	}
	if n := len(b.lines(`SELECT id FROM neuronx.workflow_instances WHERE status = 'cancelled'`)); n != 300 {
		t.Errorf("%d of 300 instances have ended", n)
	}
}
