package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
	"github.com/neuronx/engine/services/neuronx/operate/workflowadmin"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore/flowtest"
)

// flowing is the tenant with workflows.
const flowing = "flow"

// flowRig is an engine whose rules service folds workflows: nurture waits, broken fails at its only task.
type flowRig struct {
	*flowtest.Stream
	t         *testing.T
	root      *pgxpool.Pool
	env       map[string]string
	published func() []string
}

func newFlowRig(t *testing.T) *flowRig {
	t.Helper()
	t.Chdir(t.TempDir())
	e := operatetest.New(t)
	for _, sql := range []string{
		`SELECT neuronx.ensure_tenant('flow')`,
		`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id, state) SELECT c, 1, 'flow', 0, 100, 'x', 'log', 'live' FROM unnest('{neuronx.archiver,neuronx.rules}'::text[]) c`,
	} {
		if _, err := e.Root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r := &flowRig{t: t, root: e.Root}
	r.Stream = flowtest.New(t, e.DB.Pool(t, postgres.RoleRules), flowing, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
		ruleset.File{Name: "office.yaml", Text: "apiVersion: neuronx/v1\nkind: Calendar\nmetadata: {name: office}\nspec: {zone: America/New_York, hours: {mon-fri: [\"09:00-17:00\"]}}\n"},
		flowtest.Workflow("nurture", `
  start: {on: [lead.created], when: 'data.phone != null', key: data.lead_id, set: {name: data.first_name}}
  until: {lost: {on: [lead.lost], status: cancelled}}
  do:
    - grace: {wait: {for: PT4H, in: office}}`),
		flowtest.Workflow("broken", `
  start: {on: [lead.created], when: 'data.phone == null', key: data.lead_id}
  do:
    - half: {set: {x: '1 / 0'}}`))
	r.env, r.published = admitFolding(t, e, kafkatest.Start(t), func(rec event.Recorded) {
		if rec.TenantID != flowing {
			return
		}
		for _, refused := range r.Fold(rec).Events {
			if refused.Type != "workflow.verb.refused" {
				continue
			}
			if _, err := e.Root.Exec(t.Context(), `INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data)
				VALUES ('flow', $1, $1, $2, $3, 'instance/x', '/t', now(), '', '', 1, 'log', 0, $1, sha256('x'), 'x', '{"code":"ended"}')`, rec.Sequence+1000, refused.ID, refused.Type); err != nil {
				t.Error(err)
			}
		}
	})
	r.env["COLUMNS"] = "300"
	return r
}

// lead starts nurture, without a phone broken, and returns the id of the instance.
func (r *flowRig) lead(id string, phone any) string {
	r.t.Helper()
	before := r.rows()
	r.Send("lead.created", map[string]any{"lead_id": id, "phone": phone, "first_name": "Ann"})
	r.Now = r.Now.Add(time.Minute)
	for _, i := range r.rows() {
		if !slices.ContainsFunc(before, func(b workflowadmin.Instance) bool { return b.ID == i.ID }) {
			return i.ID
		}
	}
	r.t.Fatal("nothing started")
	return ""
}

func (r *flowRig) rows() (rows []workflowadmin.Instance) {
	r.t.Helper()
	code, out, errs := try(r.t, r.env, "workflows", "list", "--tenant", flowing, "--state", "all", "-o", "json")
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != exitOK {
		r.t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	return rows
}

// says runs a command line and wants an exit code and texts in what it shows, blanks taken together.
func (r *flowRig) says(line string, code int, wants ...string) {
	r.t.Helper()
	got, out, errs := try(r.t, r.env, append(strings.Fields(line), "--tenant", flowing, "--timeout", patient)...)
	text := strings.Join(strings.Fields(out+errs), " ")
	if got != code {
		r.t.Errorf("%s: exit %d, want %d\n%s%s", line, got, code, out, errs)
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			r.t.Errorf("%s does not say %q:\n%s%s", line, want, out, errs)
		}
	}
}

func TestWorkflows_ListAndShowSayWhatWaitsAndWhatFailed(t *testing.T) {
	r := newFlowRig(t)
	a, b := r.lead("1", "+15551234567"), r.lead("9", nil)
	r.lead("2", "+15551234567")
	r.says("workflows list", exitOK, a+" nurture 1 waiting grace 2026-03-02T16:00:00.000Z", b+" broken 9 incident half -", "expression/", "by state: 1 incident, 2 waiting")
	r.says("workflows list --state incident", exitOK, b)
	r.says("workflows list --limit 1", exitOK, "only 1 are shown, there are more: --after "+a+" goes on")
	r.says("workflows list --waiting-at grace --after "+a, exitOK, "nurture 2 waiting")
	r.says("workflows list --older-than 3d --state completed", exitOK, "none found")
	r.says("workflows list --workflow nurtur", exitFailed, "there is no workflow nurtur next: did you mean nurture?")
	r.says("workflows list --state living", exitUsage, "--state \"living\" is not possible")
	r.says("workflows list --older-than 3", exitUsage, "is no length of time")
	r.says("workflows list --after nope", exitFailed, "there is no instance nope")
	r.says("workflows show "+a, exitOK, "nurture, version 1, start 1 of key 1", "grace timer 2026-03-02T16:00:00.000Z", "Mon 2026-03-02 11:00:00 EST (America/New_York)", "ends by: lost; deadline ", "hears: lead.lost",
		`name (personal) = "•"`)
	r.says("workflows show "+a+" --personal", exitOK, `name (personal) = "Ann"`)
	r.says("workflows show "+b, exitOK, "half person expression/", "incident: at half, attempt 1: expression/", "neuronx workflows retry "+b+" --tenant flow")
	r.says("workflows show "+a[:len(a)-1]+"x", exitFailed, "did you mean "+a+"?", "kept for 30 days")
	r.says("rules reset nurture", exitOK, "rule nurture of flow has not tripped")
	for i := range 4 {
		r.lead(fmt.Sprint("no", i), nil)
	}
	r.says("rules reset broken", exitOK, "would turn rule broken of flow on again; it tripped: failures")
}

func TestWorkflows_VerbsAskOnlyWithExecuteAndSayWhatBecameOfEach(t *testing.T) {
	r := newFlowRig(t)
	a, b, c := r.lead("1", "+15551234567"), r.lead("9", nil), r.lead("8", nil)
	for _, x := range []struct {
		line string
		code int
		want string
	}{
		{"workflows retry " + b, exitOK, b + " broken 9 would_retry - incident half"},
		{"workflows retry " + a, exitOK, "would_refuse no_incident waiting"},
		{"workflows retry", exitUsage, "name instances, or choose them with"},
		{"workflows retry " + b + " --workflow broken", exitUsage, "name instances, or choose them with"},
		{"workflows cancel --workflow broken", exitUsage, "--state is required"},
		{"workflows cancel --state live", exitUsage, "--workflow is required"},
		{"workflows retry --workflow broken --state waiting", exitUsage, "--state \"waiting\" is not possible"},
		{"workflows cancel --workflow broken --state live --limit 1", exitOK, "these are the oldest 1 of 2"},
		{"workflows suspend nope", exitFailed, "there is no instance nope"},
		{"workflows resume " + a, exitOK, "would_refuse not_suspended"},
		{"workflows pause nurture --hold", exitOK, "would stop the starts of nurture of flow, and hold its live instances, of which there are 1"},
		{"workflows unpause nurture", exitOK, "workflow nurture of flow is not paused"},
		{"workflows pause nurtur", exitFailed, "did you mean nurture?"},
	} {
		r.says(x.line, x.code, x.want)
	}
	if n := len(r.published()); n > 0 {
		t.Fatalf("%d events were published without --execute: %v", n, r.published())
	}
	r.says("workflows suspend "+a+" --by ada --reason r --execute", exitOK, a+" nurture 1 done - suspended - 101")
	r.says("workflows suspend "+a+" --execute", exitFailed, "refused suspended suspended", "the instance was not changed why: it is suspended already")
	r.says("workflows resume --workflow nurture --execute", exitOK, a+" nurture 1 done - waiting")
	r.says("workflows retry "+b+" "+a+" --execute", exitPartial, b+" broken 9 done - incident half", a+" nurture 1 refused no_incident waiting", "1 of 2 requests were not done")
	r.says("workflows skip --workflow broken --execute", exitOK, b+" broken 9 done - completed half", c+" broken 8 done - completed half", "2 requests of 2 instances")
	r.says("workflows pause nurture --hold --execute", exitOK, "workflow nurture is paused (sequence ")
	r.says("workflows pause nurture --hold --execute", exitOK, "nurture is paused: it starts nothing, and its instances run no task already")
	r.says("workflows list", exitOK, "nurture is paused: it starts nothing, and its instances run no task: neuronx workflows unpause nurture --tenant flow")
	r.says("workflows unpause nurture --execute", exitOK, "workflow nurture is not paused any more")
	r.says("workflows cancel "+a+" --execute", exitOK, a+" nurture 1 done - cancelled")
	said := r.published()
	for i, want := range []string{
		`workflow.suspended instance/` + a + ` /neuronx/cli {"instance_id":"` + a + `","by":"ada","reason":"r"}`,
		`workflow.resumed instance/` + a + ` /neuronx/cli {"instance_id":"` + a + `","by":null,"reason":null}`,
		`workflow.incident.resolved instance/` + b + ` /neuronx/cli {"instance_id":"` + b + `","incident_id":"`,
	} {
		if len(said) <= i || !strings.HasPrefix(said[i], want) {
			t.Errorf("event %d: %v\nwant %s", i, said, want)
		}
	}
}

// An instance may move between the dry run and the request.
func TestWorkflows_ARequestThatTheFoldRefusesIsShownAsRefused(t *testing.T) {
	r := newFlowRig(t)
	a := r.lead("1", "+15551234567")
	tool := tool(r.env, io.Discard, io.Discard)
	defer tool.env.Close()
	tool.env.Timeout = kafkatest.Patience
	plan, err := workflowadmin.Choose(t.Context(), tool.env, workflowadmin.Suspend, workflowadmin.Filter{Tenant: flowing}, []string{a})
	if err != nil || len(plan.Requests) != 1 || plan.Requests[0].Result != "would_suspend" {
		t.Fatalf("%+v, %v", plan, err)
	}
	r.Send("lead.lost", map[string]any{"lead_id": "1"})
	if err := plan.Execute(t.Context(), tool.env, actor("ada"), ""); err != nil {
		t.Fatal(err)
	}
	o := plan.Requests[0]
	if o.Result != workflowadmin.Refused || o.Code != "ended" || o.Status != "cancelled" || plan.Undone() == nil {
		t.Errorf("%+v, %v", o, plan.Undone())
	}
	if id := workflows.RefusalID(flowing, o.EventID); id == "" || len(r.published()) != 1 {
		t.Errorf("%v", r.published())
	}
}
