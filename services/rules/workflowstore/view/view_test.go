package view_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore/flowtest"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// monday is 12:00 UTC.
var monday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// files are a workflow that waits two hours and listens, and one that fails at its second task without a phone.
var files = []ruleset.File{
	flowtest.Workflow("nurture", `
  start: {on: [lead.created], when: 'data.phone != null', key: data.lead_id, set: {name: data.first_name, n: '"7\x00"'}}
  until: {lost: {on: [lead.lost], status: cancelled}}
  do:
    - pause: {wait: {for: PT2H}}
    - answer: {listen: {to: {one: {on: activity.recorded}}}}`),
	flowtest.Workflow("broken", `
  start: {on: [lead.created], when: 'data.phone == null', key: data.lead_id}
  do:
    - half: {set: {x: '1 / 0'}}`),
}

type rig struct {
	*flowtest.Stream
	q    view.Querier
	root *pgxpool.Pool
	t    *testing.T
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db := postgrestest.New(t, rules.Migrations())
	return &rig{flowtest.New(t, db.Pool(t, postgres.RoleRules), "acme", monday, files...), db.Pool(t, postgres.RoleOps), db.Pool(t, ""), t}
}

func (r *rig) lead(id string, more map[string]any) {
	r.t.Helper()
	data := map[string]any{"lead_id": id, "phone": "+15551234567", "first_name": "Ann " + id}
	for k, v := range more {
		data[k] = v
	}
	r.Send("lead.created", data)
	r.Now = r.Now.Add(time.Minute)
}

func (r *rig) list(f view.Filter) []view.Instance {
	r.t.Helper()
	if f.Tenant = "acme"; f.Limit == 0 {
		f.Limit = 100
	}
	list, err := view.List(r.t.Context(), r.q, f)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func keys(list []view.Instance) string {
	var out []string
	for _, i := range list {
		out = append(out, i.Workflow+"/"+i.Key)
	}
	return strings.Join(out, " ")
}

func TestList_ChoosesByStateTaskAgeAndPage(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.lead(fmt.Sprint(i), nil)
	}
	r.lead("9", map[string]any{"phone": nil})
	r.Send("lead.lost", map[string]any{"lead_id": "0"})
	first := r.list(view.Filter{Workflow: "nurture", Statuses: []advance.Status{advance.Waiting}})
	for _, x := range []struct {
		f    view.Filter
		want string
	}{
		{view.Filter{}, "nurture/0 nurture/1 nurture/2 nurture/3 broken/9"},
		{view.Filter{Workflow: "broken"}, "broken/9"},
		{view.Filter{Statuses: []advance.Status{advance.InTrouble, advance.Cancelled}}, "nurture/0 broken/9"},
		{view.Filter{At: "pause"}, "nurture/1 nurture/2 nurture/3"},
		{view.Filter{At: "half"}, "broken/9"},
		{view.Filter{At: "nurture"}, ""}, // stands in the text, and is no task
		{view.Filter{Before: monday.Add(90 * time.Second)}, "nurture/0 nurture/1"},
		{view.Filter{Limit: 2}, "nurture/0 nurture/1"},
		{view.Filter{After: first[0].ID, At: "pause", Limit: 1}, "nurture/2"},
		{view.Filter{After: first[2].ID}, "broken/9"},
	} {
		if got := keys(r.list(x.f)); got != x.want {
			t.Errorf("%+v\n got %s\nwant %s", x.f, got, x.want)
		}
	}
	counts, err := view.Counts(t.Context(), r.q, view.Filter{Tenant: "acme"})
	if got := fmt.Sprint(counts); err != nil || got != "[{cancelled 1} {incident 1} {waiting 3}]" {
		t.Errorf("%s, %v", got, err)
	}
	if other, err := view.List(t.Context(), r.q, view.Filter{Tenant: "beta", Limit: 9}); err != nil || len(other) > 0 {
		t.Errorf("another tenant has %v, %v", other, err)
	}
}

func TestGet_HidesPersonalValuesUnlessTheyAreAskedFor(t *testing.T) {
	r := newRig(t)
	r.lead("1", nil)
	id := r.list(view.Filter{})[0].ID
	for _, personal := range []bool{false, true} {
		d, err := view.Get(t.Context(), r.q, "acme", id, personal)
		if err != nil || d == nil || d.Unreadable != "" {
			t.Fatalf("%+v, %v", d, err)
		}
		want := view.Hidden
		if personal {
			want = "Ann 1"
		}
		if d.State.Personal["name"] != want || fmt.Sprint(d.Personal) != "[name]" || d.State.Vars["n"] != "7\x00" {
			t.Errorf("personal %t: %+v, of these personal %v, and %v", personal, d.State.Personal, d.Personal, d.State.Vars)
		}
		if len(d.Timers) != 2 || d.Timers[0].Task != "pause" || !d.Timers[0].Due.Equal(monday.Add(2*time.Hour)) || d.Timers[1].Token != 0 || fmt.Sprint(d.Waits) != "[{lead.lost false}]" {
			t.Errorf("timers %+v, waits %+v", d.Timers, d.Waits)
		}
	}
	if d, err := view.Get(t.Context(), r.q, "beta", id, true); d != nil || err != nil {
		t.Errorf("another tenant reads it: %+v, %v", d, err)
	}
}

