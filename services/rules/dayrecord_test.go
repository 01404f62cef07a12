package rules

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/workflows"
)

// recorder plays a tenant's log in memory: what its rules and workflows derive comes back as the next event, the CRM answers commands, and timers
// fire at their due. Nothing in it depends on the machine.
type recorder struct {
	*testing.T
	*Timeline
	registry registryClient
	store    *workflows.Memory
	log      []event.Recorded
	now      time.Time
	applied  int
	derived  int64
	fired    int64
	open     []unanswered
}

// unanswered is a command that the CRM answers later.
type unanswered struct {
	at      time.Time
	command event.Event
}

const dayTenant = "a"

func newRecorder(t *testing.T, start time.Time) *recorder {
	r := &recorder{T: t, registry: catalogue(t), store: workflows.NewMemory(), now: start}
	r.Timeline = NewTimeline(dayTenant, r.registry, &Compiled{}, r.store, 1, func(_ context.Context, sequence int64) (*event.Recorded, error) {
		return &r.log[sequence-1], nil
	})
	return r
}

// fact records an event from outside, and all that comes of it at once.
func (r *recorder) fact(typ, subject string, data map[string]any) {
	r.Helper()
	r.record(event.Event{ID: fmt.Sprintf("fact-%d", len(r.log)+1), Source: "/test", Type: typ, Subject: subject, Time: r.now, Value: value(r, r.registry, typ, data)})
	r.drain()
}

func (r *recorder) record(e event.Event) {
	e.TenantID, e.ContentType = dayTenant, event.ContentTypeAvro
	position := event.PositionAt(r.now.UnixMilli())
	if n := len(r.log); n > 0 {
		position = max(position, r.log[n-1].Position+1)
	}
	r.log = append(r.log, event.Recorded{Event: e, Sequence: int64(len(r.log)) + 1, Position: position, RecordedTime: r.now, LogID: "log"})
}

func (r *recorder) drain() {
	r.Helper()
	for ; r.applied < len(r.log); r.applied++ {
		taken, err := r.Apply(r.Context(), r.log[r.applied])
		if err != nil {
			r.Fatal(err)
		}
		for _, e := range taken.Derived {
			r.derived++
			e.Deriver, e.DeriverNumber = Deriver, r.derived
			r.record(e)
			if strings.HasPrefix(e.Type, "crm.") && strings.HasSuffix(e.Type, ".requested") {
				r.open = append(r.open, unanswered{r.now.Add(90 * time.Second), e})
			}
		}
	}
}

// later moves the clock on. On the way timers fire, and commands are answered, every seventh of them by a failure.
func (r *recorder) later(d time.Duration) {
	r.Helper()
	for end := r.now.Add(d); ; {
		timer, armed := r.store.Next()
		switch {
		case len(r.open) > 0 && !r.open[0].at.After(end) && (!armed || !r.open[0].at.After(timer.Due)):
			r.now = r.open[0].at
			r.answer(r.open[0].command)
			r.open = r.open[1:]
		case armed && !timer.Due.After(end):
			if timer.Due.After(r.now) {
				r.now = timer.Due.Add(time.Millisecond - 1).Truncate(time.Millisecond)
			}
			r.fired++
			r.record(event.Event{ID: event.DerivedID(dayTenant, "timer", timer.ID, "1"), Source: "/neuronx/timers", Type: timers.Type, Subject: "timer/" + timer.ID, Time: timer.Due,
				Deriver: timers.Deriver, DeriverNumber: r.fired, Value: value(r, r.registry, timers.Type, map[string]any{"timer_id": timer.ID, "due": timer.Due, "rule": timer.Workflow,
					"instance_id": timer.Instance, "task": timer.Task, "armed_sequence": timer.Armed, "attempt": int64(1)})})
			r.drain()
		default:
			r.now = end
			return
		}
	}
}

