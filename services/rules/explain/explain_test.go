package explain_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/explain/explaintest"
	"github.com/neuronx/engine/services/rules/ruleset"
)

func registry(t testing.TB) rules.Registry {
	t.Helper()
	c, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return c.(rules.Registry)
}

func rule(name, spec string) ruleset.File {
	return ruleset.File{Name: name + ".yaml", Text: "apiVersion: neuronx/v1\nkind: Rule\nmetadata: {name: " + name + "}\nspec:\n" + spec}
}

var (
	score = rule("score", `  on: [lead.created]
  when: data.source == "ads" || data.email != null
  emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: "72"}}]
  set: {seen: "true", mail: data.email}
`)
	qualify = rule("qualify", `  on: [lead.scored]
  when: data.score * 2 >= 100 && !has(state.qualified)
  emit: [{type: crm.contact.tag.requested, data: {lead_id: data.lead_id, add: '["hot"]', remove: "[]"}}]
  set: {qualified: "true"}
`)
	hot = rule("hot", `  on: [lead.scored]
  when: data.score >= 80
  emit: [{type: lead.qualified, data: {lead_id: data.lead_id}}]
`)
	breaks = rule("breaks", `  on: [lead.created]
  when: data.source == "ads"
  set: {x: 1 / 0}
`)
)

func lead(i int) (string, map[string]any) {
	return fmt.Sprintf("lead/%d", i), map[string]any{"lead_id": fmt.Sprint(i), "source": "ads", "email": fmt.Sprintf("p%d@example.com", i)}
}

