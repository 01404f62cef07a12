package rules

import (
	"strings"
	"testing"
)

// A file may spell the character NUL, which neither an event nor a text of Postgres can hold. It fails the one start or task that it stands in: the
// tenant goes on with its next event, and so do all others in the batch.
func TestFlows_ANULInATextOfAFileStopsNoTenant(t *testing.T) {
	b := newFlowBench(t)
	started := "start: {on: [lead.created], key: data.lead_id}\ndo: "
	workflow := func(spec string) func(string) {
		return func(tenant string) { b.publish(tenant, 1, reps, kindFile("Workflow", "w", spec)) }
	}
	nobody := `{assign: {pool: team, as: owner, except: '["ann", "bob"]', or: `
	for tenant, c := range map[string]struct {
		publish func(tenant string)
		derived string // of one lead
		is      string // its instance
	}{
		"key":     {workflow("start: {on: [lead.created], key: '\"deal/\\u0000\" + data.lead_id'}\ndo: [pause: {wait: {for: PT1H}}]"), "workflow.rejected", ""},
		"contact": {workflow("start: {on: [lead.created], key: data.lead_id, contact: '\"\\u0000\"'}\ndo: [pause: {wait: {for: PT1H}}]"), "workflow.rejected", ""},
		"or":      {workflow(started + "[r: " + nobody + "'\"\\u0000\"'}}]"), "workflow.incident.raised", "1:incident"},
		"channel": {workflow(started + "[r: {emit: {type: crm.message.send.requested, data: {channel: '\"sms\\u0000\"', body: '\"hi\"'}}}]"), "workflow.incident.raised", "1:incident"},
		"message": {workflow(started + "[r: {set: {x: 'int(\"\\u0000\" + string(now))'}}]"), "workflow.incident.raised", "1:incident"},
		"rule": {func(tenant string) {
			b.publish(tenant, 1, reps, ruleFile("r", "on: [lead.created]\nkey: '\"deal/\\u0000\" + data.lead_id'\nassign: {pool: team, as: owner}\nset: {owner: vars.owner}"))
		}, "engine.rule.failed", ""},
		"message-of-a-rule": {func(tenant string) {
			b.publish(tenant, 1, ruleFile("r", "on: [lead.created]\nset: {x: 'int(\"\\u0000\" + data.lead_id)'}"))
		}, "engine.rule.failed", ""},
	} {
		c.publish(tenant)
		b.restart()
		n := len(b.log[tenant])
		b.lead(tenant, "1")
		b.is(tenant, b.since(tenant, n), c.derived)
		b.is(tenant, b.statuses(tenant), c.is)
		b.lead(tenant, "2")
		if got := b.since(tenant, n); strings.Count(got, c.derived) != 2 && c.derived != "engine.rule.failed" { // a rule tells of the first only
			t.Errorf("%s: after a second lead: %s", tenant, got)
		}
	}
}