func (r *recorder) answer(c event.Event) {
	r.Helper()
	base := strings.TrimSuffix(c.Type, ".requested")
	typ, data := base+".succeeded", map[string]any{"command_id": c.ID, "adapter": "gohighlevel"}
	if c.DeriverNumber%7 == 0 {
		typ, data["code"] = base+".failed", "gone"
	}
	if _, lead, ok := strings.Cut(c.Subject, "lead/"); ok {
		data["lead_id"] = lead
	}
	r.record(event.Event{ID: event.DerivedID(dayTenant, "gohighlevel", c.ID, "outcome"), Source: "/neuronx/gohighlevel", Type: typ, Subject: c.Subject, Time: r.now,
		CorrelationID: c.CorrelationID, CausationID: c.ID, Hops: c.Hops + 1, Path: append(slices.Clone(c.Path), c.Type+"<gohighlevel@1"), Value: value(r, r.registry, typ, data)})
	r.drain()
}

// whole is all files of the library as one bundle, and what the library does not use: a rule that assigns and counts, one that fails on some values,
// a workflow that gets into incidents, and one whose branches all derive something.
func (r *recorder) whole() []ruleset.File {
	r.Helper()
	folders, err := filepath.Glob("../../examples/library/*")
	if err != nil {
		r.Fatal(err)
	}
	all := map[string]ruleset.File{}
	for _, folder := range folders {
		files, err := ruleset.Load(folder)
		if err != nil {
			r.Fatal(err)
		}
		for _, f := range files {
			all[f.Name] = f
		}
	}
	for _, f := range []ruleset.File{
		ruleFile("second-touch", `
on: [activity.recorded]
key: data.lead_id
windows:
  touches: {on: [activity.recorded], over: P1D, distinct: data.kind}
when: data.lead_id != null && windows.touches.count >= 2
assign: {pool: sales-team, as: helper, or: '"nobody"'}
emit:
  - type: crm.note.add.requested
    subject: '"lead/" + data.lead_id'
    data: {lead_id: data.lead_id, body: '"Another touch: ask " + vars.helper + " about " + string(windows.touches.distinct) + " kinds"'}
set: {touches: windows.touches.count}`),
		ruleFile("ratio", "on: [lead.scored]\nset: {ratio: 100 / (data.score - 50)}"),
		kindFile("Workflow", "breaks", `
start: {on: [appointment.booked], when: data.lead_id != null, key: data.lead_id, reentry: {policy: concurrent}}
do:
  - bad: {set: {x: 1 / (instance.number - instance.number)}}
  - night: {wait: {for: PT3H}}`),
		kindFile("Workflow", "fans-out", `
start: {on: [appointment.missed], when: data.lead_id != null, key: data.lead_id, reentry: {policy: concurrent}}
do:
  - fan:
      fork:
        branches:
          - one: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["one"]', remove: '[]'}}}
          - two: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["two"]', remove: '[]'}}}
          - three: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["three"]', remove: '[]'}}}
          - four: {emit: {type: crm.contact.tag.requested, data: {lead_id: instance.key, add: '["four"]', remove: '[]'}}}`),
	} {
		all[f.Name] = f
	}
	if len(folders) < 9 || len(all) < 20 {
		r.Fatalf("%d folders of the library with %d files", len(folders), len(all))
	}
	return slices.Collect(func(yield func(ruleset.File) bool) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !yield(all[name]) {
				return
			}
		}
	})
}

