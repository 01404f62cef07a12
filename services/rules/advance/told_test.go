package advance

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/flow"
)

// published are the schemas of the catalogue, by type.
func published(t testing.TB) map[string]*avro.Schema {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*avro.Schema{}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		out[s.EventType()] = s
	}
	return out
}

// told encodes what an activation tells by the schema of the catalogue and reads it back: nothing is missing, and nothing is lost.
func told(t testing.TB, catalogue map[string]*avro.Schema, l *Lifecycle) {
	t.Helper()
	s := catalogue[l.Type]
	if s == nil {
		t.Fatalf("no schema has the type %s", l.Type)
	}
	data := l.Data()
	body, err := s.EncodeMap(data)
	if err != nil {
		t.Fatalf("%s: %v\n%+v", l.Type, err, data)
	}
	if err := s.CheckNew(body); err != nil {
		t.Fatalf("%s: %v\n%+v", l.Type, err, data)
	}
	back, err := s.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for k := range back {
		if _, said := data[k]; !said {
			data[k] = nil // of a start only
		}
	}
	if !reflect.DeepEqual(back, data) {
		t.Fatalf("%s: encoded as\n%+v, was\n%+v", l.Type, back, data)
	}
	if prefix, id := s.Subject(l.Type, body); prefix+string(id) != l.Subject() {
		t.Fatalf("%s: the data says the subject %s%s, the event %s", l.Type, prefix, id, l.Subject())
	}
}

func TestLifecycle_HasASchemaThatEveryActivationFits(t *testing.T) {
	catalogue, seen := published(t), map[string]int{}
	for seed := range uint64(200) {
		history(t, seed, false, func(_ *rig, _ Instance, _ Stimulus, res Result) {
			if res.Lifecycle != nil {
				told(t, catalogue, res.Lifecycle)
				seen[res.Lifecycle.Type]++
			}
		})
	}
	want := []string{TypeAdvanced, TypeCancelled, TypeCompleted, TypeFaulted, TypeIncident, TypeStarted}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("told %v, want all of %v", seen, want)
	}
}

func TestRejection_FitsItsSchema(t *testing.T) {
	s := published(t)[TypeRejected]
	r := newRig(t, program(note("a")))
	for name, trigger := range map[string]Trigger{"with a key": {Key: "7"}, "whose key can't be evaluated": {}} {
		_, data := Rejection(r.p, trigger, r.event("lead.created", nil), 12, RejectCooldown)
		body, err := s.EncodeMap(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		prefix, id := s.Subject(TypeRejected, body)
		if back, err := s.Decode(body); err != nil || back["reason"] != RejectCooldown || back["key"] != trigger.Key || prefix+string(id) != "workflow/w" {
			t.Errorf("%s: %+v %v, subject %s%s", name, back, err, prefix, id)
		}
	}
}

// TestCommands_ThatReachAPersonAreFilled: what a workflow emits by the catalogue's own schemas gets the fields that the engine answers for.
func TestCommands_ThatReachAPersonAreFilled(t *testing.T) {
	catalogue := published(t)
	const message, todo = "crm.message.send.requested", "crm.task.add.requested"
	r := newRig(t, program(
		task("m", &flow.Emit{Type: message, Channel: x(`"sms"`), Data: set(`channel: "sms"`, `template: "no-show-1"`)}),
		task("k", &flow.Emit{Type: todo, Data: set("lead_id: instance.key", `title: "Call now"`)}),
	))
	r.env.Schemas = Schemas{}
	for i, typ := range []string{"lead.created", message, todo} {
		s, err := NewSchema(int32(i+1), catalogue[typ])
		if err != nil {
			t.Fatal(err)
		}
		r.env.Schemas[typ] = s
	}
	r.start()
	if len(r.outs) != 2 {
		t.Fatalf("emitted %d events: %+v", len(r.outs), r.last.Failures)
	}
	for i, want := range []map[string]any{
		{"lead_id": "7", "message_id": r.outs[0].ID, "channel": "sms", "purpose": "marketing", "body": nil, "template": "no-show-1", "not_after": r.outs[0].NotAfter,
			"instance_id": r.in.ID, "consent_basis": "form"},
		{"lead_id": "7", "task_id": r.outs[1].ID, "title": "Call now", "body": nil, "due_at": nil, "owner_id": nil, "not_after": nil, "instance_id": r.in.ID},
	} {
		_, body, err := event.Unframe(r.outs[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := catalogue[r.outs[i].Type].Decode(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", r.outs[i].Type, got, err, want)
		}
	}
	if r.outs[0].NotAfter.IsZero() || r.outs[0].Subject != "lead/7" {
		t.Errorf("the message has no end of its time or the subject %q", r.outs[0].Subject)
	}
}
