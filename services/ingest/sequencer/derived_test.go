package sequencer

import (
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// Whatever a deriver signs that it may not derive is refused, and the number is used up, so that the deriver goes on.
func TestAdmit_RefusesWhatADeriverMayNotDerive(t *testing.T) {
	value := func(typ string) func(*event.Event) {
		return func(e *event.Event) {
			e.Type, e.Value = typ, testSchemas.value(typ, map[string]any{})
		}
	}
	tests := []struct {
		name    string
		deriver string
		change  func(*event.Event)
		want    event.Code
	}{
		{"rules resume a tenant", "rules", value("tenant.resumed"), event.CodeDeriverForbidden},
		{"an adapter resumes a tenant", "gohighlevel", value("tenant.resumed"), event.CodeDeriverForbidden},
		{"a redrive resumes a tenant", "deadletter", value("tenant.resumed"), event.CodeDeriverForbidden},
		{"an unlisted deriver resumes a tenant", "stranger", value("tenant.resumed"), event.CodeDeriverForbidden},
		{"an adapter states a fact", "gohighlevel", func(*event.Event) {}, event.CodeDeriverForbidden},
		{"a placeholder of the outbox", "rules", func(e *event.Event) { e.Type, e.Value = event.TypeSetAside, nil }, event.CodeDeriverForbidden},
		{"a type that only the schema tells", "rules", func(e *event.Event) { value("tenant.resumed")(e); e.Type = "" }, event.CodeDeriverForbidden},
		{"its own cause", "rules", func(e *event.Event) { e.CausationID = e.ID }, event.CodeInvalidAttribute},
		{"no hop", "rules", func(e *event.Event) { e.Hops = 0 }, event.CodeInvalidAttribute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor(t).tenant("a")
			forge := func(e *event.Event) { e.Deriver = tt.deriver; tt.change(e) }
			got := d.put(derived(d.keys, "a", "x", 1, forge))
			if got.outcome != refused || got.code != tt.want || got.dead == nil {
				t.Fatalf("%s %s %s, want refused %s", got.outcome, got.code, got.detail, tt.want)
			}
			if n := d.s.tenants["a"].derivers[tt.deriver]; n != 1 {
				t.Errorf("the deriver's last number is %d, want 1: it would stand still", n)
			}
			if d.s.tenants["a"].sequence != 1 {
				t.Error("something was admitted")
			}
		})
	}
	d := newDoor(t).tenant("a")
	if got := d.put(derived(d.keys, "a", "x", 1)); got.outcome != admitted {
		t.Errorf("what rules may derive: %+v", got)
	}
}