func TestList_NamesAnInstanceThatThisBuildCannotReadAndShowsTheOthers(t *testing.T) {
	r := newRig(t)
	r.lead("1", nil)
	r.lead("2", nil)
	if _, err := r.root.Exec(t.Context(), `UPDATE neuronx.workflow_instances SET state = '{"v":99}' WHERE key = '1'`); err != nil {
		t.Fatal(err)
	}
	list := r.list(view.Filter{})
	if keys(list) != "nurture/1 nurture/2" || !strings.Contains(list[0].Unreadable, "version 99") || list[1].Unreadable != "" || len(list[1].Tasks()) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestTroubles_NameTenantAndWorkflowOfIncidentsOverdueTimersAndTrips(t *testing.T) {
	r := newRig(t)
	none, all, err := view.Troubles(t.Context(), r.q, 9)
	if err != nil || len(none) > 0 || all > 0 {
		t.Fatalf("nothing is wrong: %+v, %v", none, err)
	}
	r.lead("1", nil) // its timer was due long ago
	for i := range 5 {
		r.lead(fmt.Sprint("no", i), map[string]any{"phone": nil})
	}
	list, all, err := view.Troubles(t.Context(), r.q, 9)
	if err != nil || len(list) != 2 || all != 2 {
		t.Fatalf("%+v of %d, %v", list, all, err)
	}
	if b := list[0]; b.Tenant != "acme" || b.Workflow != "broken" || b.Incidents != 5 || b.Tripped != "failures" || b.Overdue != 0 {
		t.Errorf("%+v", b)
	}
	if n := list[1]; n.Workflow != "nurture" || n.Incidents != 0 || n.Overdue != 1 || !n.Oldest.Equal(monday.Add(2*time.Hour)) || n.Tripped != "" {
		t.Errorf("%+v", n)
	}
	if first, all, err := view.Troubles(t.Context(), r.q, 1); err != nil || len(first) != 1 || all != 2 {
		t.Errorf("%+v of %d, %v", first, all, err)
	}
	reg := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- view.NewGauges(r.q, slog.New(slog.DiscardHandler), reg).Run(ctx) }()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if n, err := testutil.GatherAndCount(reg, "neuronx_workflows_incidents", "neuronx_workflows_overdue_timers", "neuronx_workflows_tripped"); n == 3 || err != nil || len(ran) > 0 {
			break
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	want := `# HELP neuronx_workflows_overdue_timers Timers that were due ten minutes ago and have not fired, of the first 50 workflows in trouble; of the others under tenant and workflow other.
# TYPE neuronx_workflows_overdue_timers gauge
neuronx_workflows_overdue_timers{tenant="acme",workflow="nurture"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "neuronx_workflows_overdue_timers"); err != nil {
		t.Error(err)
	}
	r.Send("tenant.suspended", map[string]any{})
	if list, _, err = view.Troubles(t.Context(), r.q, 9); err != nil || len(list) != 1 || list[0].Workflow != "broken" {
		t.Errorf("timers of a suspended tenant are overdue: %+v, %v", list, err)
	}
	r.Send("engine.rule.reset", map[string]any{"rule": "broken"})
	if list, _, err = view.Troubles(t.Context(), r.q, 9); err != nil || list[0].Tripped != "" {
		t.Errorf("after the reset: %+v, %v", list, err)
	}
}

func TestListPaused_SaysWhatIsHeld(t *testing.T) {
	r := newRig(t)
	r.Send("workflow.paused", map[string]any{"workflow": "nurture", "hold": true})
	r.Send("workflow.paused", map[string]any{"workflow": "broken", "hold": false})
	got, err := view.ListPaused(t.Context(), r.q, "acme")
	if err != nil || fmt.Sprint(got) != "[{broken false 3} {nurture true 2}]" {
		t.Fatalf("%v, %v", got, err)
	}
	r.Send("workflow.unpaused", map[string]any{"workflow": "nurture"})
	if got, err = view.ListPaused(t.Context(), r.q, "acme"); err != nil || fmt.Sprint(got) != "[{broken false 3}]" {
		t.Errorf("%v, %v", got, err)
	}
}