// day is a Friday in New York, two days before its clocks are put forward, and the timers of the eighteen days after it.
func (r *recorder) day(leads int) {
	r.Helper()
	files := r.whole()
	r.fact(typePublished, "rules/a", ruleset.PublishedData(files, 1, ""))
	if set, _, _ := r.InForce(); set == nil {
		r.Fatal("the library can't be published as one bundle")
	}
	about := func(typ string, i int, data map[string]any) {
		r.Helper()
		id := fmt.Sprint(i)
		all := map[string]any{"lead_id": id}
		maps.Copy(all, data)
		r.fact(typ, "lead/"+id, all)
	}
	for i := 1; i <= leads; i++ {
		created := map[string]any{"channel": []any{"referral", "organic_search", "paid_search", nil}[i%4], "source": []any{"consent-form", "consent-form", "import"}[i%3],
			"email": fmt.Sprintf("Lead%d@Example.com", i/2), "first_name": fmt.Sprintf("Zoë %d", i)}
		if i%5 != 0 {
			created["phone"] = fmt.Sprintf("+1212555%04d", i)
		}
		about("lead.created", i, created)
		r.later(4 * time.Minute)
		of := i - i%3
		switch {
		case of == 0:
		case i%9 == 0:
			about("activity.recorded", of, map[string]any{"activity_id": fmt.Sprint("a", i), "kind": "sms", "direction": "inbound", "note": " stop "})
		case i%2 == 0:
			about("activity.recorded", of, map[string]any{"activity_id": fmt.Sprint("a", i), "kind": []any{"email", "call", "form"}[i%3], "direction": "inbound", "outcome": "asks"})
		default:
			about("lead.contacted", of, nil)
		}
		switch i % 10 {
		case 1:
			about("appointment.booked", i, map[string]any{"appointment_id": fmt.Sprint("b", i), "starts_at": r.now.Add(time.Hour)})
		case 2:
			about("appointment.missed", i, map[string]any{"appointment_id": fmt.Sprint("m", i)})
		case 3:
			r.fact("opportunity.stage_changed", fmt.Sprint("opportunity/", i), map[string]any{"opportunity_id": fmt.Sprint(i), "lead_id": fmt.Sprint(i), "stage": "proposal"})
		case 4:
			about("lead.lost", i-1, map[string]any{"reason": []any{"timing", "price"}[i/10%2]})
		case 5:
			about("consent.changed", i, map[string]any{"channel": "*", "granted": i%4 == 1})
		case 6:
			r.fact("subject.merged", fmt.Sprint("lead/", i), map[string]any{"from": fmt.Sprint("lead/", i), "into": fmt.Sprint("lead/", i-3)})
		case 7:
			if i%20 == 7 {
				r.fact("subject.unmerged", fmt.Sprint("lead/", i-1), map[string]any{"from": fmt.Sprint("lead/", i-1), "into": fmt.Sprint("lead/", i-4)})
			}
		}
		if i%10 == 8 {
			about("lead.created", i, created) // a second time, while its instances live
		}
		r.later(time.Duration(6+i%5) * time.Minute)
		if i == leads/2 {
			for n := range files {
				files[n].Text = strings.ReplaceAll(files[n].Text, "- hour: {wait: {for: PT1H, counting: office}}", "- hour: {wait: {for: PT2H, counting: office}}")
			}
			r.fact(typePublished, "rules/a", ruleset.PublishedData(files, 2, ""))
			r.verbs(int64(len(r.log)))
		}
	}
	r.later(18 * 24 * time.Hour)
}

// verbs asks for everything that a person can ask of instances, of some of those that live.
func (r *recorder) verbs(published int64) {
	r.Helper()
	n, first := 0, r.log[published-1]
	for i := range r.log {
		if first = r.log[i]; first.Type == "lead.created" {
			break
		}
	}
	for _, row := range r.store.Instances() {
		if row.Status.Ended() {
			continue
		}
		n++
		id, subject := row.ID, "instance/"+row.ID
		switch n % 6 {
		case 0:
			r.fact("workflow.migrated", subject, map[string]any{"instance_id": id, "to_version": published, "tasks": []any{}, "retime": n%4 == 0})
		case 1:
			r.fact("workflow.suspended", subject, map[string]any{"instance_id": id})
		case 2:
			r.fact("workflow.cancel.requested", subject, map[string]any{"instance_id": id, "reason": "asked for"})
		}
		if n%12 == 1 {
			r.later(time.Minute)
			r.fact("workflow.resumed", subject, map[string]any{"instance_id": id})
		}
	}
	for i := len(r.log) - 1; i >= 0; i-- {
		if r.log[i].Type != "workflow.incident.raised" {
			continue
		}
		data, err := r.Decode(r.Context(), &r.log[i])
		if err != nil {
			r.Fatal(err)
		}
		incident := data["incidents"].([]any)[0].(map[string]any)
		r.fact("workflow.incident.resolved", r.log[i].Subject, map[string]any{"instance_id": data["instance_id"], "incident_id": incident["incident_id"], "action": []string{"retry", "skip", "guess"}[i%3]})
	}
	r.fact("workflow.paused", "workflow/sla-escalation", map[string]any{"workflow": "sla-escalation", "hold": true})
	r.later(time.Hour)
	r.fact("workflow.unpaused", "workflow/sla-escalation", map[string]any{"workflow": "sla-escalation"})
	r.fact("workflow.start.requested", "workflow/weighted-routing", startRequest("weighted-routing", first))
}

func writeDay(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
