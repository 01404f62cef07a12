package workflows

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func manyOf(n int, key string) (files []ruleset.File) {
	for i := range n {
		files = append(files, workflow(fmt.Sprintf("w-%02d", i), "start: {on: [lead.created], key: "+key+"}\nuntil: {gone: {on: [lead.lost], status: cancelled}}\ndo:\n  - pause: {wait: {for: P30D}}"))
	}
	return files
}

// Texts that ask the same of an event are asked once, and an event costs what asking each would have cost.
func TestHear_AsksOnceWhatManyTextsAsk(t *testing.T) {
	costs := map[int]uint64{}
	for _, n := range []int{1, 30} {
		w := newRig(t, manyOf(n, "data.lead_id")...)
		w.lead("7")
		list, err := w.fold.questions(t.Context(), "lead.lost")
		if err != nil || len(list) != 1 || list[0].texts != n {
			t.Fatalf("%d workflows ask %v (%v)", n, list, err)
		}
		costs[n] = lost(w, "8").Cost // which is not the lead of an instance
		if out := lost(w, "7"); out.Ended != n {
			t.Errorf("%d of %d instances have ended", out.Ended, n)
		}
	}
	if costs[1] == 0 || costs[30] != 30*costs[1] {
		t.Errorf("an event that instances hear costs %v by the number of texts", costs)
	}
}

func TestHear_AsksAgainWhenOtherTextsRun(t *testing.T) {
	w := newRig(t, manyOf(2, "data.lead_id")...)
	asked := func(typ string) (n int) {
		list, err := w.fold.questions(t.Context(), typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range list {
			n += q.texts
		}
		return n
	}
	if n := asked("lead.lost"); n != 0 {
		t.Errorf("%d texts hear it without an instance", n)
	}
	w.lead("7")
	if n := asked("lead.lost"); n != 2 {
		t.Errorf("%d texts hear it, not 2", n)
	}
	w.publish(manyOf(3, `'"x" + data.lead_id'`)...)
	w.lead("8")
	if n := asked("lead.lost"); n != 5 {
		t.Errorf("%d texts of two bundles hear it, not 5", n)
	}
	lost(w, "7")
	if n := asked("lead.lost"); n != 3 {
		t.Errorf("%d texts hear it after the instances of the first bundle have ended, not 3", n)
	}
}

func TestNeedsData_IsForWhatAsksForIt(t *testing.T) {
	files := append(manyOf(1, "data.lead_id"), example(t, "office.yaml", "sales-team.yaml")...)
	files = append(files, ruleset.File{Name: "p.yaml", Text: "apiVersion: neuronx/v1\nkind: ContactPolicy\nmetadata: {name: p}\nspec:\n  grants: [{on: appointment.booked, channel: sms, basis: form}]\n"})
	w := newRig(t, files...)
	needs := func(typ string) bool {
		t.Helper()
		needs, err := w.fold.NeedsData(t.Context(), &event.Recorded{Event: event.Event{Type: typ}})
		if err != nil {
			t.Fatal(err)
		}
		return needs
	}
	for _, typ := range []string{"lead.created", "lead.converted", "appointment.booked", "consent.changed", "rules.published", "engine.rule.reset", "engine.effect.recorded", "workflow.cancel.requested", "subject.merged",
		"timer.fired", "crm.note.add.succeeded", "crm.note.add.failed"} {
		if !needs(typ) {
			t.Errorf("%s is folded without its data", typ)
		}
	}
	for _, typ := range []string{"lead.scored", "crm.note.add.requested", "activity.recorded", "tenant.suspended"} {
		if needs(typ) {
			t.Errorf("%s is decoded, and nobody hears it", typ)
		}
	}
	w.store.PutNamed(KindPause, "", []byte(`["w-00"]`))
	if !needs("lead.scored") {
		t.Error("an event that resumes instances is folded without its data")
	}
	w = newRig(t, manyOf(1, "data.lead_id")...)
	if needs("lead.lost") {
		t.Error("lead.lost is decoded before an instance hears it")
	}
	w.lead("7")
	if !needs("lead.lost") {
		t.Error("lead.lost is folded without its data although an instance hears it")
	}
}
