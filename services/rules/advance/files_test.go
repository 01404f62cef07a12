package advance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/reach"
)

// fileRig runs a workflow file with the schemas, the policy and the calendars of a sales team in New York.
func fileRig(t *testing.T, name string) *rig {
	t.Helper()
	folder := filepath.Join("..", "flow", "testdata")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, f := range files {
		sources = append(sources, string(f.Text))
	}
	all := Schemas{}
	for i, text := range sources {
		parsed, err := avro.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if all[parsed.EventType()], err = NewSchema(int32(i+1), parsed); err != nil {
			t.Fatal(err)
		}
	}
	left := 1000
	options := flow.Options{Edition: flow.Edition, Left: &left, Reach: func(typ string) string { return all[typ].reach }}
	p, problems := flow.Parse(name+".yaml", read(filepath.Join(folder, name+".yaml")), options)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	policy, problems := flow.ParsePolicy("policy.yaml", read(filepath.Join(folder, "policy.yaml")), options)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	made := func(hours map[string][]string) *calendar.Calendar {
		c, err := calendar.New(calendar.Spec{Zone: "America/New_York", Hours: hours})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var weeks []map[string]any
	for week := range 52 {
		weeks = append(weeks, map[string]any{"week": int64(week), "template": fmt.Sprint("nurture-", week+1)})
	}
	nurture, err := expr.NewLookup("week", map[string]expr.Kind{"week": expr.Int, "template": expr.Text}, weeks)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, p)
	r.cut = true
	r.env = Env{Schemas: all, Reference: expr.NewReference(map[string]*expr.Lookup{"nurture": nurture}, nil), Policy: policy, Contact: reach.Contact{Lead: "7", Zone: "America/New_York"}, Calendars: reach.Local{
		"office":        made(map[string][]string{"mon-fri": {"09:00-12:00", "13:00-17:30"}, "sat": {"10:00-14:00"}}),
		"contact-hours": made(map[string][]string{"mon-sun": {"08:00-21:00"}}),
	}, Pools: map[string]Pool{"sales-team": {Members: []pool.Member{{Name: "ann", Weight: 3, Capacity: 25}, {Name: "bob", Weight: 1, Capacity: 10}}, Hours: []string{"office", "office"}}}}
	return r
}

// trigger starts the instance by an event; consent comes before it.
func (r *rig) trigger(typ string, data map[string]any) {
	r.t.Helper()
	on := r.event(typ, data)
	t, ok, failure, _, err := Match(r.t.Context(), r.p, on, r.env)
	if err != nil || !ok || failure != nil {
		r.t.Fatal(ok, failure, err)
	}
	e := Enrol(r.p, t, on, Population{}, r.env.Calendars)
	if !e.Started {
		r.t.Fatal(e.Reason)
	}
	r.in = e.Instance
	on.Kind = Start
	r.give(on)
}

// until fires what is due by a time, in order, and goes there.
func (r *rig) until(at time.Time) {
	r.t.Helper()
	for {
		timers := r.in.timers()
		slices.SortFunc(timers, func(a, b Timer) int { return a.Due.Compare(b.Due) })
		if len(timers) == 0 || timers[0].Due.After(at) {
			r.now = at
			return
		}
		r.fire(timers[0], timers[0].Due)
	}
}

