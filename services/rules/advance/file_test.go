package advance

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	catalogued "github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/pool"
	"github.com/neuronx/engine/services/rules/rulefile"
)

// fromFile compiles an example of flow, and has the schemas of the catalogue and of the commands that the examples use.
func fromFile(t *testing.T, name string) (*flow.Program, Schemas) {
	t.Helper()
	found := Schemas{}
	add := func(text []byte) {
		parsed, err := avro.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if found[parsed.EventType()], err = NewSchema(int32(len(found)+1), parsed); err != nil {
			t.Fatal(err)
		}
	}
	files, err := catalogued.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		add(f.Text)
	}
	text, err := os.ReadFile("../flow/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	left := rulefile.MaxExpressions
	p, problems := flow.Parse(name, string(text), flow.Options{Edition: flow.Edition, Left: &left, Reach: func(typ string) string {
		if s, known := found[typ]; known {
			return s.Avro.Reach()
		}
		return ""
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p, found
}

// decoded are the data of the events that were emitted, each with its type.
func (r *rig) decoded() (out []map[string]any) {
	r.t.Helper()
	for _, o := range r.outs {
		_, body, err := event.Unframe(o.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := r.env.Schemas[o.Type].Avro.Decode(body)
		if err != nil {
			r.t.Fatal(err)
		}
		data["type"] = o.Type
		out = append(out, data)
	}
	r.outs = nil
	return out
}

func TestAdvance_RunsAFileAsItIsWritten(t *testing.T) {
	p, found := fromFile(t, "speed-to-lead.yaml")
	r := newRig(t, p)
	r.cut = true
	r.env.Schemas = found
	r.env.Pools = map[string]Pool{"sales-team": {Members: []pool.Member{{Name: "ann", Weight: 1, Capacity: 5}}, Hours: []string{"office"}}}
	on := r.event("lead.created", map[string]any{"lead_id": "7", "first_name": "Ann", "phone": "+15551234567"})
	trigger, ok, failure, _, err := Match(t.Context(), p, on, r.env)
	if err != nil || !ok || failure != nil {
		t.Fatal(ok, failure, err)
	}
	if trigger.Key != "7" || trigger.Contact != "7" {
		t.Errorf("it is about %q and reaches %q", trigger.Key, trigger.Contact)
	}
	e := Enrol(p, trigger, on, Population{}, r.env.Calendars)
	r.in = e.Instance
	on.Kind = Start
	r.give(on)
	outs := r.decoded()
	if len(outs) != 2 || outs[0]["owner_id"] != "ann" || outs[1]["type"] != "crm.message.send.requested" || outs[1]["body"] != "Hi Ann, may we call?" || outs[1]["lead_id"] != "7" || outs[1]["channel"] != "sms" {
		t.Fatalf("at the start: %v (%v)", outs, r.last.Failures)
	}
	r.outcome("crm.message.send.failed", map[string]any{"code": "invalid"})
	if outs := r.decoded(); len(outs) != 1 || outs[0]["body"] != "No text: command/invalid" {
		t.Errorf("after the message failed: %v", outs)
	}
	r.next() // five minutes of the office's time
	if outs := r.decoded(); len(outs) != 1 || outs[0]["type"] != "crm.task.add.requested" || outs[0]["owner_id"] != "ann" {
		t.Errorf("after the time for a call: %v", outs)
	}
	r.next()
	outs = r.decoded() // nobody else is in the pool
	if len(outs) != 2 || outs[0]["owner_id"] != "sales-manager" {
		t.Errorf("in the second round: %v", outs)
	}
	r.hear("activity.recorded", map[string]any{"direction": "inbound"})
	if r.in.Status != Completed || r.in.Outcome != "replied" || len(r.in.timers()) > 0 {
		t.Errorf("after a reply it is %s (%s) with the timers %v", r.in.Status, r.in.Outcome, r.in.timers())
	}
	if data, err := json.Marshal(r.last.Lifecycle.Data()); err != nil || slices.Contains(words(string(data)), "Ann") {
		t.Errorf("what is told of its end holds a person's name: %s, %v", data, err)
	}
}
