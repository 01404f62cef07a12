package simulate

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/ruleset"
)

func kind(kind, name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n" + indented(spec)}
}

// What starts on an event assigns before rules do: TestAssign_RulesAndWorkflowsShareTurnsAndClaims of package rules has the same of the service.
func TestRun_RulesAndWorkflowsShareAPoolAsInTheService(t *testing.T) {
	bundle := []ruleset.File{
		kind("Lookup", "team", "key: rep\ncolumns: {rep: string, weight: int}\nrows: [{rep: ann, weight: 2}, {rep: bob, weight: 1}]\npool: {weight: weight}"),
		kind("Workflow", "chase", "start: {on: [lead.created], key: data.lead_id}\ndo:\n  - route: {assign: {pool: team, as: owner}}\n  - own: {emit: {type: lead.assigned, data: {lead_id: instance.key, owner_id: vars.owner}}}"),
		rule("second", "on: [lead.created]\nkey: '\"second \" + data.lead_id'\nassign: {pool: team, as: owner}\nwindows: {new: {on: [lead.created], over: P1D}}\nset: {second: vars.owner, new: windows.new.count}"),
	}
	const spec = `
start: 2026-03-06T10:00:00Z
steps:
  - event: {type: lead.created, data: {lead_id: "1"}}
    expect: [{type: lead.assigned, data: {owner_id: ann}}]
    state: {subject: lead/1, values: {second: bob, new: 1}}
  - advance: PT20H
  - event: {type: lead.created, data: {lead_id: "1"}}
    state: {subject: lead/1, values: {second: bob, new: 2}}
  - advance: PT5H
  - event: {type: lead.created, data: {lead_id: "1"}}
    state: {subject: lead/1, values: {new: 2}}`
	if got := lines(tried(t, spec, bundle...)); got != "" {
		t.Error(got)
	}
	if got := lines(tried(t, strings.Replace(spec, "second: bob, new: 1", "second: ann, new: 1", 1), bundle...)); !strings.Contains(got, "second") {
		t.Errorf("another member is not told: %s", got)
	}
}
