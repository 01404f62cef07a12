package rules

import (
	"strings"
	"testing"
)

// The first workflow messages nobody who took a consent back before it was published: under no rules, under rules alone, or as another subject.
func TestFlows_AConsentTakenBackBeforeTheFirstWorkflowHolds(t *testing.T) {
	mails := kindFile("Workflow", "mails", `
start: {on: [lead.created], key: data.lead_id}
do: [hello: {emit: {type: crm.message.send.requested, data: {channel: '"email"', body: '"hello"'}}}]`)
	b := newFlowBench(t)
	stop := func(id string) {
		b.send("a", "consent.changed", "lead/"+id, map[string]any{"lead_id": id, "channel": "email", "granted": false})
	}
	stop("1")
	b.publish("a", 1, ruleFile("counts", "on: [lead.updated]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}"))
	stop("2")
	stop("3")
	b.send("a", "subject.merged", "lead/3", map[string]any{"from": "lead/3", "into": "lead/4"})
	b.restart()
	b.publish("a", 2, mails)
	for _, id := range []string{"1", "2", "4", "5"} {
		b.lead("a", id)
	}
	var sent []string
	for _, e := range b.log["a"] {
		if e.Type == "crm.message.send.requested" {
			sent = append(sent, e.Subject)
		}
	}
	b.is("messaged", strings.Join(sent, " "), "lead/5") // who never said anything
	if all := b.statuses("a"); strings.Count(all, ":completed") != 4 {
		t.Errorf("instances %s: not all went on", all)
	}
}
