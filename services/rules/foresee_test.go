package rules

import (
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

func TestForesee_TellsWhatARequestWouldDeriveAndKeepsNothing(t *testing.T) {
	b := newBench(t)
	h := b.handler()
	b.apply(h, nil, runOf(b.published("a", 1, ruleFile("greets", greets("x")), divides), b.stormed("a", "greets"), b.stormed("a", "divides")))
	for i := range 6 {
		e := b.recorded("a", "lead.created", fmt.Sprint("lead/", i%4), map[string]any{"lead_id": fmt.Sprint(i), "source": "0"})
		if i%3 == 0 {
			e.Origin = event.OriginImport
			b.log["a"][e.Sequence-1] = e
		}
		b.apply(h, nil, runOf(e)) // 4 to 9
	}
	before := b.dump()
	if got, err := foresee(t.Context(), b.pool, b, b.registry, "a", "greets", 1, 99); err != nil || got.Ran != 0 {
		t.Errorf("of a rule that is off: %+v %v", got, err)
	}
	if b.dump() != before {
		t.Error("something was kept")
	}
	b.apply(h, nil, runOf(b.recorded("a", typeReset, "rule/greets", map[string]any{"rule": "greets"}), b.recorded("a", typeReset, "rule/divides", map[string]any{"rule": "divides"})))
	before = b.dump()
	got, err := foresee(t.Context(), b.pool, b, b.registry, "a", "greets", 5, 99)
	want := "{Ran:5 Fired:5 Failed:0 Events:[{Type:crm.note.add.requested Origin:import Events:1} {Type:crm.note.add.requested Origin:live Events:4}] Trips:false}"
	if err != nil || fmt.Sprintf("%+v", got) != want {
		t.Errorf("%+v (%v), want %s", got, err, want)
	}
	// divides does not ask for imports, so it missed the four live ones.
	if got, err := foresee(t.Context(), b.pool, b, b.registry, "a", "divides", 1, 99); err != nil || got.Ran != 4 || got.Failed != 4 || len(got.Events) != 0 || got.Trips {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := foresee(t.Context(), b.pool, b, b.registry, "nobody", "greets", 1, 99); err != nil || got.Ran != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if b.dump() != before {
		t.Error("something was kept")
	}
	n := len(b.ids())
	b.apply(h, nil, runOf(b.rerunOf("a", "greets", 5, 99)))
	if done := len(b.ids()) - n; done != 5 {
		t.Errorf("%d were derived, 5 were foreseen", done)
	}
}
