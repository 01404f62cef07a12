package rules

import (
	"testing"
)

func TestEvaluate_CutsAFanOutLongBeforeTheSixteenthHop(t *testing.T) {
	spec := "on: [lead.updated]\nemit:\n"
	for range 10 {
		spec += "  - {type: lead.updated, data: {lead_id: data.lead_id}}\n"
	}
	set := compiled(t, ruleFile("fan", spec))
	schemas := allSchemas(t, set)
	state, health, derived, failures, tripped := State{}, map[string]Health{}, 0, 0, false
	r, data := happened("lead.updated", leadData(nil))
	evaluate := func(hops int, position int64) Result {
		t.Helper()
		r.Hops, r.Position, r.Path = hops, position, nil
		res, err := Evaluate(Input{Event: r, Data: data, State: state, Health: health, Version: 1, Set: set, Schemas: schemas})
		if err != nil {
			t.Fatal(err)
		}
		if res.State != nil {
			state = res.State
		}
		for k, h := range res.Health {
			health[k] = h
		}
		return res
	}
	minute := int64(60_000) << 20
	for range 10 {
		if res := evaluate(1, minute); len(res.Outputs) != 10 || res.State != nil {
			t.Fatal("the first hops are counted")
		}
	}
	for range 100 {
		res := evaluate(2, minute)
		if res.Failed > 0 {
			failures++
			tripped = tripped || health["fan"].Failures >= FailureLimit
			continue
		}
		derived += len(res.Outputs)
	}
	if derived != rateLimit || failures != 50 || !tripped {
		t.Errorf("%d derived, %d failures, tripped %v; want %d, 50, true", derived, failures, tripped, rateLimit)
	}
	if len(visible(state)) != 0 {
		t.Errorf("rules see the counter: %v", visible(state))
	}
	if res := evaluate(2, 2*minute); res.Failed != 0 || len(res.Outputs) != 10 {
		t.Error("the next minute does not begin again")
	}
	text, err := state.encode()
	if err != nil {
		t.Fatal(err)
	}
	if state, err = decodeState(text); err != nil {
		t.Fatal(err)
	}
	if rateOf(Input{Event: r, State: state}).used != 10 {
		t.Errorf("the counter was lost in storage: %s", text)
	}
}
