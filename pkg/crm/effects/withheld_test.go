package effects

import (
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
	"github.com/neuronx/engine/pkg/event"
)

func (r *rig) message(lead, channel string) event.Recorded {
	return r.event(tenant, "crm.message.send.requested", "lead/"+lead, map[string]any{"lead_id": lead, "message_id": "m", "purpose": "marketing", "channel": channel, "body": "hello"})
}

func (r *rig) consent(lead, channel string, granted bool, at time.Time, origin event.Origin) event.Recorded {
	e := r.event(tenant, typeConsent, "lead/"+lead, map[string]any{"lead_id": lead, "channel": channel, "granted": granted})
	e.Time, e.Origin = at, origin
	return e
}

func (r *rig) erased(lead string) event.Recorded {
	e := r.consent(lead, "*", false, r.now, "")
	e.Type = typeErased
	return e
}

// TestWithheld_WhatReachesAPersonIsAskedRightBeforeItIsSent: what was said between a command and its turn counts, in the log's own order.
func TestWithheld_WhatReachesAPersonIsAskedRightBeforeItIsSent(t *testing.T) {
	r := newRigWithLag(t, 0)
	r.connect(tenant, "send")
	hour := func(n int) time.Time { return r.now.Add(time.Duration(n-20) * time.Hour) }
	commands, want := map[string]event.Recorded{}, map[string]string{
		"nothing": crm.CodeContactUnknown, "revoked": crm.CodeRevoked, "other": crm.CodeContactUnknown, "all": crm.CodeRevoked, "long": crm.CodeRevoked,
		"erased": crm.CodeErased, "lifted": crm.CodeContactUnknown, "imported": crm.CodeRevoked, "old": crm.CodeContactUnknown, "history": crm.CodeRevoked, "first": crm.CodeRevoked,
	}
	for lead := range want {
		commands[lead] = r.message(lead, "sms")
		r.apply(commands[lead])
	}
	task := r.command("crm.task.add.requested", map[string]any{"lead_id": "revoked", "task_id": "t1", "title": "Call"}) // reaches nobody
	task.Subject = "lead/revoked"
	tag := r.tag("revoked", "hot")
	r.apply(task, tag,
		r.consent("revoked", "sms", false, hour(1), ""), r.consent("other", "email", false, hour(1), ""), r.consent("all", "*", false, hour(1), ""),
		r.consent("long", strings.Repeat("x", maxChannel+1), false, hour(1), ""), r.erased("erased"), r.erased("opportunity"),
		r.consent("lifted", "sms", false, hour(1), ""), r.consent("lifted", "sms", true, hour(2), ""),
		r.consent("imported", "sms", false, hour(1), ""), r.consent("imported", "sms", true, hour(2), event.OriginImport),
		r.consent("old", "sms", true, hour(2), ""), r.consent("old", "sms", false, hour(1), ""),
		r.consent("history", "sms", false, hour(1), event.OriginBackfill),
		r.consent("second", "sms", false, hour(1), ""), r.merged("lead/second", "lead/first"),
		r.consent(strings.Repeat("x", crm.MaxLeadID+1), "sms", false, hour(1), ""))
	stop := r.run(r.worker())
	for lead, code := range want {
		if e := r.waitStatus(commands[lead].ID, crm.Failed); e.Code != code || e.Attempts != 0 {
			t.Errorf("%s: %s after %d attempts (%s), want %s", lead, e.Code, e.Attempts, e.LastError, code)
		}
		if !r.outbox()[outcomeID(gohighlevel.Name, tenant, commands[lead].ID, 0)] {
			t.Errorf("%s: no outcome", lead)
		}
	}
	if e := r.waitStatus(task.ID, crm.Failed); e.Code != crm.CodeContactUnknown {
		t.Errorf("a task: %s", e.Code)
	}
	if e := r.waitStatus(tag.ID, crm.Failed); e.Code != crm.CodeContactUnknown {
		t.Errorf("a tag: %s", e.Code)
	}
	stop()
	if n := len(r.crm.Requests(0, "")); n != 0 {
		t.Errorf("%d requests", n)
	}
}
