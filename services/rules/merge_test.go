package rules

import (
	"errors"
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
)

var waits = ruleset.File{Name: "waits.yaml", Text: `apiVersion: neuronx/v1
kind: Workflow
metadata: {name: waits}
spec:
  start: {on: [lead.created], key: data.lead_id}
  until: {gone: {on: [lead.lost], status: cancelled}}
  do: [pause: {wait: {for: P1D}}]
`}

func (b *bench) merged(tenant, from, into string) event.Recorded {
	b.Helper()
	return b.recorded(tenant, "subject.merged", from, map[string]any{"from": from, "into": into})
}

// text is what a query gives.
func (b *bench) text(sql string) string {
	b.Helper()
	var out string
	if err := b.pool.QueryRow(b.Context(), `SELECT coalesce(string_agg(t, ', ' ORDER BY t), '') FROM (`+sql+`) AS x(t)`).Scan(&out); err != nil {
		b.Fatal(err)
	}
	return out
}

const (
	statesNow    = `SELECT subject || ' ' || (state->>'n') FROM neuronx.rule_state`
	aliasesNow   = `SELECT subject || ' is ' || into_subject FROM neuronx.subject_aliases`
	instancesNow = `SELECT key || ' ' || status FROM neuronx.workflow_instances`
)

// What is about a merged lead is about the other: in one batch, in many, and after one that was rolled back.
func TestMerge_RulesAndWorkflowsGoByTheOtherSubject(t *testing.T) {
	counts := ruleFile("counts", "on: [lead.updated]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")
	for _, cut := range []bool{false, true} {
		b := newBench(t)
		h := b.handler()
		h.partitions = 12
		events := []event.Recorded{
			b.published("a", 1, counts, waits),
			b.recorded("a", "lead.created", "lead/7", lead("7")),
			b.recorded("a", "lead.updated", "lead/7", lead("7")),
			b.recorded("a", "lead.updated", "lead/9", lead("9")),
			b.merged("a", "lead/7", "lead/9"),
			b.recorded("a", "lead.updated", "lead/7", lead("7")),
			b.recorded("a", "lead.updated", "lead/7", lead("7")),
			b.recorded("a", "lead.lost", "lead/9", lead("9")),
			b.recorded("a", "subject.unmerged", "lead/7", map[string]any{"from": "lead/7", "into": "lead/9"}),
			b.recorded("a", "lead.updated", "lead/7", lead("7")),
		}
		back := errors.New("rolled back")
		step := len(events)
		if cut {
			step = 1
		}
		for at := 0; at < len(events); at += step {
			run := runOf(events[at : at+step]...)
			b.apply(h, back, run)
			b.apply(h, nil, run)
			if cut && at == 4 {
				if got, want := b.text(aliasesNow)+"; "+b.text(instancesNow), "lead/7 is lead/9; 9 waiting"; got != want {
					t.Errorf("after the merge: %s, want %s", got, want)
				}
			}
		}
		got := fmt.Sprint(b.text(statesNow), "; ", b.text(aliasesNow), "; ", b.text(instancesNow))
		if want := "lead/7 2, lead/9 3; ; 9 cancelled"; got != want {
			t.Errorf("cut %v: %s, want %s", cut, got, want)
		}
	}
}

// Rules of a bundle of before know of no merge; the edge is kept for the workflows that come.
func TestMerge_RulesOfBeforeGoOnByTheSubjectOfTheEvent(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	h.partitions = 12
	counts := ruleFile("counts", "on: [lead.updated]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")
	b.apply(h, nil, runOf(
		b.merged("a", "lead/5", "lead/6"),
		b.published("a", 1, counts),
		b.merged("a", "lead/7", "lead/9"),
		b.merged("a", "lead/9", "lead/7"),
		b.recorded("a", "lead.updated", "lead/7", lead("7")),
	))
	b.apply(h, nil, runOf(
		b.published("a", 2, counts, waits),
		b.recorded("a", "lead.updated", "lead/7", lead("7")),
		b.recorded("a", "lead.created", "lead/5", lead("5")),
	))
	got := fmt.Sprint(b.text(statesNow), "; ", b.text(aliasesNow), "; ", b.text(instancesNow))
	if want := "lead/7 1, lead/9 1; lead/5 is lead/6, lead/7 is lead/9; 6 waiting"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var refused int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.outbox WHERE encode(record, 'escape') LIKE '%workflow.verb.refused%'`).Scan(&refused); err != nil || refused != 1 {
		t.Errorf("%d merges are told as refused (%v), want the one that is a circle", refused, err)
	}
}
