package rules

import (
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// mail sends where silence is consent.
var mail = kindFile("Workflow", "mail", `
start: {on: [lead.created], key: data.lead_id}
do:
  - hello: {emit: {type: crm.message.send.requested, data: {channel: '"email"', body: '"hello"'}}}`)

// A grant that its sender dates after it was recorded does not outlast what is revoked after it.
func TestFlows_AGrantOfTheFutureIsTakenBack(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, mail)
	consent := func(granted bool, at time.Time) {
		t.Helper()
		r := b.outside("a", "consent.changed", "lead/1", map[string]any{"lead_id": "1", "channel": "email", "granted": granted})
		r.Time = at
		b.take(r)
		b.now = b.now.Add(time.Minute)
	}
	consent(true, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
	consent(false, b.now)
	n := len(b.log["a"])
	b.lead("a", "1")
	b.is("to who has taken it back", b.since("a", n), "workflow.completed")
	consent(true, b.now)
	n = len(b.log["a"])
	b.lead("a", "1")
	b.is("to who has granted again", b.since("a", n), "message.send workflow.completed")
}

// Where silence is consent, a revocation that nobody took in before the first workflow would be none.
func TestFlows_AConsentThatWasTakenBackBeforeTheFirstWorkflowHolds(t *testing.T) {
	for name, first := range map[string][]ruleset.File{"no rules before": nil, "rules before": {score}} {
		b := newFlowBench(t)
		b.crash = true
		if len(first) > 0 {
			b.publish("a", 1, first...)
		}
		b.send("a", "consent.changed", "lead/1", map[string]any{"lead_id": "1", "channel": "*", "granted": false})
		b.publish("a", 2, mail)
		b.now = b.now.Add(time.Hour)
		n := len(b.log["a"])
		b.lead("a", "1")
		b.is(name+": to who has taken it back", b.since("a", n), "workflow.completed")
		n = len(b.log["a"])
		b.lead("a", "2")
		b.is(name+": to another", b.since("a", n), "message.send workflow.completed")
	}
}
