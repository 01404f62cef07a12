package explain_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/explain/explaintest"
	"github.com/neuronx/engine/services/rules/workflows"
)

// greeted is a log in which a lead was greeted and an hour passed.
func greeted(t *testing.T) *explaintest.Log {
	t.Helper()
	l := explaintest.New(t, registry(t))
	l.Publish(1, explaintest.Greeting()...)
	l.Send("lead.created", "lead/6", map[string]any{"lead_id": "6", "source": "ads", "phone": "+15557654321"})
	l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7", "source": "ads", "phone": "+15551234567"})
	l.Fire()
	l.Fire()
	return l
}

// refolded explains the instance of a key.
func refolded(t *testing.T, l *explaintest.Log, key string, personal bool) *explain.Instance {
	t.Helper()
	reg := registry(t)
	i := slices.IndexFunc(l.Instances(), func(r workflows.Row) bool { return r.Key == key })
	row := l.Instances()[i]
	in, err := explain.Stands(explaintest.Tenant, explain.Row{ID: row.ID, State: row.State, Personal: row.Personal}, nil, personal)
	if err != nil {
		t.Fatal(err)
	}
	var about []event.Recorded
	on := explain.Record{ByID: map[string]event.Recorded{}, Caused: l.Events}
	for _, r := range l.Events {
		on.ByID[r.ID] = r
		if r.Subject == "instance/"+row.ID {
			about = append(about, r)
		}
	}
	if err := in.Read(t.Context(), reg, about); err != nil {
		t.Fatal(err)
	}
	for _, n := range in.Causes() {
		r := l.Events[n-1]
		in.Caused(n, r.ID, r.Type, r.Time, r.RecordedTime)
	}
	in.Came(on)
	f := explain.NewRefold(explaintest.Tenant, reg, []*explain.Instance{&in}, personal)
	f.Recall = func(_ context.Context, sequence int64) (*event.Recorded, error) { return &l.Events[sequence-1], nil }
	for i := range l.Events[:f.Through()] {
		if err := f.Apply(t.Context(), &l.Events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Judge(t.Context(), f.Through()); err != nil {
		t.Fatal(err)
	}
	return &in
}

// line is an activation in one line.
func line(s explain.Activity) string {
	out := []string{s.CauseType}
	for _, a := range s.Conditions {
		text := a.Where
		for _, v := range a.Values {
			text += " " + v.Name + "=" + v.Value
		}
		out = append(out, text)
	}
	for _, p := range s.Picks {
		text := "pick " + p.Member
		for _, m := range p.Members {
			text += fmt.Sprintf(" %s:%t:%s:%d:%d", m.Name, m.Eligible, m.Why, m.Turn, m.Claims)
			if m.Opens != nil {
				text += ":" + event.FormatTime(*m.Opens)
			}
		}
		out = append(out, text)
	}
	for _, o := range s.Outputs {
		out = append(out, o.Type+" "+o.State)
	}
	return strings.Join(append(out, strings.Join(s.Done, ",")), "; ")
}

func TestRefold_SaysWhyAnInstanceWentThisWayAndWhomAPoolChoseAmong(t *testing.T) {
	in := refolded(t, greeted(t), "7", false)
	var got []string
	for _, s := range in.Steps {
		got = append(got, line(s))
	}
	want := []string{
		`lead.created; start.when data.phone=•; local if vars.phone=•; pick ann ann:true::0:1 bob:false:excluded:0:0 cai:false:closed:0:0:2026-03-03T11:00:00Z dan:false:weight below 1:0:0; lead.assigned recorded; route,own,local`,
		`timer.fired; tag if vars.source="ads"; crm.contact.tag.requested recorded; pause,tag`,
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if len(in.Alarms) > 0 || len(in.Rests) != 1 || in.Rests[0].Task != "rest" || in.Status != "waiting" {
		t.Errorf("%+v", in)
	}
	for _, v := range in.Vars {
		if v.Personal != (v.Name == "phone") || (v.Value == explain.Hidden) != (v.Name == "phone") {
			t.Errorf("%+v", v)
		}
	}
	if in = refolded(t, greeted(t), "7", true); in.Steps[0].Conditions[0].Values[0].Value != `"+15551234567"` {
		t.Errorf("%+v", in.Steps[0].Conditions[0])
	}
}

func TestRefold_AlarmsWhereTheRecordDiffers(t *testing.T) {
	l := greeted(t)
	row := l.Instances()[1]
	for i := range l.Events {
		if r := &l.Events[i]; r.Subject == "instance/"+row.ID && r.Type == "workflow.started" {
			r.CausationID = "another"
		}
	}
	if in := refolded(t, l, row.Key, false); len(in.Alarms) != 1 || !strings.Contains(in.Alarms[0], "workflow.started") {
		t.Errorf("%q", in.Alarms)
	}
}

// What the service folds before the first workflow is published counts here, too: else a healthy instance is an alarm.
func TestRefold_KnowsMergesFromBeforeTheFirstWorkflow(t *testing.T) {
	l := explaintest.New(t, registry(t))
	l.Send("subject.merged", "lead/6", map[string]any{"from": "lead/6", "into": "lead/7"})
	l.Publish(1, explaintest.Greeting()...)
	l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7", "source": "ads", "phone": "+15551234567"})
	l.Send("lead.contacted", "lead/6", map[string]any{"lead_id": "6"})
	if in := refolded(t, l, "7", false); in.Status != "completed" || in.Outcome != "contacted" || len(in.Alarms) > 0 {
		t.Errorf("%s (%s), alarms %q", in.Status, in.Outcome, in.Alarms)
	}
}

// The condition of a start that a person asked for is about the event that the request names: its personal fields stay hidden, and it comes out again.
func TestRefold_SaysWhyAnInstanceStartedThatAPersonAskedFor(t *testing.T) {
	l := explaintest.New(t, registry(t))
	sequence := l.Send("lead.created", "lead/7", map[string]any{"lead_id": "7", "source": "ads", "phone": "+15551234567"})
	l.Publish(1, explaintest.Greeting()...)
	l.Send("workflow.start.requested", "workflow/greet", map[string]any{"workflow": "greet", "key": "7", "about": "lead/7", "trigger_sequence": sequence, "trigger_id": l.Events[sequence-1].ID})
	in := refolded(t, l, "7", false)
	if len(in.Alarms) > 0 || len(in.Steps) != 1 || !strings.HasPrefix(line(in.Steps[0]), "workflow.start.requested; start.when data.phone=•; local if vars.phone=•; pick ann") {
		t.Errorf("%q %+v", in.Alarms, in.Steps)
	}
}