// explained folds what is about the subject of an event, and explains it with all that is on record.
func explained(t *testing.T, l *explaintest.Log, sequence int64, personal bool) explain.Event {
	t.Helper()
	x := explain.New(explaintest.Tenant, registry(t), personal)
	target := l.Events[sequence-1]
	for _, r := range l.Events[:sequence-1] {
		if r.Subject != target.Subject && !strings.HasPrefix(r.Subject, "rule") {
			continue
		}
		if err := x.Pass(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	e, err := x.Explain(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	on := explain.Record{ByID: map[string]event.Recorded{}, Complete: true}
	for _, r := range l.Events {
		on.ByID[r.ID] = r
		on.Caused = append(on.Caused, r)
	}
	if err := x.Lifecycle(t.Context(), &e, on); err != nil {
		t.Fatal(err)
	}
	if err := x.Judge(t.Context(), &e, on); err != nil {
		t.Fatal(err)
	}
	return e
}

// told is what an explanation says of a rule, in one line.
func told(e explain.Event, name string) string {
	for _, r := range e.Rules {
		if r.Rule != name {
			continue
		}
		out := []string{r.Outcome, r.Why}
		if r.When != nil {
			for _, p := range r.When.Parts {
				out = append(out, p.Source+" is "+p.Result)
			}
			for _, v := range r.When.Values {
				out = append(out, v.Name+" = "+v.Value)
			}
		}
		for _, v := range r.Set {
			out = append(out, "set "+v.Name+" = "+v.Value)
		}
		for _, o := range r.Outputs {
			out = append(out, o.Type+" "+o.State)
		}
		return strings.Join(slices.DeleteFunc(out, func(s string) bool { return s == "" }), "; ")
	}
	return ""
}

func TestExplain_SaysOfEachRuleWhyItFiredOrNot(t *testing.T) {
	l := explaintest.New(t, registry(t))
	l.Publish(1, score, qualify, hot)
	subject, data := lead(7)
	created := l.Send("lead.created", subject, data)
	scored := l.Find("lead.scored", created).Sequence
	for _, x := range []struct {
		sequence   int64
		personal   bool
		rule, want string
	}{
		{created, false, "score", `fired; data.source == "ads" is true; data.email != null is true; data.source = "ads"; data.email = •; set mail = •; set seen = true; lead.scored recorded`},
		{created, true, "score", `fired; data.source == "ads" is true; data.email != null is true; data.source = "ads"; data.email = "p7@example.com"; set mail = "p7@example.com"; set seen = true; lead.scored recorded`},
		{scored, false, "qualify", `fired; data.score * 2 >= 100 is true; !has(state.qualified) is true; data.score * 2 = 144; data.score = 72; state.qualified = absent; set qualified = true; crm.contact.tag.requested recorded`},
		{scored, false, "hot", `no; data.score >= 80 is false; data.score = 72`},
		{scored, false, "score", ""},
	} {
		e := explained(t, l, x.sequence, x.personal)
		if got := told(e, x.rule); got != x.want {
			t.Errorf("%s at %d:\n got %s\nwant %s", x.rule, x.sequence, got, x.want)
		}
		if len(e.Alarms) > 0 {
			t.Errorf("%s at %d: %q", x.rule, x.sequence, e.Alarms)
		}
	}
	if e := explained(t, l, scored, false); e.Version != 1 || !slices.Equal(e.NotHeard, []string{"score"}) {
		t.Errorf("%+v", e)
	}
	// The second score of the same lead meets the state that the first one left.
	l.Send("lead.scored", subject, map[string]any{"lead_id": "7", "score": int64(90)})
	again := int64(len(l.Events)) - 1
	if got := told(explained(t, l, again, false), "qualify"); !strings.HasPrefix(got, `no; data.score * 2 >= 100 is true; !has(state.qualified) is false; data.score * 2 = 180; data.score = 90; state.qualified = true`) {
		t.Errorf("%s", got)
	}
}

// A rule that tripped on other leads is off for this one, too, though their failures are not folded.
func TestExplain_SaysThatARuleWasOffOrFailed(t *testing.T) {
	l := explaintest.New(t, registry(t))
	l.Publish(1, breaks)
	var last int64
	for i := range 8 {
		subject, data := lead(i)
		last = l.Send("lead.created", subject, data)
	}
	subject, data := lead(9)
	imported := l.Send("lead.created", subject, data, func(e *event.Event) { e.Origin = event.OriginImport })
	for sequence, want := range map[int64]string{
		2:        "failed; arithmetic: set.x: division by zero",
		last:     "off; tripped: failures",
		imported: "not asked; the event has the origin import, and the rule hears live",
	} {
		e := explained(t, l, sequence, false)
		if got := told(e, "breaks"); !strings.HasPrefix(got, want) || len(e.Alarms) > 0 {
			t.Errorf("at %d: %s, want %s; alarms %q", sequence, got, want, e.Alarms)
		}
	}
}

// What the record has and the rules do not derive, or otherwise, is an alarm; what is under way is not.
func TestJudge_AlarmsWhereTheRecordDiffers(t *testing.T) {
	l := explaintest.New(t, registry(t))
	l.Publish(1, score)
	subject, data := lead(7)
	created := l.Send("lead.created", subject, data)
	at := l.Find("lead.scored", created)
	for name, x := range map[string]struct {
		change func(r *event.Recorded)
		on     func(on *explain.Record)
		state  string
		alarm  string
	}{
		"as it was":       {state: explain.InLog},
		"another body":    {change: func(r *event.Recorded) { r.Value = append(slices.Clone(r.Value[:len(r.Value)-1]), 1) }, state: explain.Differs, alarm: "with other content"},
		"another subject": {change: func(r *event.Recorded) { r.Subject = "lead/8" }, state: explain.Differs, alarm: "with other content"},
		"nowhere":         {change: func(r *event.Recorded) { r.ID, r.CausationID = "other", "other" }, state: explain.Missing, alarm: "in neither the log nor the outbox"},
		"another id":      {change: func(r *event.Recorded) { r.ID = "other" }, state: explain.Missing, alarm: "does not come out again"},
		"in the outbox":   {change: func(r *event.Recorded) { r.ID, r.CausationID = "other", "other" }, on: func(on *explain.Record) { on.Waiting = map[string]bool{at.ID: true} }, state: explain.Waiting},
		"refused":         {change: func(r *event.Recorded) { r.ID, r.CausationID = "other", "other" }, on: func(on *explain.Record) { on.Refused = map[string]string{at.ID: "storm"} }, state: explain.Refused},
		"not archived":    {change: func(r *event.Recorded) { r.ID, r.CausationID = "other", "other" }, on: func(on *explain.Record) { on.Complete = false }, state: explain.Unknown},
	} {
		x0 := explain.New(explaintest.Tenant, registry(t), false)
		if err := x0.Pass(t.Context(), l.Events[0]); err != nil {
			t.Fatal(err)
		}
		e, err := x0.Explain(t.Context(), l.Events[created-1])
		if err != nil {
			t.Fatal(err)
		}
		changed := at
		if x.change != nil {
			x.change(&changed)
		}
		on := explain.Record{ByID: map[string]event.Recorded{changed.ID: changed}, Caused: []event.Recorded{changed}, Complete: true}
		if x.on != nil {
			x.on(&on)
		}
		if err := x0.Judge(t.Context(), &e, on); err != nil {
			t.Fatal(err)
		}
		alarms := strings.Join(e.Alarms, "\n")
		if got := e.Rules[0].Outputs[0].State; got != x.state || (x.alarm == "") != (alarms == "") || !strings.Contains(alarms, x.alarm) {
			t.Errorf("%s: %s, want %s; alarms %q, want %q", name, got, x.state, alarms, x.alarm)
		}
	}
}

// What a rule missed while it was off, and what a rerun made of it later, is told with the event; and the state that it left is known to later ones.
func TestExplain_TellsOfARerun(t *testing.T) {
	l := explaintest.New(t, registry(t))
	l.Publish(1, breaks)
	var missed int64
	for i := range 8 {
		subject, data := lead(i)
		missed = l.Send("lead.created", subject, data)
	}
	l.Publish(2, rule("breaks", `  on: [lead.created]
  when: '!has(state.counted)'
  emit: [{type: lead.scored, data: {lead_id: data.lead_id, score: "1"}}]
  set: {counted: "true"}
`))
	l.Send("engine.rule.reset", "rule/breaks", map[string]any{"rule": "breaks"})
	l.Send("engine.rule.rerun", "rule/breaks", map[string]any{"rule": "breaks", "from_sequence": int64(1), "through_sequence": missed})
	subject, data := lead(7)
	later := l.Send("lead.created", subject, data)
	e := explained(t, l, missed, false)
	if got := told(e, "breaks"); got != "off; tripped: failures; run over it later by a rerun; lead.scored recorded" || len(e.Alarms) > 0 {
		t.Errorf("%s; alarms %q", got, e.Alarms)
	}
	e = explained(t, l, later, false)
	if got := told(e, "breaks"); got != "no; !has(state.counted) is false; state.counted = true" || len(e.Alarms) > 0 {
		t.Errorf("%s; alarms %q", got, e.Alarms)
	}
}

// However much an event holds, little is said of it.
func TestExplain_IsBoundedForLargeEvents(t *testing.T) {
	l := explaintest.New(t, registry(t))
	var files []ruleset.File
	for i := range 60 {
		files = append(files, rule(fmt.Sprintf("other-%02d", i), "  on: [lead.lost]\n  set: {x: \"1\"}\n"))
	}
	l.Publish(1, append(files, rule("notes", "  on: [activity.recorded]\n  when: data.kind == \"call\" && data.note.contains(\"x\")\n  set: {note: data.note}\n"))...)
	at := l.Send("activity.recorded", "lead/7", map[string]any{"activity_id": "1", "kind": "call", "lead_id": "7", "note": strings.Repeat("x", 1_000_000)})
	e := explained(t, l, at, true)
	b, err := json.Marshal(e)
	if err != nil || len(b) > 5_000 || len(e.NotHeard) != 50 || len(e.Notes) != 1 {
		t.Errorf("%d bytes, %v: %d not heard, notes %q", len(b), err, len(e.NotHeard), e.Notes)
	}
	if got := told(e, "notes"); !strings.Contains(got, "data.note = too large to be read") {
		t.Error(got)
	}
}

// What is about a lead that was merged is worked out with the state of the one that it is now, also if no workflow was published at the merge.
func TestExplain_FollowsMerges(t *testing.T) {
	for _, early := range []bool{false, true} {
		followsMerges(t, early)
	}
}

func followsMerges(t *testing.T, early bool) {
	l := explaintest.New(t, registry(t))
	merge := func() {
		l.Send("subject.merged", "lead/7", map[string]any{"from": "lead/7", "into": "lead/9"})
	}
	if early {
		merge()
	}
	l.Publish(1, append(explaintest.Greeting(), qualify)...)
	l.Send("lead.scored", "lead/9", map[string]any{"lead_id": "9", "score": int64(90)})
	if !early {
		merge()
	}
	at := l.Send("lead.scored", "lead/7", map[string]any{"lead_id": "7", "score": int64(90)})
	x := explain.New(explaintest.Tenant, registry(t), false)
	for _, r := range l.Events[:at-1] {
		if err := x.Pass(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	e, err := x.Explain(t.Context(), l.Events[at-1])
	if err != nil {
		t.Fatal(err)
	}
	if got := told(e, "qualify"); !strings.Contains(got, "state.qualified = true") || len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "merged into lead/9") {
		t.Errorf("merged before the first workflow %v: %s; %q", early, got, e.Notes)
	}
}

// What a rule has set from a personal field is personal where another one reads it, also when the rule that set it is gone.
func TestExplain_HidesStateThatCameFromPersonalFields(t *testing.T) {
	l := explaintest.New(t, registry(t))
	copies := rule("copies", "  on: [lead.scored]\n  when: state.mail != \"\" && state.seen\n  set: {copy: state.mail}\n")
	reads := rule("reads", "  on: [lead.scored]\n  when: has(state.copy) && state.copy.size() > 3 && state.sly != \"\"\n  set: {seen: \"true\"}\n")
	sly := rule("sly", "  on: [lead.created]\n  set: {sly: 'data.lead_id + data[\"em\" + \"ail\"]'}\n") // a field whose name is worked out
	l.Publish(1, score, copies, sly)
	subject, data := lead(7)
	l.Send("lead.created", subject, data)
	l.Publish(2, reads)
	at := l.Send("lead.scored", subject, map[string]any{"lead_id": "7", "score": int64(1)})
	for personal, want := range map[bool]string{
		false: "state.copy = •; state.copy.size() = •; state.sly = •",
		true:  `state.copy = "p7@example.com"; state.copy.size() = 14; state.sly = "7p7@example.com"`,
	} {
		if got := told(explained(t, l, at, personal), "reads"); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
