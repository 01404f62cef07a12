package explain_test

import (
	"context"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/explain/explaintest"
)

// routed is a log in which a rule and a workflow assign from one pool, and a rule counts.
func routed(t *testing.T) *explaintest.Log {
	t.Helper()
	l := explaintest.New(t, registry(t))
	l.Publish(1, append(explaintest.Greeting(), rule("route", `  on: [lead.scored]
  windows: {scores: {on: [lead.scored], over: P1D}}
  when: windows.scores.count >= 1 && windows.scores.count < 9
  key: data.lead_id
  assign: {pool: sales, as: owner}
  emit: [{type: lead.assigned, data: {lead_id: data.lead_id, owner_id: vars.owner}}]
  set: {owner: vars.owner}
`))...)
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		l.Send("lead.scored", "lead/"+id, map[string]any{"lead_id": id, "score": int64(60)})
		l.Send("lead.created", "lead/c"+id, map[string]any{"lead_id": "c" + id, "phone": "+15551234567", "source": "ads"})
	}
	return l
}

func TestExplainer_SaysWhomARuleChoseAmong(t *testing.T) {
	l := routed(t)
	last := l.Send("lead.scored", "lead/5", map[string]any{"lead_id": "5", "score": int64(70)})
	x := explain.NewWhole(explaintest.Tenant, registry(t), false, recall(l))
	for _, r := range l.Events[:last-1] {
		if err := x.Pass(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := x.Explain(t.Context(), l.Events[last-1])
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(got.Rules, func(r explain.Rule) bool { return r.Rule == "route" })
	if i < 0 || got.Rules[i].Outcome != explain.Fired || len(got.Rules[i].Picks) != 1 {
		t.Fatalf("%+v", got.Rules)
	}
	p := got.Rules[i].Picks[0]
	if p.Pool != "sales" || !p.Kept || len(p.Members) != 4 || p.Members[2].Why != explain.Closed {
		t.Errorf("%+v", p)
	}
	if v := got.Rules[i].Set; len(v) != 1 || v[0].Value != `"`+p.Member+`"` || v[0].Personal {
		t.Errorf("set %+v, and %s was picked", v, p.Member)
	}
	when := got.Rules[i].When
	if when == nil || when.Holds == nil || !*when.Holds || len(when.Values) != 1 || when.Values[0].Value != "2" {
		t.Errorf("%+v, want that the two scores were counted", when)
	}
	on := explain.Record{ByID: map[string]event.Recorded{}, Complete: true}
	for _, r := range l.Events {
		on.ByID[r.ID] = r
		if r.CausationID == got.ID {
			on.Caused = append(on.Caused, r)
		}
	}
	if err := x.Judge(t.Context(), &got, on); err != nil || len(got.Alarms) > 0 {
		t.Errorf("%v, %v", got.Alarms, err)
	}
}

// recall finds events of a log.
func recall(l *explaintest.Log) func(context.Context, int64) (*event.Recorded, error) {
	return func(_ context.Context, sequence int64) (*event.Recorded, error) { return &l.Events[sequence-1], nil }
}

// A start that a person asked for has a part in whose turn it is, like any other.
func TestExplainer_FoldsAStartThatAPersonAskedFor(t *testing.T) {
	l := routed(t)
	created := l.Find("lead.created", 0)
	l.Send("lead.contacted", "lead/c1", map[string]any{"lead_id": "c1"}) // its instance ends, so that it may start again
	l.Send("workflow.start.requested", "workflow/greet", map[string]any{"workflow": "greet", "key": "c1", "about": "lead/c1", "trigger_sequence": created.Sequence, "trigger_id": created.ID})
	last := l.Send("lead.scored", "lead/6", map[string]any{"lead_id": "6", "score": int64(70)})
	if started := l.Find("workflow.started", last-4); started.CausationID == created.ID || started.Subject == l.Find("workflow.started", 0).Subject {
		t.Fatalf("the request started nothing: %+v", started)
	}
	x := explain.NewWhole(explaintest.Tenant, registry(t), false, recall(l))
	for _, r := range l.Events[:last-1] {
		if err := x.Pass(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := x.Explain(t.Context(), l.Events[last-1])
	if err != nil {
		t.Fatal(err)
	}
	on := explain.Record{ByID: map[string]event.Recorded{}, Complete: true}
	for _, r := range l.Events {
		on.ByID[r.ID] = r
		if r.CausationID == got.ID {
			on.Caused = append(on.Caused, r)
		}
	}
	if err := x.Judge(t.Context(), &got, on); err != nil || len(got.Alarms) > 0 {
		t.Errorf("%v, %v", got.Alarms, err)
	}
}

// What rules picked has a part in whose turn it is for a workflow.
func TestRefold_KnowsThePicksOfRules(t *testing.T) {
	for _, with := range []bool{true, false} {
		l := routed(t)
		started := l.Find("workflow.started", 0)
		for _, r := range l.Events {
			if r.Type == "workflow.started" {
				started = r // the last one
			}
		}
		in := explain.Gone(explaintest.Tenant, started.Subject[len("instance/"):])
		var about []event.Recorded
		for _, r := range l.Events {
			if r.Subject == started.Subject {
				about = append(about, r)
			}
		}
		if err := in.Read(t.Context(), registry(t), about); err != nil {
			t.Fatal(err)
		}
		f := explain.NewRefold(explaintest.Tenant, registry(t), []*explain.Instance{&in}, false)
		if with {
			f.WithRules()
		}
		through := f.Through()
		for i := range l.Events[:through] {
			if err := f.Apply(t.Context(), &l.Events[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Judge(t.Context(), through); err != nil {
			t.Fatal(err)
		}
		picks := in.Steps[0].Picks
		turns := int64(0)
		if len(picks) == 1 {
			for _, m := range picks[0].Members {
				turns += m.Claims
			}
		}
		if with && (len(in.Alarms) > 0 || len(picks) != 1 || turns != 9) {
			t.Errorf("alarms %v, and %d claims are known before the pick, want 9", in.Alarms, turns)
		}
		if !with && turns == 9 {
			t.Error("the claims of rules are known without them")
		}
	}
}
