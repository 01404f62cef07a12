package workflows

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const pausing = `
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do: [pause: {wait: {for: P30D}}]`

func TestMerge_LaterEventsOfOneAreHeardByTheInstanceOfTheOther(t *testing.T) {
	for name, c := range map[string]struct {
		starts string
		say    func(w *rig)
		want   string
	}{
		"the other's instance, the merged one's event": {"9", func(w *rig) { lost(w, "7") }, "w/9:cancelled gone"},
		"the merged one's instance, the other's event": {"7", func(w *rig) { lost(w, "9") }, "w/9:cancelled gone"},
		"the merged one's instance, its own event":     {"7", func(w *rig) { lost(w, "7") }, "w/9:cancelled gone"},
		"through a third":                       {"7", func(w *rig) { w.merge("lead/9", "lead/11"); lost(w, "11") }, "w/11:cancelled gone"},
		"a stranger's event":                    {"7", func(w *rig) { lost(w, "8") }, "w/9:waiting"},
		"a start of the merged one":             {"9", func(w *rig) { w.lead("7") }, "w/9:waiting"},
		"a start of the other":                  {"7", func(w *rig) { w.lead("9") }, "w/9:waiting"},
		"taken back, the other's event":         {"7", func(w *rig) { w.unmerge("lead/7", "lead/9"); lost(w, "9") }, "w/7:waiting"},
		"taken back, its own event":             {"7", func(w *rig) { w.unmerge("lead/7", "lead/9"); lost(w, "7") }, "w/7:cancelled gone"},
		"taken back, the merged one's event":    {"9", func(w *rig) { w.unmerge("lead/7", "lead/9"); lost(w, "7") }, "w/9:waiting"},
		"taken back, a start of the merged one": {"9", func(w *rig) { w.unmerge("lead/7", "lead/9"); w.lead("7") }, "w/9:waiting, w/7:waiting"},
	} {
		w := newRig(t, workflow("w", pausing))
		w.lead(c.starts)
		w.later(time.Minute)
		w.merge("lead/7", "lead/9")
		w.later(time.Minute)
		c.say(w)
		if got := w.statuses(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func sorted(list string) string {
	all := strings.Split(list, ", ")
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestMerge_KeepsTheEldestInstanceOfAWorkflowAndOfAGroup(t *testing.T) {
	group := "\nconcurrency: {group: outreach, on_conflict: refuse}"
	two := strings.Replace(pausing, "lead.created", "lead.scored", 1)
	w := newRig(t, workflow("a", pausing), workflow("b", pausing+group), workflow("c", two+group))
	w.lead("7")
	w.later(time.Hour)
	scored(w, "9")
	w.lead("8")
	n := len(w.log)
	out := w.merge("lead/7", "lead/9")
	w.is(w.since(n), "workflow.cancelled:merged")
	w.is(sorted(w.statuses()), "a/8:waiting, a/9:waiting, b/8:waiting, b/9:waiting, c/9:cancelled merged")
	if e, merged, _ := w.store.Alias(t.Context(), "lead/7"); out.Merged != 1 || !merged || len(e.Joined.Ended) != 1 || fmt.Sprint(e.Joined.Starts) != "[a b]" {
		t.Errorf("the edge keeps %+v", e)
	}
	if timers := w.store.Timers(); len(timers) != 8 {
		t.Errorf("%d timers are armed, want those of four instances and their deadlines", len(timers))
	}
	w.unmerge("lead/7", "lead/9")
	w.is(sorted(w.statuses()), "a/7:waiting, a/8:waiting, b/7:waiting, b/8:waiting, c/9:cancelled merged")
}

// What both started counts, and neither a key that has the same letters nor an unmerge changes what another subject has.
func TestMerge_CountsTheStartsOfBoth(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created, lead.scored], key: data.lead_id, reentry: {policy: once}}
do: [note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"x"'}}}]`),
		workflow("v", `
start: {on: [opportunity.created], key: data.opportunity_id, reentry: {policy: once}}
do: [note: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"x"'}}}]`))
	w.lead("7")
	w.send("opportunity.created", map[string]any{"opportunity_id": "7", "lead_id": "3"})
	w.merge("lead/7", "lead/9")
	n := len(w.log)
	scored(w, "9")
	w.is(w.since(n), "workflow.rejected:reentry")
	n = len(w.log)
	w.send("opportunity.created", map[string]any{"opportunity_id": "9", "lead_id": "3"})
	w.is(w.since(n), "note.add workflow.completed:end")
}

func TestMerge_ReachesNobodyWhomEitherForbade(t *testing.T) {
	text := workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do:
  - pause: {wait: {for: PT1H}}
  - send: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hi"'}}}`)
	for name, c := range map[string]struct {
		seven, nine func(w *rig)
		then        func(w *rig)
		starts      string
		to          string // whom a message reached; empty: nobody
	}{
		"both agreed":                       {func(w *rig) { w.consent("7", "sms", true) }, func(w *rig) { w.consent("9", "sms", true) }, nil, "7", "lead/9"},
		"the merged one alone agreed":       {func(w *rig) { w.consent("7", "sms", true) }, func(*rig) {}, nil, "7", ""},
		"the merged one revoked":            {func(w *rig) { w.consent("7", "sms", false) }, func(w *rig) { w.consent("9", "sms", true) }, nil, "9", ""},
		"the other revoked":                 {func(w *rig) { w.consent("7", "sms", true) }, func(w *rig) { w.consent("9", "sms", false) }, nil, "7", ""},
		"the merged one revokes afterwards": {func(w *rig) {}, func(w *rig) { w.consent("9", "sms", true) }, func(w *rig) { w.consent("7", "sms", false) }, "9", ""},
		"taken back":                        {func(w *rig) { w.consent("7", "sms", true) }, func(w *rig) {}, func(w *rig) { w.unmerge("lead/7", "lead/9") }, "7", "lead/7"},
		"taken back, the revocation stays":  {func(w *rig) { w.consent("7", "sms", false) }, func(w *rig) { w.consent("9", "sms", true) }, func(w *rig) { w.unmerge("lead/7", "lead/9") }, "9", ""},
	} {
		w := newRig(t, text)
		c.seven(w)
		c.nine(w)
		w.lead(c.starts)
		w.later(time.Minute)
		w.merge("lead/7", "lead/9")
		if c.then != nil {
			w.later(time.Minute)
			c.then(w)
		}
		n := len(w.log)
		w.later(2 * time.Hour)
		to := ""
		for i := range w.log[n:] {
			if r := &w.log[n+i]; r.Type == "crm.message.send.requested" {
				if to = r.Subject; "lead/"+w.data(r)["lead_id"].(string) != to {
					t.Errorf("%s: a message of %s names the lead %v", name, to, w.data(r)["lead_id"])
				}
			}
		}
		if to != c.to {
			t.Errorf("%s: a message reaches %q, want %q", name, to, c.to)
		}
	}
}

func TestMerge_CountsTheMessagesOfBothAgainstACap(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.scored], key: data.lead_id, reentry: {policy: concurrent}}
do: [send: {emit: {type: crm.message.send.requested, data: {channel: '"sms"', body: '"hi"'}}}]`),
		ruleset.File{Name: "p.yaml", Text: "apiVersion: neuronx/v1\nkind: ContactPolicy\nmetadata: {name: p}\nspec:\n  caps: [{channel: sms, most: 1, per: PT2H, over: skip}]\n"})
	for _, lead := range []string{"7", "9"} {
		w.consent(lead, "sms", true)
	}
	scored(w, "7")
	w.merge("lead/7", "lead/9")
	n := len(w.log)
	scored(w, "9")
	w.is(w.since(n), "workflow.completed:end")
	if c, err := w.fold.contact(t.Context(), "9"); err != nil || len(c.Sends["sms"]) != 1 {
		t.Errorf("the contact is %+v: %v", c, err)
	}
}

func TestMerge_TheClaimIsThatOfTheOther(t *testing.T) {
	assign := `
start: {on: [lead.created], key: data.lead_id}
do: [route: {assign: {pool: sales-team, as: owner, or: '"nobody"'}}]`
	claims := func(w *rig) string {
		return w.store.claims[Pair{"sales-team", "7"}].Member + "/" + w.store.claims[Pair{"sales-team", "9"}].Member
	}
	w := newRig(t, append(example(t, "office.yaml", "sales-team.yaml"), workflow("w", assign))...)
	w.now = monday.Add(4 * time.Hour)
	w.lead("7")
	w.is(claims(w), "ann/")
	w.merge("lead/7", "lead/9")
	w.is(claims(w), "/ann")
	w.send("lead.converted", map[string]any{"lead_id": "7"})
	w.is(claims(w), "/")
}

func TestMerge_IsRefusedWithItsReasonAndChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		typ, from, into, code string
	}{
		"itself":               {typeMerged, "lead/7", "lead/7", alias.Same},
		"again":                {typeMerged, "lead/1", "lead/2", alias.Same},
		"a circle":             {typeMerged, "lead/2", "lead/1", alias.Cycle},
		"a second target":      {typeMerged, "lead/1", "lead/3", alias.MergedOnce},
		"another kind":         {typeMerged, "lead/7", "opportunity/7", alias.OtherKind},
		"no subject":           {typeMerged, "7", "lead/9", alias.Malformed},
		"no text of a subject": {typeMerged, "lead/\x01", "lead/9", alias.Malformed},
		"no merge":             {typeUnmerged, "lead/7", "lead/9", alias.NotMerged},
		"another merge":        {typeUnmerged, "lead/1", "lead/9", alias.OtherTarget},
	} {
		w := newRig(t, workflow("w", pausing))
		w.merge("lead/1", "lead/2")
		w.lead("7")
		w.lead("9")
		before := w.bytes()
		n := len(w.log)
		out := w.send(c.typ, map[string]any{"from": c.from, "into": c.into}, func(e *event.Event) { e.Subject = "lead/7" })
		w.is(w.since(n), "workflow.verb.refused:"+c.code)
		last := w.log[len(w.log)-1]
		if out.Refused != 1 || out.Merged != 0 || last.Subject != "lead/7" || last.CausationID != w.log[n].ID || last.CheckAttributes() != nil {
			t.Errorf("%s: %+v, told as %+v", name, out, last.Event)
		}
		w.log = w.log[:n]
		if string(w.bytes()) != string(before) {
			t.Errorf("%s: something changed", name)
		}
	}
}

func TestMerge_ForgetsAPersonWhole(t *testing.T) {
	w := newRig(t, workflow("w", pausing), workflow("v", strings.Replace(pausing, "lead.created", "lead.scored", 1)))
	w.lead("7")
	w.merge("lead/7", "lead/9")
	w.later(time.Minute)
	scored(w, "7")
	w.later(time.Minute)
	w.lead("8")
	w.record(event.Event{ID: "erase", Source: "/test", Type: typeErased, Subject: "lead/7"})
	if _, err := w.fold.Apply(t.Context(), Input{Event: w.log[len(w.log)-1]}); err != nil {
		t.Fatal(err)
	}
	w.is(w.statuses(), "w/9:cancelled erased, v/9:cancelled erased, w/8:waiting")
	for _, r := range w.store.Instances() {
		if in, _ := advance.Decode(r.State, r.Personal); in.Status.Ended() && len(in.Vars)+len(r.Personal) > 0 {
			t.Errorf("%s keeps %v", r.ID, in.Vars)
		}
	}
}

// An event may be about a subject that is neither an instance's key nor whom it reaches, and that its text spells out.
func TestMerge_WhatATextExpectsIsFoundAgain(t *testing.T) {
	text := workflow("w", `
start: {on: [opportunity.created], key: data.opportunity_id, contact: '"5"', set: {lead: data.lead_id}}
until: {gone: {on: [lead.lost], correlate: {from: '"lead/" + data.lead_id', expect: '"lead/" + vars.lead'}, status: cancelled}}
do: [pause: {wait: {for: P30D}}]`)
	start := func(w *rig) { w.send("opportunity.created", map[string]any{"opportunity_id": "1", "lead_id": "7"}) }
	merge := func(w *rig) { w.merge("lead/7", "lead/9") }
	unmerge := func(w *rig) { w.unmerge("lead/7", "lead/9") }
	for name, c := range map[string]struct {
		do   []func(w *rig)
		lost string
		want string
	}{
		"merged, the other's event":                  {[]func(w *rig){start, merge}, "9", "w/1:cancelled gone"},
		"merged, its own event":                      {[]func(w *rig){start, merge}, "7", "w/1:cancelled gone"},
		"merged before the start":                    {[]func(w *rig){merge, start}, "9", "w/1:cancelled gone"},
		"taken back, its own event":                  {[]func(w *rig){start, merge, unmerge}, "7", "w/1:cancelled gone"},
		"taken back, the other's event":              {[]func(w *rig){start, merge, unmerge}, "9", "w/1:waiting"},
		"started between, taken back, its own event": {[]func(w *rig){merge, start, unmerge}, "7", "w/1:cancelled gone"},
		"started between, taken back, the other's":   {[]func(w *rig){merge, start, unmerge}, "9", "w/1:waiting"},
		"a stranger's event":                         {[]func(w *rig){start, merge}, "8", "w/1:waiting"},
	} {
		w := newRig(t, text)
		for _, do := range c.do {
			do(w)
			w.later(time.Minute)
		}
		lost(w, c.lost)
		if got := w.statuses(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
