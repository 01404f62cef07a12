package rules

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// spread answers each lead with three others: 3^16 events before hop 17, no two about one subject.
var spread = ruleFile("spread", `
on: [lead.updated]
emit:
  - type: lead.updated
    subject: "event.subject + '1'"
    data: {lead_id: "data.lead_id + '1'"}
  - type: lead.updated
    subject: "event.subject + '2'"
    data: {lead_id: "data.lead_id + '2'"}
  - type: lead.updated
    subject: "event.subject + '3'"
    data: {lead_id: "data.lead_id + '3'"}`)

func TestStorm_AFanOutOverSubjectsIsCutReportedOnceAndBroughtBack(t *testing.T) {
	r := newRig(t)
	r.rates = admission.Rates{Rule: 60, Subject: 30, PerFact: 3}
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, spread, score)
	r.send("t1", "lead.updated", "lead/1", lead("1"))
	r.wait("the storm to be seen in the log", func() bool { return r.count("t1", typeStorm) == 1 })
	r.waitIdle("t1")
	if n := r.count("t1", "lead.updated"); n > 1+3+60+3*(1+3) {
		t.Errorf("%d events of the loop in the log, want no more than what is free and what a fact and three first hops allow", n)
	}
	letters := 0
	for _, rec := range kafkatest.Consume(t, r.kafka, kafka.TopicDeadLetter) {
		if code, _ := kafka.Header(rec, "nx_error_code"); code != string(event.CodeStorm) {
			t.Errorf("a dead letter of %s", code)
		}
		letters++
	}
	if letters < 2 {
		t.Errorf("%d dead letters: more than one was under way when the rule was tripped", letters)
	}
	if n := r.count("t1", typeStorm); n != 1 {
		t.Errorf("%d reports of one storm", n)
	}
	l, err := List(t.Context(), r.ops, "t1")
	if err != nil || l.Rules[1].Name != "spread" || l.Rules[1].Tripped != trippedStorm || l.Rules[0].Tripped != "" {
		t.Fatalf("%v %+v", err, l)
	}

	// Brought back, the rule runs again until it is a storm again.
	before := r.count("t1", "lead.updated")
	r.send("t1", typeReset, "rule/spread", map[string]any{"rule": "spread"})
	r.send("t1", "lead.updated", "lead/2", lead("2"))
	r.wait("a second storm", func() bool { return r.count("t1", typeStorm) == 2 })
	r.waitIdle("t1")
	if n := r.count("t1", "lead.updated") - before; n < 30 {
		t.Errorf("%d events after the reset: it was cut at once", n)
	}
}

func TestStorm_FactsThatKeepComingBackAreKeptAndTriggerNothing(t *testing.T) {
	r := newRig(t)
	r.rates = admission.Rates{Facts: 10}
	defer r.start()()
	r.send("t1", "tenant.created", "tenant/t1", map[string]any{})
	r.publish("t1", 1, score)
	for i := range 25 {
		r.send("t1", "lead.created", "lead/1", map[string]any{"lead_id": "1", "company": fmt.Sprint(i)})
	}
	r.send("t1", "lead.created", "lead/2", lead("2"))
	r.waitIdle("t1")
	if n := r.count("t1", "lead.created"); n != 26 {
		t.Errorf("%d facts in the log, want all 26", n)
	}
	if n := r.count("t1", "lead.scored"); n != 11 {
		t.Errorf("%d of them were answered, want ten of the loud subject and the one of the other", n)
	}
	if dead := kafkatest.Consume(t, r.kafka, kafka.TopicDeadLetter); len(dead) != 0 {
		t.Errorf("%d dead letters", len(dead))
	}
	r.compareAll("t1", r.count("t1", "derived"))
}
