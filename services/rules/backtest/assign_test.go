package backtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// Another weight gives leads to other people, and a longer window counts more: both are told before the rules are published.
func TestRun_TellsWhatAnotherWeightAndAnotherWindowChange(t *testing.T) {
	team := func(ann int) string {
		return fmt.Sprintf("key: rep\ncolumns: {rep: string, weight: int}\nrows:\n  - {rep: ann, weight: %d}\n  - {rep: bob, weight: 1}\npool: {weight: weight}", ann)
	}
	route := rule("route", `
on: [lead.created]
assign: {pool: team, as: owner}
emit:
  - type: lead.assigned
    data: {lead_id: data.lead_id, owner_id: vars.owner}`)
	often := func(over string) string {
		return "on: [lead.updated]\nwindows: {updates: {on: [lead.updated], over: " + over + "}}\nwhen: windows.updates.count >= 3\nemit:\n  - type: lead.qualified\n    data: {lead_id: data.lead_id}"
	}
	a := newArchive(t)
	for i := range 12 {
		a.add(day.Add(time.Duration(i)*time.Hour), "lead.created", map[string]any{"lead_id": fmt.Sprint(i)})
		a.add(day.Add(time.Duration(i)*time.Hour+time.Minute), "lead.updated", map[string]any{"lead_id": "0"})
	}
	r := with(t, a, Config{From: day, Against: Rules{Files: []ruleset.File{route, file("Lookup", "team", team(1)), rule("often", often("PT1H"))}},
		Candidate: Rules{Files: []ruleset.File{route, file("Lookup", "team", team(3)), rule("often", often("P1D"))}}})
	var got []Assignment
	for _, x := range r.Assignments {
		if x.Pool == "team" {
			got = append(got, x)
		}
	}
	if !slices.Equal(got, []Assignment{{"team", "ann", Pair{6, 9}}, {"team", "bob", Pair{6, 3}}}) {
		t.Errorf("%+v", got)
	}
	if d := counted(r, "route", "lead.assigned"); d.Same+d.Changed != 12 || d.Changed < 3 {
		t.Errorf("%+v", d)
	}
	if d := counted(r, "often", "lead.qualified"); d.Against != 0 || d.Candidate != 10 || len(r.Failures) > 0 {
		t.Errorf("%+v %+v", d, r.Failures)
	}
}
