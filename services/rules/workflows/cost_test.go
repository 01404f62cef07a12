package workflows

import (
	"errors"
	"fmt"
	"testing"

	"github.com/neuronx/engine/services/rules/ruleset"
)

func TestReads_EndsWhenReadingAheadCostsMoreThanABatchWaitsFor(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: 'data.lead_id + string(size(lists.range(20).filter(i, lists.range(20).exists(j, j == i + 1000))))'}
do: [pause: {wait: {for: P1D}}]`))
	var run []Input
	for i := range 100 {
		w.record(w.event("lead.created", map[string]any{"lead_id": fmt.Sprint(i)}))
		r := w.log[len(w.log)-1]
		run = append(run, Input{Event: r, Data: w.data(&r)})
	}
	reads, err := w.fold.Reads(t.Context(), run)
	if err != nil || len(reads.Keys) == 0 || len(reads.Keys) == len(run) {
		t.Errorf("reads %d keys of %d events ahead (%v), want a part", len(reads.Keys), len(run), err)
	}
	if cost := w.fold.Take().Cost; cost != 0 {
		t.Errorf("reading ahead counts as %d units of the event", cost)
	}
	out, err := w.fold.Apply(t.Context(), run[99])
	if err != nil || out.Started != 1 {
		t.Errorf("%d started, %v: what was not read ahead starts all the same", out.Started, err)
	}
}

// hearing is what hears one event, however many instances there are.
const hearing = `
start: {on: [lead.created], key: data.lead_id}
until: {over: {on: [lead.lost], correlate: {from: data.reason, expect: '"all"'}, status: cancelled}}
do: [pause: {wait: {for: P1D}}]
`

func TestWithin_TakesAnEventBackThatMovesMoreThanABatchWaitsFor(t *testing.T) {
	w := newRig(t, workflow("w", hearing))
	for i := range 30 {
		w.lead(fmt.Sprint(i))
	}
	before := string(w.bytes())
	w.record(w.event("lead.lost", map[string]any{"lead_id": "x", "reason": "all"}))
	r := w.log[len(w.log)-1]
	in := Input{Event: r, Data: w.data(&r)}
	w.fold.Within(2_000)
	if out, err := w.fold.Apply(t.Context(), in); !errors.Is(err, ErrDear) || out.Moved > 0 {
		t.Errorf("%d moved, %v: 30 instances do not within 2,000 units", out.Moved, err)
	}
	w.log = w.log[:len(w.log)-1]
	if string(w.bytes()) != before {
		t.Error("what was begun left something")
	}
	w.fold.Within(0)
	if out, err := w.fold.Apply(t.Context(), in); err != nil || out.Ended != 30 {
		t.Errorf("%d ended, %v: without a bound all 30 do", out.Ended, err)
	}
}

func TestApply_CountsTheMembersOfAPool(t *testing.T) {
	rows := ""
	for i := range 1_000 {
		rows += fmt.Sprintf("  - {rep: r%d}\n", i)
	}
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
do: [route: {assign: {pool: team, as: owner}}]`), ruleset.File{Name: "team.yaml", Text: `apiVersion: neuronx/v1
kind: Lookup
metadata: {name: team}
spec:
  key: rep
  columns: {rep: string}
  rows:
` + rows + `  pool: {release: {on: [lead.lost], key: data.lead_id}}
`})
	if out := w.lead("7"); out.Started != 1 || out.Cost < 1_000 {
		t.Errorf("started %d for %d units: a pool of 1,000 members is read", out.Started, out.Cost)
	}
}

// What an instance waits for is worked out each time that it is written, by activations and by merges: expressions that no activation asks cost as much.
func TestWithin_CountsWhatItCostsToKnowWhatAnInstanceWaitsFor(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.created], key: data.lead_id}
until: {over: {on: [lead.lost], correlate: {from: data.reason, expect: 'string(size(lists.range(60).filter(i, lists.range(60).exists(j, j == i + 1000))))'}, status: cancelled}}
do: [pause: {wait: {for: P1D}}]
`))
	if out := w.lead("7"); out.Cost < 10_000 {
		t.Errorf("the start cost %d units, without what the instance waits for", out.Cost)
	}
	w.record(w.event("subject.merged", map[string]any{"from": "lead/7", "into": "lead/9"}))
	r := w.log[len(w.log)-1]
	w.fold.Within(5_000)
	if out, err := w.fold.Apply(t.Context(), Input{Event: r, Data: w.data(&r)}); !errors.Is(err, ErrDear) {
		t.Errorf("a merge that writes the instance again cost %d units (%v), and 5,000 were allowed", out.Cost, err)
	}
}

// The conditions of a policy's grants are asked of each event of their types, also where no workflow hears it.
func TestWithin_CountsWhatTheGrantsOfAPolicyCost(t *testing.T) {
	w := newRig(t, workflow("w", `
start: {on: [lead.converted], key: data.lead_id}
do: [pause: {wait: {for: P1D}}]
`), ruleset.File{Name: "p.yaml", Text: `apiVersion: neuronx/v1
kind: ContactPolicy
metadata: {name: p}
spec:
  grants: [{on: lead.created, channel: sms, basis: form, when: 'lists.range(60).exists(i, lists.range(60).exists(j, j == i + 1000))'}]
`})
	if out := w.lead("7"); out.Cost < 10_000 {
		t.Errorf("an event that a dear grant hears cost %d units", out.Cost)
	}
}
