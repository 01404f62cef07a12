package admission

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// Whatever a deriver signs that it may not derive is refused, and the number is used up, so that the deriver goes on.
func TestAdmit_RefusesWhatADeriverMayNotDerive(t *testing.T) {
	value := func(typ string) func(*event.Event) {
		return func(e *event.Event) {
			e.Type, e.Value = typ, sequencertest.Schemas.Value(typ, map[string]any{})
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
			d := newJudge(t).tenant("a")
			forge := func(e *event.Event) { e.Deriver = tt.deriver; tt.change(e) }
			got := d.put(sequencertest.Derived(d.keys, "a", "x", 1, forge))
			if got.Outcome != Refused || got.Code != tt.want || got.Dead == nil {
				t.Fatalf("%s %s %s, want refused %s", got.Outcome, got.Code, got.Detail, tt.want)
			}
			if n := d.s.Tenants["a"].Derivers[tt.deriver]; n != 1 {
				t.Errorf("the deriver's last number is %d, want 1: it would stand still", n)
			}
			if d.s.Tenants["a"].Sequence != 1 {
				t.Error("something was admitted")
			}
		})
	}
	d := newJudge(t).tenant("a")
	if got := d.put(sequencertest.Derived(d.keys, "a", "x", 1)); got.Outcome != Admitted {
		t.Errorf("what rules may derive: %+v", got)
	}
}

// Leads that were admitted before identifiers were bounded keep what is derived of them.
func TestAdmit_BoundsIdentifiersOfOutsideEventsOnly(t *testing.T) {
	d := newJudge(t).tenant("a")
	long := sequencertest.Schemas.Value("lead.created", map[string]any{"lead_id": strings.Repeat("l", avro.MaxIdentifier+1)})
	withLong := func(e *event.Event) { e.Value = long }
	outside := sequencertest.Lead("a", "outside")
	withLong(outside)
	if got := d.put(outside); got.Outcome != Refused || got.Code != event.CodeInvalidBody {
		t.Errorf("an outside event: %s %s %s", got.Outcome, got.Code, got.Detail)
	}
	e := sequencertest.Lead("a", "http")
	withLong(e)
	e.Fingerprint = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	if got := d.put(sequencertest.Signed(d.keys, e)); got.Outcome != Refused || got.Code != event.CodeInvalidBody {
		t.Errorf("what HTTP signed for a client: %s %s %s", got.Outcome, got.Code, got.Detail)
	}
	if got := d.put(sequencertest.Derived(d.keys, "a", "d1", 1, withLong)); got.Outcome != Admitted {
		t.Errorf("a derived event: %s %s %s", got.Outcome, got.Code, got.Detail)
	}
	broken := func(e *event.Event) { e.Value = long[:len(long)-1] }
	if got := d.put(sequencertest.Derived(d.keys, "a", "d2", 2, broken)); got.Outcome != Refused || got.Code != event.CodeInvalidBody {
		t.Errorf("a derived event that is cut off: %s %s %s", got.Outcome, got.Code, got.Detail)
	}
}
