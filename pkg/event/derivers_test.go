package event

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMayDerive_NamesWhatEachDeriverMaySay(t *testing.T) {
	for _, tt := range []struct {
		typ     string
		allowed string // derivers, in the order of Derivers; x: one that is not listed
	}{
		{"lead.created", "deadletter rules x"},
		{"lead.scored", "deadletter rules x"},
		{"crm.contact.upsert.requested", "deadletter rules"},
		{"crm.requested", ""},
		{"crm.contact.upsert.succeeded", "deadletter gohighlevel"},
		{"crm.note.add.failed", "deadletter gohighlevel"},
		{"crm.contact.seen", "deadletter rules"},
		{"crm.message.received", "deadletter rules"},
		{"engine.rule.failed", "deadletter rules"},
		{"engine.storm.detected", "deadletter rules"},
		{"engine.timer.refused", "deadletter rules"},
		{"engine.dead_letter.retried", "deadletter"},
		{"engine.rule.reset", ""},
		{"engine.rule.rerun", ""},
		{"engine.replay.started", ""},
		{"engine.effect.resolved", ""},
		{"engine.projection.skipped", ""},
		{TypeSetAside, ""},
		{"tenant.created", ""},
		{"tenant.key_issued", ""},
		{"rules.published", ""},
		{"timer.fired", "timers"},
		{"timer.armed", ""},
		{"engine.effect.recorded", "deadletter gohighlevel"},
		{"workflow.started", "deadletter rules"},
		{"workflow.advanced", "deadletter rules"},
		{"workflow.completed", "deadletter rules"},
		{"workflow.cancelled", "deadletter rules"},
		{"workflow.faulted", "deadletter rules"},
		{"workflow.rejected", "deadletter rules"},
		{"workflow.incident.raised", "deadletter rules"},
		{"workflow.verb.refused", "deadletter rules"},
		{"workflow.incident.resolved", ""},
		{"workflow.suspended", ""},
		{"workflow.resumed", ""},
		{"workflow.cancel.requested", ""},
		{"workflow.migrated", ""},
		{"workflow.start.requested", ""},
		{"workflow.paused", ""},
		{"workflow.unpaused", ""},
		{"workflow.of.a.tenant", ""},
		{"subject.merged", ""},
		{"subject.unmerged", ""},
	} {
		var got []string
		for _, d := range append(Derivers(), "x") {
			if MayDerive(d, tt.typ) {
				got = append(got, d)
			}
		}
		if strings.Join(got, " ") != tt.allowed {
			t.Errorf("%s may be derived by %v, want %s", tt.typ, got, tt.allowed)
		}
	}
}

// TestReserved_WhatProducersMayNotSendNoUnlistedDeriverMay: an adapter that this build does not know is given nothing by it.
func TestReserved_WhatProducersMayNotSendNoUnlistedDeriverMay(t *testing.T) {
	for _, typ := range []string{"crm.contact.seen", "crm.note.add.succeeded", "workflow.completed", "timer.fired", "subject.merged", "tenant.created", "rules.published", "engine.x.y"} {
		if !Reserved(typ) || MayDerive("hubspot", typ) {
			t.Errorf("%s: reserved %v, and hubspot may derive it %v", typ, Reserved(typ), MayDerive("hubspot", typ))
		}
	}
}

func TestSeal_HoldsForItsPurposeAndPartsOnly(t *testing.T) {
	k := NewKeyring()
	parts := [][]byte{[]byte("ab"), []byte("c"), nil}
	seal := k.Seal("one", parts...)
	if !k.Sealed(seal, "one", parts...) {
		t.Fatal("its own seal does not hold")
	}
	other := NewKeyring()
	e := &Event{TenantID: "ab", ID: "c", Type: "lead.created"}
	k.Sign(e)
	for name, holds := range map[string]bool{
		"another purpose":    k.Sealed(seal, "two", parts...),
		"parts moved":        k.Sealed(seal, "one", []byte("a"), []byte("bc"), nil),
		"a part less":        k.Sealed(seal, "one", parts[:2]...),
		"another part":       k.Sealed(seal, "one", []byte("ab"), []byte("d"), nil),
		"another engine":     other.Sealed(seal, "one", parts...),
		"no seal":            k.Sealed("", "one", parts...),
		"not base64":         k.Sealed("v1,k1,???", "one", parts...),
		"another version":    k.Sealed("v2"+seal[2:], "one", parts...),
		"an event signature": k.Sealed(e.Signature, "one", parts...),
	} {
		if holds {
			t.Errorf("%s: the seal holds", name)
		}
	}
	if k.Knows("v1,k9,AAAA") || !k.Knows(seal) || !k.Knows("") || !k.Knows("garbage") || !k.Knows("v1,NOT A KEY,") {
		t.Error("only a seal of a key that is missing is unknown")
	}
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeyring(b)
	if err != nil || !again.Sealed(seal, "one", parts...) {
		t.Errorf("another process with the same keys: %v", err)
	}
}
