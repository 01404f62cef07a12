package rules

import "testing"

// A command may say that it is of use beyond the last year that an event can hold. Its outcome is waited for all the same, and the tenant goes on.
func TestFlows_ACommandWithoutAnEndStopsNoTenant(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, kindFile("Workflow", "w", `
start: {on: [lead.created], key: data.lead_id}
do:
  - note: {call: crm.note.add, with: {lead_id: instance.key, body: '"hello"', not_after: 'timestamp("9999-12-31T23:59:59Z")'}}`))
	n := len(b.log["a"])
	b.lead("a", "1")
	b.is("derived", b.since("a", n), "note.add")
	b.restart()
	b.noted("a", "1")
	b.is("after its outcome", b.statuses("a")+" "+b.armed("a"), "1:completed ")
}