// took gives what was emitted since it was last asked.
func (r *rig) took() string {
	r.t.Helper()
	var out []string
	for _, o := range r.outs {
		_, body, err := event.Unframe(o.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := r.env.Schemas[o.Type].Avro.Decode(body)
		if err != nil {
			r.t.Fatal(err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(o.Type, "crm."), ".requested")
		for _, field := range []string{"owner_id", "channel", "body", "template", "title", "add"} {
			if v := data[field]; v != nil {
				text += fmt.Sprint(" ", v)
			}
		}
		out = append(out, text)
	}
	r.outs = nil
	return strings.Join(out, "; ")
}

func (r *rig) want(what string) {
	r.t.Helper()
	if got := r.took(); got != what {
		r.t.Errorf("at %s: %s\nwant %s\n%+v", r.now, got, what, r.told[len(r.told)-1])
	}
}

func newYork(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

func lead(first string) map[string]any {
	return map[string]any{"lead_id": "7", "phone": "+15551234567", "first_name": first, "channel": "form"}
}

// Two minutes of office time are left on a Friday; the five minutes of the promise end on Saturday, three minutes after the office opens.
func TestSpeedToLead_CountsOfficeTimeAndEndsWhenTheLeadIsContacted(t *testing.T) {
	r := fileRig(t, "speed-to-lead")
	r.now = newYork(t, "2026-03-06T17:28:00-05:00")
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "sms", Granted: true, At: r.now.Add(-time.Hour)})
	r.trigger("lead.created", lead("Ann"))
	r.want("lead.assigned ann; message.send sms Hi Ann, may we call?")
	r.outcome("crm.message.send.succeeded", nil)
	r.until(newYork(t, "2026-03-07T10:02:59-05:00"))
	r.want("")
	r.until(newYork(t, "2026-03-07T10:03:01-05:00"))
	r.want("task.add ann Call now")
	r.until(newYork(t, "2026-03-07T10:18:01-05:00"))
	r.want("lead.assigned bob; task.add bob Call now")
	res := r.hear("lead.contacted", nil)
	if r.in.Status != Completed || r.in.Outcome != "contacted" || len(res.Disarm) != 2 || len(r.in.timers()) != 0 {
		t.Errorf("%s %s, disarmed %v", r.in.Status, r.in.Outcome, res.Disarm)
	}
	r.want("")
}

func TestSpeedToLead_MessagesNobodyWithoutConsentAndStillCalls(t *testing.T) {
	r := fileRig(t, "speed-to-lead")
	r.now = newYork(t, "2026-03-06T10:00:00-05:00")
	r.trigger("lead.created", lead("Ann"))
	r.want("lead.assigned ann")
	if d := r.told[0].Decisions; !slices.Contains(d, Decision{"greet/text", "suppress", "sms", reach.NoConsent}) {
		t.Errorf("%+v", d)
	}
	r.until(newYork(t, "2026-03-06T12:00:00-05:00"))
	r.want("task.add ann Call now; lead.assigned bob; task.add bob Call now; lead.assigned ann; task.add ann Call now; contact.tag [sla-breached]")
	if r.in.Status != Completed || r.in.Outcome != "end" {
		t.Errorf("%s %s", r.in.Status, r.in.Outcome)
	}
}

func TestSpeedToLead_NotesAMessageThatFailed(t *testing.T) {
	r := fileRig(t, "speed-to-lead")
	r.now = newYork(t, "2026-03-06T10:00:00-05:00")
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "sms", Granted: true, At: r.now})
	r.trigger("lead.created", lead("Ann"))
	r.took()
	r.outcome("crm.message.send.failed", map[string]any{"code": "dnd"})
	r.want("note.add No text: command/dnd")
}

func TestNoShowRecovery_GoesToTheSecondMessageWithoutAnAnswer(t *testing.T) {
	missed := map[string]any{"lead_id": "7"}
	r := fileRig(t, "no-show-recovery")
	r.now = newYork(t, "2026-03-06T20:50:00-05:00") // twenty minutes later the calendar is closed
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "sms", Granted: true, At: r.now})
	r.trigger("appointment.missed", missed)
	r.until(newYork(t, "2026-03-07T07:59:00-05:00"))
	r.want("")
	r.until(newYork(t, "2026-03-07T08:00:00-05:00"))
	r.want("message.send sms no-show-1")
	r.until(newYork(t, "2026-03-09T08:59:00-04:00")) // the day after is a Sunday, and clocks change on it
	r.want("")
	r.until(newYork(t, "2026-03-09T09:00:00-04:00"))
	r.want("message.send email no-show-2")

	r = fileRig(t, "no-show-recovery")
	r.now = newYork(t, "2026-03-06T12:00:00-05:00")
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "sms", Granted: true, At: r.now})
	r.trigger("appointment.missed", missed)
	r.until(newYork(t, "2026-03-06T12:30:00-05:00"))
	r.want("message.send sms no-show-1")
	r.hear("activity.recorded", map[string]any{"direction": "inbound", "outcome": "interested"})
	r.want("task.add Answered after a no-show: call")

	r = fileRig(t, "no-show-recovery")
	r.now = newYork(t, "2026-03-06T12:00:00-05:00")
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "sms", Granted: true, At: r.now})
	r.trigger("appointment.missed", missed)
	late := r.in.Tokens[0].Timer
	r.fire(*late, late.Due.Add(4*time.Hour))
	r.want("message.send email no-show-2") // too late for the first
}

func TestNurture_SendsOnceAWeekUntilTheLeadOptsOut(t *testing.T) {
	r := fileRig(t, "nurture")
	r.now = newYork(t, "2026-03-06T16:00:00-05:00") // a Friday
	r.trigger("lead.lost", map[string]any{"lead_id": "7", "reason": "timing"})
	for week := 1; week <= 3; week++ {
		r.until(newYork(t, "2026-03-06T15:00:00-05:00").AddDate(0, 0, 7*week))
		r.want(fmt.Sprintf("message.send email nurture-%d", week))
		if local := r.told[len(r.told)-1]; local.Due.In(time.UTC).Hour() > 15 {
			t.Errorf("the next is due %s", local.Due)
		}
	}
	r.env.Contact = r.env.Contact.Apply(reach.Change{Channel: "email", At: r.now})
	r.hear("consent.changed", map[string]any{"channel": "email", "granted": false})
	r.want("contact.tag [nurtured]")
	if r.in.Status != Cancelled || r.in.Outcome != "opt-out" {
		t.Errorf("%s %s", r.in.Status, r.in.Outcome)
	}
}
