package simulate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

const start = "start: 2026-03-02T09:00:00-05:00\n"

func TestRun_DerivedEventsComeBackInTheOrderOfTheLog(t *testing.T) {
	r := tried(t, start+`
steps:
  - event: {type: lead.created, data: {lead_id: "7", channel: referral}}
    expect:
      - {type: lead.scored, subject: lead/7, data: {score: 60, reason: channel referral}}
      - {type: lead.qualified, subject: lead/7}
      - {type: crm.note.add.requested, data: {body: score 60, not_after: 2026-03-03T14:00:00Z}}
    state: {subject: lead/7, values: {touches: 1, seen_at: 2026-03-02T09:00:00-05:00, nothing: null}}
  - event: {type: lead.created, data: {lead_id: "8"}}
    expect: [{type: lead.scored, data: {score: 10, reason: channel unknown}}]`, score, qualify)
	if out := lines(r); out != "" {
		t.Error(out)
	}
}

// The first event is judged with the clock before it was moved, the second with the clock after.
func TestRun_TheClockMovesByStepsAlone(t *testing.T) {
	r := tried(t, start+`
given: [{type: lead.created, data: {lead_id: "7"}}]
steps:
  - state: {subject: lead/7, values: {seen_at: 2026-03-02T14:00:00Z, touches: 1}}
  - {advance: P1DT2H, expect: []}
  - event: {type: lead.created, data: {lead_id: "7"}}
    state: {subject: lead/7, values: {seen_at: 2026-03-03T16:00:00Z, touches: 2}}
  - {advance_to: 2026-03-08T12:00:00-04:00}
  - event: {type: lead.created, data: {lead_id: "7"}}
    state: [{subject: lead/7, values: {seen_at: 2026-03-08T16:00:00Z}}, {subject: lead/8, values: {touches: null}}]`, score)
	if out := lines(r); out != "" {
		t.Error(out)
	}
}

