package checker

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// chased is a history of three instances: one whose wait fired and that goes on to another wait, one that was ended while it waited, and whose
// firing came too late, and one that its deadline ended.
func chased() Dump {
	var log []event.Recorded
	for n := range int64(20) {
		log = append(log, event.Recorded{Event: event.Event{TenantID: "t"}, Sequence: n + 1})
	}
	hour := noon.Add(time.Hour)
	return Dump{
		Log:    log,
		AtRest: map[string]int64{"t": 20},
		Flows: &Flows{
			Moves: []Move{
				{Tenant: "t", Instance: "a", Cause: 1, At: []string{"pause"}, Due: hour},
				{Tenant: "t", Instance: "b", Cause: 2, At: []string{"pause"}, Due: hour},
				{Tenant: "t", Instance: "c", Cause: 3, At: []string{"listen"}},
				{Tenant: "t", Instance: "b", Cause: 7, Ended: true, Outcome: "booked"},
				{Tenant: "t", Instance: "a", Cause: 9, At: []string{"more"}, Due: hour.Add(time.Hour)},
				{Tenant: "t", Instance: "c", Cause: 11, Ended: true, Outcome: "limit"},
			},
			Firings: []Firing{
				{Tenant: "t", Timer: "a1", Instance: "a", Task: "pause", Sequence: 9, Armed: 1, Due: hour, At: hour.Add(time.Second)},
				{Tenant: "t", Timer: "b1", Instance: "b", Task: "pause", Sequence: 10, Armed: 2, Due: hour, At: hour.Add(time.Second)},
				{Tenant: "t", Timer: "c0", Instance: "c", Task: "limit", Sequence: 11, Armed: 3, Due: hour, At: hour.Add(time.Second)},
			},
		},
		Timers: []Timer{
			{Tenant: "t", ID: "a0", Instance: "a", Task: "limit", Due: noon.AddDate(1, 0, 0), Armed: 1, State: "armed"},
			{Tenant: "t", ID: "a2", Instance: "a", Task: "more", Token: 1, Due: hour.Add(time.Hour), Armed: 9, State: "armed"},
		},
	}
}

func TestTimers_EachIsFiredOnceOrDisarmedOrArmed(t *testing.T) {
	again := func(f Firing, at int64) Firing { f.Sequence = at; return f }
	for name, c := range map[string]struct {
		change func(d *Dump)
		want   string // empty: nothing is broken
	}{
		"a good history":     {func(*Dump) {}, ""},
		"a timer is lost":    {func(d *Dump) { d.Timers = d.Timers[:1] }, "the first that is armed is due never"},
		"a deadline is lost": {func(d *Dump) { d.Timers = d.Timers[1:] }, "has 0 deadlines"},
		"another due":        {func(d *Dump) { d.Timers[1].Due = noon }, "the first that is armed is due 2026-03-02T12:00:00Z"},
		"armed for what has ended": {func(d *Dump) {
			d.Timers = append(d.Timers, Timer{Tenant: "t", ID: "b1", Instance: "b", Task: "pause", Token: 1, State: "armed"})
		},
			"instance b has ended, and its timer b1 (pause) is armed"},
		"armed by nothing":           {func(d *Dump) { d.Timers = append(d.Timers, Timer{Tenant: "t", ID: "z", Instance: "z", State: "armed"}) }, "instance z never started"},
		"fires and is nowhere":       {func(d *Dump) { d.Timers[1].State = "firing" }, "is firing, and the firing is neither in the outbox nor in the log"},
		"armed by what told nothing": {func(d *Dump) { d.Timers[1].Armed, d.Timers[1].Due = 12, noon }, ""},
		"fired twice": {func(d *Dump) {
			d.Flows.Firings = append(d.Flows.Firings, again(d.Flows.Firings[0], 15))
			d.Flows.Moves = append(d.Flows.Moves, Move{Tenant: "t", Instance: "a", Cause: 15, At: []string{"more"}, Due: d.Timers[1].Due})
		}, "a1 fired twice, at 9 and 15"},
		"a second firing that moves nothing": {func(d *Dump) { d.Flows.Firings = append(d.Flows.Firings, again(d.Flows.Firings[0], 15)) }, ""},
		"before its due":                     {func(d *Dump) { d.Flows.Firings[0].At = noon }, "before its due"},
		"within the tolerance":               {func(d *Dump) { d.Flows.Firings[0].At = noon.Add(59*time.Minute + time.Second) }, ""},
		"after the end":                      {func(d *Dump) { d.Flows.Moves = append(d.Flows.Moves, Move{Tenant: "t", Instance: "b", Cause: 10}) }, "although it was disarmed at 7"},
		"after it was disarmed": {func(d *Dump) {
			d.Flows.Moves = slices.Insert(d.Flows.Moves, 4, Move{Tenant: "t", Instance: "a", Cause: 8, At: []string{"elsewhere"}})
		}, "although it was disarmed at 8"},
		"not at rest":        {func(d *Dump) { d.AtRest["t"], d.Timers = 19, nil }, ""},
		"the outbox is full": {func(d *Dump) { d.AtRest, d.Timers = nil, nil }, ""},
		"an event was refused": {func(d *Dump) {
			d.Timers, d.DeadLetters = nil, []DeadLetter{{Tenant: "t", Type: "workflow.advanced", Deriver: "rules", Number: 1}}
		}, ""},
	} {
		d := chased()
		c.change(&d)
		r := &report{found: map[string]*Violation{}}
		checkTimers(r, d)
		found := r.sorted()
		if len(found) > 1 || len(found) == 0 != (c.want == "") || len(found) > 0 && (found[0].Invariant != "I12" || !strings.Contains(found[0].Detail, c.want)) {
			t.Errorf("%s: %v, want %q", name, found, c.want)
		}
	}
}

