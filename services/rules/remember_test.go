package rules

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// A build that knew of no workflows kept nothing of consent; the log has it. No batch waits for it to be read, and an archive that lags is waited for.
func TestRemember_AConsentThatAnEarlierBuildDidNotKeepIsReadFromTheArchive(t *testing.T) {
	b := newFlowBench(t)
	say := func(lead string) {
		b.record(event.Event{TenantID: "a", ID: "said-" + lead, Source: "/test", Type: "consent.changed", Subject: "lead/" + lead, Time: b.now, ContentType: event.ContentTypeAvro,
			Value: value(t, b.registry, "consent.changed", map[string]any{"lead_id": lead, "channel": "email", "granted": false})})
	}
	say("1")
	say("9")
	b.record(event.Event{TenantID: "a", ID: "merged", Source: "/test", Type: "subject.merged", Subject: "lead/9", Time: b.now, ContentType: event.ContentTypeAvro,
		Value: value(t, b.registry, "subject.merged", map[string]any{"from": "lead/9", "into": "lead/2"})})
	first := b.outside("a", typePublished, "rules/a", ruleset.PublishedData([]ruleset.File{mail}, 1, ""))
	if part := b.parts(b.h, runOf(first))[0]; !part.Later || part.Applied != 0 {
		t.Errorf("%+v: a batch reads the archive", part)
	}
	whole := b.log["a"]
	b.log["a"] = whole[:2]
	b.h.Prepare(t.Context(), b.pool, runOf(first))
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := b.h.ApplyParts(t.Context(), tx, []consumer.Run{runOf(first)})
		return err
	})
	if !consumer.IsTransient(err) {
		t.Errorf("%v: the archive does not reach the event, and nobody waits for it", err)
	}
	b.log["a"] = whole
	if part := b.catchUp(b.h, runOf(first)); part.Applied != 1 {
		t.Fatalf("%+v", part)
	}
	for lead, want := range map[string]string{"1": "workflow.completed", "2": "workflow.completed", "3": "message.send workflow.completed"} {
		n := len(b.log["a"])
		b.lead("a", lead)
		b.is("lead "+lead, b.since("a", n), want)
	}
}
