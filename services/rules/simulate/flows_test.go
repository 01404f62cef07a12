package simulate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func read(t *testing.T, paths ...string) (out []ruleset.File) {
	t.Helper()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ruleset.File{Name: filepath.Base(path), Text: string(text)})
	}
	return out
}

// simulated runs tests over a bundle with workflows.
func simulated(t *testing.T, tests []ruleset.File, bundle ...ruleset.File) Report {
	t.Helper()
	reg := schemas(t)
	problems, err := ruleset.Validate(t.Context(), bundle, reg)
	if err != nil || problems.Err() != nil {
		t.Fatal(err, problems)
	}
	read, problems, err := Read(t.Context(), tests, nil, reg)
	if err != nil || problems.Err() != nil {
		t.Fatal(err, problems)
	}
	report, err := Run(t.Context(), read, bundle, reg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

var speedToLead = []string{"../flow/testdata/speed-to-lead.yaml", "../flow/testdata/office.yaml", "../flow/testdata/sales-team.yaml"}

func TestRun_PassesTheTestOfAWorkflow(t *testing.T) {
	tests := read(t, "testdata/speed-to-lead_test.yaml")
	report := simulated(t, tests, read(t, speedToLead...)...)
	if text := lines(report); text != "" || len(report.Tests) != 1 {
		t.Fatal(text)
	}
	c := report.Workflows[0]
	if c.Workflow != "speed-to-lead" || c.Started != 1 || !strings.HasPrefix(c.Missing(), "never ran: ") || !strings.Contains(c.Missing(), "breach") || strings.Contains(c.Missing(), "route") {
		t.Errorf("%+v: %s", c, c.Missing())
	}
}

func TestRun_SaysWhatAWorkflowDoesOtherwise(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"another owner":       {"{owner_id: ann}}\n        -", "{owner_id: bob}}\n        -", `other values: lead.assigned about lead/7, from workflow speed-to-lead`},
		"sooner":              {"10:02:59", "10:03:01", "not expected: crm.task.add.requested about lead/7, from workflow speed-to-lead"},
		"another end":         {"status: completed, outcome: contacted", "status: cancelled, outcome: closed", "instance of speed-to-lead for 7\n    status: expected cancelled, got completed\n    outcome: expected \"closed\", got \"contacted\""},
		"timers":              {"timers: 0", "timers: 2", "timers: expected 2, got 0"},
		"no consent":          {"granted: true", "granted: false", "missing: crm.message.send.requested"},
		"no such workflow":    {"workflow: speed-to-lead", "workflow: speed", `the bundle has no workflow "speed"`},
		"it failed":           {"result: succeeded}", "result: failed}, expect: []", "not expected: crm.note.add.requested"},
		"nobody is there":     {`key: "7"`, `key: "8"`, "status: expected completed, got none"},
		"it never came":       {"result: succeeded}}\n    - {advance_to: 2026-03-07T10:02:59-05:00, expect: []}", "result: none}}\n    - {advance_to: 2026-03-07T10:02:59-05:00, expect: [{type: lead.lost}]}", "not expected: crm.note.add.requested"},
		"lifecycle, if asked": {"channel: sms, lead_id: \"7\"}}", "channel: sms, lead_id: \"7\"}}\n        - {type: workflow.started, data: {trigger_type: lead.lost}}", `trigger_type: expected "lead.lost", got "lead.created"`},
	} {
		tests := read(t, "testdata/speed-to-lead_test.yaml")
		text := strings.Replace(tests[0].Text, c.from, c.to, 1)
		if text == tests[0].Text {
			t.Fatalf("%s: nothing was replaced", name)
		}
		tests[0].Text = text
		if got := lines(simulated(t, tests, read(t, speedToLead...)...)); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func flowOf(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: " + name + "}\nspec:\n" + indented(spec)}
}

// A call whose outcome no step gives has succeeded when the clock moves.
func TestRun_LetsCallsSucceedUnlessTold(t *testing.T) {
	bundle := flowOf("w", `
start: {on: [lead.created], key: data.lead_id}
do:
  - note: {call: crm.note.add, with: {lead_id: instance.key, body: '"x"'}, timeout: {after: PT2H, then: late}}
  - done: {then: end, emit: {type: lead.contacted, data: {lead_id: instance.key}}}
  - late: {emit: {type: lead.lost, data: {lead_id: instance.key}}}`)
	rule := rule("r", `
on: [lead.contacted]
emit: [{type: lead.qualified, data: {lead_id: data.lead_id}}]`)
	for name, c := range map[string]struct{ outcome, want string }{
		"not told":  {"", "{type: lead.contacted}, {type: lead.qualified}"},
		"succeeded": {"- {outcome: {of: crm.note.add, result: succeeded}, expect: [{type: lead.contacted}, {type: lead.qualified}]}", ""},
		"none":      {"- {outcome: {of: crm.note.add, result: none}}", "{type: lead.lost}"},
	} {
		spec := `
start: 2026-03-06T17:28:00Z
steps:
  - {event: {type: lead.created, data: {lead_id: "7"}}, expect: [{type: crm.note.add.requested}], instance: {workflow: w, key: "7", status: waiting, timers: 2}}
  ` + c.outcome + `
  - {advance: PT3H, expect: [` + c.want + `], instance: [{workflow: w, key: "7", status: completed, outcome: end}, {workflow: w, key: "8", status: none}]}`
		report := simulated(t, []ruleset.File{testFile("one", spec)}, bundle, rule)
		if got := lines(report); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestRun_TellsIncidents(t *testing.T) {
	bundle := flowOf("w", "start: {on: [lead.created], key: data.lead_id}\ndo: [x: {set: {n: 1 / (size(instance.key) - 1)}}]")
	spec := "start: 2026-03-06T17:28:00Z\nsteps: [{event: {type: lead.created, data: {lead_id: \"7\"}}, expect: []}]"
	report := simulated(t, []ruleset.File{testFile("one", spec)}, bundle)
	if got := lines(report); !strings.Contains(got, "workflow w failed: x: expression/") {
		t.Error(got)
	}
	if c := report.Workflows[0].Tasks[0]; c.Failed != 1 || c.Ran != 0 {
		t.Errorf("%+v", c)
	}
	spec = strings.Replace(spec, "expect: []", `expect: [{type: workflow.incident.raised}], instance: {workflow: w, key: "7", status: incident}`, 1)
	if got := lines(simulated(t, []ruleset.File{testFile("one", spec)}, bundle)); got != "" {
		t.Error(got)
	}
}

func TestRead_RefusesWhatNoInstanceIs(t *testing.T) {
	reg := schemas(t)
	for instance, want := range map[string]string{
		`{workflow: w, key: "7", status: running}`:         "unknown_value",
		`{workflow: w, key: "7"}`:                          "empty",
		`{workflow: w, key: "7", timers: -1}`:              "wrong_kind",
		`{workflow: w, key: "7", timers: "1"}`:             "wrong_kind",
		`{workflow: w, key: "7", status: none, timers: 1}`: "no_effect",
		`{key: "7", status: waiting}`:                      "missing_key",
		`{workflow: w, key: "7", state: waiting}`:          "unknown_key",
		`[]`: "empty",
	} {
		_, problems, err := Read(t.Context(), []ruleset.File{testFile("one", "start: 2026-03-06T17:28:00Z\nsteps: [{instance: "+instance+"}]")}, nil, reg)
		if err != nil || len(problems) == 0 || !slices.ContainsFunc(problems, func(p rulefile.Problem) bool { return p.Code == want }) {
			t.Errorf("%s: %v %v", instance, err, problems)
		}
	}
}

func TestRun_MergesSubjects(t *testing.T) {
	counts := rule("counts", "on: [lead.updated]\nset: {n: 'has(state.n) ? state.n + 1 : 1'}")
	waits := ruleset.File{Name: "waits.yaml", Text: "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: waits}\nspec:\n" + indented(`
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do: [pause: {wait: {for: P1D}}]`)}
	text := lines(simulated(t, []ruleset.File{testFile("merge", `
start: 2026-03-06T17:28:00-05:00
steps:
  - event: {type: lead.created, data: {lead_id: "7"}}
  - event: {type: lead.updated, data: {lead_id: "9"}}
  - event: {type: subject.merged, subject: lead/7, data: {from: lead/7, into: lead/9}}
  - event: {type: lead.updated, data: {lead_id: "7"}}
    state: {subject: lead/9, values: {n: 2}}
  - event: {type: lead.lost, data: {lead_id: "9"}}
    instance: {workflow: waits, key: "9", status: cancelled, outcome: gone}
`)}, counts, waits))
	if text != "" {
		t.Error(text)
	}
}

// The first event of a test is at sequence 2, behind the rules, and has the id test-1.
func TestRun_StartsAWorkflowOnTheEventThatAPersonNames(t *testing.T) {
	waits := ruleset.File{Name: "waits.yaml", Text: "apiVersion: neuronx/v1\nkind: Workflow\nmetadata: {name: waits}\nspec:\n" + indented(`
start: {on: [lead.created], key: data.lead_id}
until: {gone: {on: [lead.lost], status: cancelled}}
do:
  - pause: {wait: {for: P1D}}
  - tell: {emit: {type: crm.note.add.requested, data: {lead_id: instance.key, body: '"again"'}}}`)}
	text := lines(simulated(t, []ruleset.File{testFile("ask", `
start: 2026-03-06T17:28:00-05:00
steps:
  - event: {type: lead.created, data: {lead_id: "7"}}
  - event: {type: workflow.start.requested, data: {workflow: waits, key: "7", about: lead/7, trigger_sequence: 2, trigger_id: test-1}}
    expect: [{type: workflow.verb.refused, data: {code: reentry}}]
  - event: {type: lead.lost, data: {lead_id: "7"}}
  - event: {type: workflow.start.requested, data: {workflow: waits, key: "7", about: lead/7, trigger_sequence: 2, trigger_id: test-1}}
    expect: [{type: workflow.started, data: {trigger_type: lead.created, number: 2}}]
  - advance: PT25H
    expect: [{type: crm.note.add.requested, data: {body: again}}]
`)}, waits))
	if text != "" {
		t.Error(text)
	}
}