func TestRun_ShowsWhatIsOtherFieldByField(t *testing.T) {
	for name, c := range map[string]struct{ step, want string }{
		"another value": {`expect: [{type: lead.scored, data: {score: 50, reason: null}}]`,
			"step 1, line 8: lead.created about lead/7\n  other values: lead.scored about lead/7, from rule score\n    score: expected 50, got 10\n    reason: expected null, got \"channel ads\""},
		"another subject": {`expect: [{type: lead.scored, subject: lead/8}]`,
			"step 1, line 8: lead.created about lead/7\n  other values: lead.scored about lead/7, from rule score\n    subject: expected \"lead/8\", got \"lead/7\""},
		"one too many": {`expect: []`,
			"step 1, line 8: lead.created about lead/7\n  not expected: lead.scored about lead/7, from rule score\n    lead_id: \"7\"\n    reason: \"channel ads\"\n    score: 10"},
		"one too few": {`expect: [{type: lead.lost, data: {reason: gone}}, {type: lead.scored}]`,
			"step 1, line 8: lead.created about lead/7\n  missing: lead.lost\n    reason: expected \"gone\""},
		"state": {`state: {subject: lead/7, values: {touches: 2, seen_at: null, list: [1]}}`,
			"step 1, line 10: lead.created about lead/7\n  state of lead/7\n    touches: expected 2, got 1\n    seen_at: expected null, got 2026-03-02T14:00:00Z\n    list: expected [1], got null"},
	} {
		r := tried(t, start+"steps:\n  - event: {type: lead.created, data: {lead_id: \"7\", channel: ads}}\n\n    "+c.step, score)
		if got := lines(r); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
}

func TestRun_OneEventTooManyLeavesTheOthersEqual(t *testing.T) {
	r := tried(t, start+`
steps:
  - event: {type: lead.created, data: {lead_id: "7", channel: referral}}
    expect: [{type: lead.qualified}, {type: crm.note.add.requested}]`, score, qualify)
	if got := lines(r); !strings.Contains(got, "not expected: lead.scored") || strings.Count(got, "expected:") != 1 || strings.Contains(got, "missing") {
		t.Error(got)
	}
}

func TestRun_AnOrderOtherThanExpectedFails(t *testing.T) {
	r := tried(t, start+`
steps:
  - event: {type: lead.created, data: {lead_id: "7", channel: referral}}
    expect: [{type: lead.scored}, {type: crm.note.add.requested}, {type: lead.qualified}]`, score, qualify)
	if r.Failed() != 1 {
		t.Error("the order was not compared")
	}
}

func TestRun_OutcomesAnswerTheOldestOpenCommand(t *testing.T) {
	const lead = "  - event: {type: lead.created, data: {lead_id: \"%s\", channel: referral}}\n"
	r := tried(t, start+"steps:\n"+fmt.Sprintf(lead, "7")+fmt.Sprintf(lead, "8")+`  - outcome: {of: crm.note.add, result: failed, data: {code: rejected}}
    expect: [{type: lead.contacted, subject: lead/7, data: {lead_id: "7"}}]
  - outcome: {of: crm.note.add, result: failed, data: {code: gone}}
    expect: []
  - outcome: {of: crm.note.add, result: succeeded}`, score, qualify, again)
	if got := lines(r); got != "step 5, line 14: crm.note.add.succeeded\n  no such command is open: none was derived, or each has its outcome already" {
		t.Error(got)
	}
	i := slices.IndexFunc(r.Rules, func(c Coverage) bool { return c.Rule == "again" })
	if c := r.Rules[i]; c.Fired != 1 || !c.Held || !c.Denied || c.Missing() != "" {
		t.Errorf("%+v", c)
	}
}

func TestRun_AFailedRuleIsShownUnlessItIsExpected(t *testing.T) {
	divides := rule("divides", `
on: [lead.created]
set: {x: '1 / size(data.lead_id.replace("7", ""))'}`)
	const fails = "  - event: {type: lead.created, data: {lead_id: \"7\"}}\n"
	expected := "    expect: [{type: engine.rule.failed, subject: rule/divides, data: {rule: divides, tripped: false}}]\n"
	for name, c := range map[string]struct {
		steps, want string
	}{
		"no word about it":     {fails + "    state: {subject: lead/7, values: {x: null}}\n", "rule divides failed: "},
		"nothing expected":     {fails + "    expect: []\n", "rule divides failed: "},
		"expected":             {fails + expected, ""},
		"told before":          {fails + expected + fails + "    expect: []\n", ""},
		"told before, unnamed": {fails + fails + "    expect: []\n", "step 2"},
	} {
		got := lines(tried(t, start+"steps:\n"+c.steps, divides))
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestRun_AFailureToldOnceMoreThanExpectedIsNotExpected(t *testing.T) {
	spread := rule("spread", `
on: [lead.created]
emit:
  - {type: lead.scored, subject: '"lead/1"', data: {lead_id: data.lead_id, score: "1"}}
  - {type: lead.scored, subject: '"lead/2"', data: {lead_id: data.lead_id, score: "2"}}`)
	broken := rule("broken", "on: [lead.scored]\nset: {x: 1 / 0}")
	r := tried(t, start+`
steps:
  - event: {type: lead.created, data: {lead_id: "7"}}
    expect: [{type: lead.scored}, {type: lead.scored}, {type: engine.rule.failed}]`, spread, broken)
	if got := lines(r); strings.Count(got, "not expected: engine.rule.failed about rule/broken") != 1 || strings.Contains(got, "rule broken failed") {
		t.Error(got)
	}
}

func TestRun_RulesThatAnswerEachOtherEndAsAStorm(t *testing.T) {
	ping := rule("ping", "on: [lead.updated]\nemit: [{type: lead.contacted, data: {lead_id: data.lead_id}}]")
	pong := rule("pong", "on: [lead.contacted]\nemit: [{type: lead.updated, data: {lead_id: data.lead_id}}]")
	r := tried(t, start+`
steps:
  - event: {type: lead.updated, data: {lead_id: "7"}}
  - event: {type: lead.updated, data: {lead_id: "7"}}
    expect: []`, ping, pong)
	got := lines(r)
	for _, want := range []string{"step 1, line 9", "not expected: engine.storm.detected about rule/ping, from rule ping", "hops: 17", "refused as a storm"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "step 2") { // ping is off
		t.Error(got)
	}
}

func TestRun_EventsWithoutEndAreTheTestsFailure(t *testing.T) {
	var bundle []ruleset.File
	for i := range 16 {
		emit := strings.Repeat(fmt.Sprintf("\n  - {type: lead.updated, subject: '\"lead/\" + event.id + \"-%d\"', data: {lead_id: data.lead_id}}", i), 16)
		bundle = append(bundle, rule(fmt.Sprintf("fan-%02d", i), "on: [lead.created, lead.updated]\nemit:"+emit))
	}
	r := tried(t, start+"steps:\n  - event: {type: lead.created, data: {lead_id: \"7\"}}\n    expect: []\n  - event: {type: lead.created, data: {lead_id: \"8\"}}", bundle...)
	if got := lines(r); !strings.Contains(got, "more than 10000 events") || strings.Contains(got, "step 2") {
		t.Error(got)
	}
}

func TestRun_OnlyTheRulesThatATestNamesRun(t *testing.T) {
	r := tried(t, "rules: [qualify]\n"+start+`
steps:
  - event: {type: lead.created, data: {lead_id: "7", channel: referral}}
    expect: []
  - event: {type: lead.scored, data: {lead_id: "7", score: 50}}
    expect: [{type: lead.qualified}, {type: crm.note.add.requested}]`, score, qualify)
	if got := lines(r); got != "" {
		t.Error(got)
	}
	if got := []string{r.Rules[0].Missing(), r.Rules[1].Missing()}; !slices.Equal(got, []string{"its condition was never false", "no test fires it"}) {
		t.Errorf("%q", got)
	}
}

// A lookup or a calendar is no rule, and the rules that a test names may need it.
func TestBundle_KeepsWhatIsNoRule(t *testing.T) {
	table := ruleset.File{Name: "table.yaml", Text: "apiVersion: neuronx/v1\nkind: Lookup\nmetadata: {name: table}\nspec: {}\n"}
	var names []string
	for _, f := range newBundle([]ruleset.File{score, table, qualify}).chosen([]string{"qualify"}) {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"table.yaml", "qualify.yaml"}) {
		t.Errorf("%q", names)
	}
}

func TestRun_ImportsReachRulesThatListThem(t *testing.T) {
	r := tried(t, start+`
steps:
  - event: {type: lead.created, origin: import, time: 2025-01-01T00:00:00Z, data: {lead_id: "7"}}
    expect: []`, score)
	if got := lines(r); got != "" {
		t.Error(got)
	}
}

func TestRun_ValuesAreComparedByWhatTheyAre(t *testing.T) {
	money := rule("money", `
on: [opportunity.created]
emit:
  - type: opportunity.won
    data: {opportunity_id: data.opportunity_id, value: data.value * 2, currency: data.currency}
set: {value: data.value, ratio: 0.1 + 0.2, list: '["a", "b"]', yes: "true"}`)
	steps := func(expect string) string {
		return start + "steps:\n  - event: {type: opportunity.created, data: {opportunity_id: \"1\", value: \"6250.25\", currency: USD}}\n    " + expect
	}
	for _, ok := range []string{
		`expect: [{type: opportunity.won, data: {value: 12500.50}}]`, `expect: [{type: opportunity.won, data: {value: "12500.5"}}]`,
		`state: {subject: opportunity/1, values: {value: 6250.25, ratio: 0.30000000000000004, list: [a, b], yes: true}}`,
	} {
		if got := lines(tried(t, steps(ok), money)); got != "" {
			t.Errorf("%s:\n%s", ok, got)
		}
	}
	for _, wrong := range []string{
		`expect: [{type: opportunity.won, data: {value: 12500.51}}]`, `state: {subject: opportunity/1, values: {ratio: 0.3}}`,
		`state: {subject: opportunity/1, values: {list: [a]}}`, `state: {subject: opportunity/1, values: {yes: "true"}}`, `state: {subject: opportunity/1, values: {list: [b, a]}}`,
		`state: {subject: opportunity/1, values: {value: {a: 1}}}`, `state: {subject: opportunity/1, values: {nothing: 1}}`, `state: {subject: opportunity/1, values: {nothing: ""}}`,
	} {
		if tried(t, steps(wrong), money).Failed() != 1 {
			t.Errorf("%s passed", wrong)
		}
	}
}

// What a test derives is what the service derives: ids, hops, path and correlation are checked by the event that shows them.
func TestSandbox_GivesEventsTheEnvelopesOfTheService(t *testing.T) {
	reg := schemas(t)
	tests, problems, err := Read(t.Context(), []ruleset.File{testFile("one", start+"steps:\n  - event: {type: lead.created, data: {lead_id: \"7\", channel: referral}}\n    expect: []")}, nil, reg)
	if err != nil || problems != nil {
		t.Fatal(err, problems)
	}
	w, err := newSandbox(t.Context(), []ruleset.File{score, qualify}, tests[0].Start, reg, &rules.Compiled{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.send(t.Context(), tests[0].Steps[0].Event)
	if err != nil || len(c.events) != 3 {
		t.Fatal(err, c.events)
	}
	var got []string
	for _, e := range w.log {
		got = append(got, fmt.Sprint(e.Sequence, " ", e.Type, " ", e.Deriver, " ", e.DeriverNumber, " ", e.Hops, " ", e.CorrelationID, " ", e.Path))
		if e.ID == "" || e.CausationID == "" && e.Deriver != "" || !e.RecordedTime.Equal(tests[0].Start) {
			t.Errorf("%+v", e)
		}
	}
	want := []string{"1 rules.published  0 0  []", "2 lead.created  0 0  []", "3 lead.scored rules 1 1 test-1 [lead.scored<score@1]",
		"4 lead.qualified rules 2 2 test-1 [lead.scored<score@1 lead.qualified<qualify@1]", "5 crm.note.add.requested rules 3 2 test-1 [lead.scored<score@1 crm.note.add.requested<qualify@1]"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	for i := 1; i < len(w.log); i++ {
		if w.log[i].Position <= w.log[i-1].Position {
			t.Errorf("position %d does not rise", i)
		}
	}
}
