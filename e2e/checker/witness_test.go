package checker

import (
	"slices"
	"testing"

	"github.com/neuronx/engine/pkg/event"
)

// watched is a witness of a good history: two facts, one of them sent twice, an effect of the first, and a refusal.
func watched(change func(*event.Recorded)) *Witness {
	w := NewWitness(func(string) int32 { return 0 })
	ingress := func(offset int64, id, deriver string) {
		w.Ingress(0, offset, &event.Event{TenantID: "t", ID: id, Deriver: deriver})
	}
	ingress(0, "a", "")
	ingress(1, "b", "")
	ingress(2, "b", "")
	ingress(3, "x", "")
	ingress(4, "d", "rules")
	w.DeadLetter(DeadLetter{Tenant: "t", ID: "x", Code: "invalid_body"})
	for i, id := range []string{"a", "b", "d"} {
		r := &event.Recorded{Event: event.Event{TenantID: "t", ID: id}, Sequence: int64(i + 1), Position: int64(10 * (i + 1)), Offset: int64(2 * i)}
		if id == "d" {
			r.Deriver, r.CausationID, r.Hops = "rules", "a", 1
		}
		change(r)
		w.Log(r)
	}
	return w
}

func unchanged(*event.Recorded) {}

// counted is what the engine has counted in the good history.
func byEngine() map[string]Ledger {
	return map[string]Ledger{"t": {Admitted: 3, Refused: 1, Repeats: 1}}
}

func TestWitness_FindsNothingInAGoodHistory(t *testing.T) {
	w := watched(unchanged)
	if left := w.Unjudged(map[int32]int64{0: 5}); len(left) > 0 {
		t.Errorf("%v are not judged", left)
	}
	w.Covered("g", map[int32]int64{0: 3}, []Progress{{"g", "t", "live", 2}})
	w.Covered("g", map[int32]int64{0: 5}, []Progress{{"g", "t", "live", 3}})
	if got, want := w.Ended(byEngine()), (Ledger{Entered: 5, Admitted: 3, Refused: 1, Repeats: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if v := w.Found(); len(v) > 0 {
		t.Error(v)
	}
	if got := w.Heads()["t"]; got != 3 {
		t.Errorf("the last sequence is %d", got)
	}
}

func TestWitness_NamesWhatIsBroken(t *testing.T) {
	change := func(id string, fn func(*event.Recorded)) *Witness {
		return watched(func(r *event.Recorded) {
			if r.ID == id {
				fn(r)
			}
		})
	}
	for name, x := range map[string]struct {
		w    *Witness
		then func(*Witness)
		want string
	}{
		"twice in the log":       {change("b", func(r *event.Recorded) { r.ID = "a" }), nil, "I1"},
		"refused and logged":     {watched(unchanged), func(w *Witness) { w.DeadLetter(DeadLetter{Tenant: "t", ID: "a"}) }, "I1"},
		"gap":                    {change("d", func(r *event.Recorded) { r.Sequence = 4 }), nil, "I2"},
		"position falls":         {change("b", func(r *event.Recorded) { r.Position = 10 }), nil, "I2"},
		"effect below its cause": {change("d", func(r *event.Recorded) { r.CausationID = "later" }), nil, "I2"},
		"too many hops":          {change("d", func(r *event.Recorded) { r.Hops = event.MaxHops + 1 }), nil, "I8"},
		"fact called a storm": {watched(unchanged), func(w *Witness) {
			w.Ingress(0, 9, &event.Event{TenantID: "t", ID: "f"})
			w.DeadLetter(DeadLetter{Tenant: "t", ID: "f", Code: string(event.CodeStorm)})
		}, "I8"},
		"dropped":             {watched(unchanged), func(w *Witness) { w.Ingress(0, 9, &event.Event{TenantID: "t", ID: "gone"}) }, "I9"},
		"never came in":       {watched(unchanged), func(w *Witness) { w.DeadLetter(DeadLetter{Tenant: "t", ID: "z"}) }, "I9"},
		"row below an offset": {watched(unchanged), func(w *Witness) { w.Covered("g", map[int32]int64{0: 5}, []Progress{{"g", "t", "live", 2}}) }, "I10"},
	} {
		if x.then != nil {
			x.then(x.w)
		}
		x.w.Ended(byEngine())
		if !slices.ContainsFunc(x.w.Found(), func(v Violation) bool { return v.Invariant == x.want }) {
			t.Errorf("%s: %v, want %s", name, x.w.Found(), x.want)
		}
	}
}

func TestWitness_HoldsTheEnginesOwnCountsAgainstWhatItSaw(t *testing.T) {
	for name, wrong := range map[string]map[string]Ledger{
		"nothing counted":  {},
		"a repeat too few": {"t": {Admitted: 3, Refused: 1}},
		"counted twice":    {"t": {Admitted: 4, Refused: 1, Repeats: 1}},
		"forwarded":        {"t": {Admitted: 3, Refused: 1, Repeats: 1}, "": {Forwarded: 1}},
	} {
		w := watched(unchanged)
		w.Ended(wrong)
		if v := w.Found(); len(v) != 1 || v[0].Invariant != "I9" {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestWitness_AnOffsetAboveWhatNobodyJudgedIsNoticed(t *testing.T) {
	w := watched(unchanged)
	w.Ingress(0, 7, &event.Event{TenantID: "t", ID: "gone"})
	if left := w.Unjudged(map[int32]int64{0: 7}); len(left) > 0 {
		t.Errorf("%v lie above the offset", left)
	}
	if left := w.Unjudged(map[int32]int64{0: 8}); !slices.Equal(left, []string{"t/gone"}) {
		t.Errorf("%v, want t/gone", left)
	}
	w.Log(&event.Recorded{Event: event.Event{TenantID: "t", ID: "gone"}, Sequence: 4, Position: 40, Offset: 8})
	if left := w.Unjudged(map[int32]int64{0: 8}); len(left) > 0 {
		t.Errorf("%v was judged", left)
	}
}