func TestCheck_AsksForTimersWhereTheyWereCollected(t *testing.T) {
	d := good()
	d.Flows, d.AtRest = &Flows{}, map[string]int64{"t": 3}
	d.Timers = []Timer{{Tenant: "t", ID: "z", Instance: "z", State: "armed"}}
	if v := Check(d); len(v) != 1 || v[0].Invariant != "I12" {
		t.Errorf("%v", v)
	}
}

func TestReadFlows_TakesWhatTheLogTells(t *testing.T) {
	of := func(sequence int64, typ string) event.Recorded {
		return event.Recorded{Event: event.Event{TenantID: "t", Type: typ}, Sequence: sequence, Position: event.PositionAt(noon.UnixMilli())}
	}
	log := []event.Recorded{of(1, "lead.created"), of(2, "workflow.started"), of(3, "timer.fired"), of(4, "workflow.faulted"), of(5, "workflow.paused")}
	data := map[int64]map[string]any{
		2: {"instance_id": "i", "cause_sequence": int64(1), "at": []any{"pause"}, "due": noon, "outcome": nil},
		3: {"timer_id": "x", "instance_id": "i", "task": "pause", "armed_sequence": int64(1), "due": noon},
		4: {"instance_id": "i", "cause_sequence": int64(3), "at": []any{}, "due": nil, "outcome": "raised/no"},
	}
	f, err := ReadFlows(log, func(r *event.Recorded) (map[string]any, error) { return data[r.Sequence], nil })
	if err != nil || len(f.Moves) != 2 || len(f.Firings) != 1 || !f.Paused["t"] {
		t.Fatalf("%+v, %v", f, err)
	}
	if m := f.Moves[0]; m.Tenant != "t" || m.Instance != "i" || m.Cause != 1 || m.Ended || !slices.Equal(m.At, []string{"pause"}) || !m.Due.Equal(noon) {
		t.Errorf("started: %+v", m)
	}
	if m := f.Moves[1]; m.Cause != 3 || !m.Ended || m.Outcome != "raised/no" || len(m.At) > 0 || !m.Due.IsZero() {
		t.Errorf("faulted: %+v", m)
	}
	if x := f.Firings[0]; x != (Firing{"t", "x", "i", "pause", 3, 1, noon, x.At}) || !x.At.Equal(noon) {
		t.Errorf("fired: %+v", x)
	}
	if _, err := ReadFlows(log, func(*event.Recorded) (map[string]any, error) { return nil, errors.New("unreadable") }); err == nil {
		t.Error("what can't be read is passed over")
	}
}
