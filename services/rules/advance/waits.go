package advance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Wanted is an event that an instance waits for, so that it is found by the event.
type Wanted struct {
	Type string
	// Value is what the event must be about: the instance's key by Start.Key, the value of correlate.expect where Correlated, the id of the
	// command where Command.
	Value      string
	Correlated bool
	Command    bool
}

// Wants lists, sorted and without repeats, what an instance waits for: its until, its listens, those that will listen, and its calls. An until
// whose correlate.expect can't be evaluated is listed under the instance's key, so that an event of the key raises it as an incident. cost is the
// units that the expressions cost; they are no part of the budget of an activation.
func Wants(ctx context.Context, p *flow.Program, in Instance, env Env, at event.Recorded) (list []Wanted, cost uint64, err error) {
	if in.Status.Ended() {
		return nil, 0, nil
	}
	m := &machine{allowed: ruleset.RuleCost, ctx: ctx, p: p, in: in, env: env, now: time.UnixMilli(event.PositionTime(at.Position)).UTC()}
	var out []Wanted
	add := func(match *flow.Match) error {
		value, correlated := in.Key, match.From != nil
		if match.Expect != nil {
			v, err := m.text("correlate.expect", match.Expect, m.base(), "")
			var f *fault
			switch {
			case errors.As(err, &f):
				correlated = false
			case err != nil:
				return err
			default:
				value = v
			}
		}
		if env.OwnKey != nil {
			var err error
			if value, err = env.OwnKey(value); err != nil {
				return err
			}
		}
		for _, typ := range match.On {
			out = append(out, Wanted{Type: typ, Value: value, Correlated: correlated})
		}
		return nil
	}
	for i := range p.Until {
		if err := add(&p.Until[i].Match); err != nil {
			return nil, m.cost, err
		}
	}
	listening := map[string]bool{}
	for _, s := range in.Slots {
		listening[s.Task] = true
	}
	for _, t := range in.Tokens {
		if t.Rest == AtListen {
			listening[t.Task] = true
		}
		if t.Rest == AtCall {
			task, err := m.task(t.Task)
			if err != nil {
				return nil, m.cost, err
			}
			call, ok := task.Step.(*flow.Call)
			if !ok {
				return nil, m.cost, fmt.Errorf("token %d of instance %s waits for an outcome at %s, which calls nothing", t.ID, in.ID, task.Path)
			}
			out = append(out, outcomes(call, t.Command)...)
		}
	}
	for _, u := range in.Undo { // a call that timed out, and whose outcome still decides whether it is compensated
		task := p.Task(u.Task)
		if u.Command == "" || task == nil {
			continue
		}
		if call, ok := task.Step.(*flow.Call); ok {
			out = append(out, outcomes(call, u.Command)...)
		}
	}
	for _, task := range p.Listening {
		if !listening[task.Path] {
			continue
		}
		l := task.Step.(*flow.Listen)
		for i := range l.Matches {
			if err := add(&l.Matches[i]); err != nil {
				return nil, m.cost, err
			}
		}
	}
	slices.SortFunc(out, CompareWanted)
	return slices.Compact(out), m.cost, nil
}

// outcomes are the events that can tell what became of a command.
func outcomes(call *flow.Call, command string) (out []Wanted) {
	base := strings.TrimSuffix(call.Emit.Type, requested)
	for _, typ := range []string{base + ".succeeded", base + ".failed", typeRecorded} {
		out = append(out, Wanted{Type: typ, Value: command, Command: true})
	}
	return out
}

// TellsOutcome reports whether events of a type tell the outcome of a command.
func TellsOutcome(typ string) bool {
	_, _, is := commandOf(typ)
	return is || typ == typeRecorded
}

// CommandOf is the id of the command whose outcome an event tells; empty: it tells none.
func CommandOf(e *event.Recorded, data map[string]any) string {
	if !TellsOutcome(e.Type) {
		return ""
	}
	field := "command_id"
	if e.Type == typeRecorded {
		field = "effect_id"
	}
	if id, _ := data[field].(string); id != "" {
		return id
	}
	return e.CausationID
}

// CompareWanted orders by type, value and kind.
func CompareWanted(a, b Wanted) int {
	flag := func(w Wanted) int {
		switch {
		case w.Command:
			return 2
		case w.Correlated:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value), cmp.Compare(flag(a), flag(b)))
}
