package explain

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Outcomes of a workflow, besides No, Off and NotAsked.
const (
	Started  = "started"
	Moved    = "moved"
	Ended    = "ended"
	Rejected = "rejected" // it would have started, and did not
	Unmoved  = "not moved"
)

// Workflow is what one workflow did about an event: whether it started, and which instances moved, as the log tells it.
type Workflow struct {
	Workflow string     `json:"workflow"`
	Outcome  string     `json:"outcome"` // started, moved, ended, rejected, not moved, no or not asked
	Why      string     `json:"why,omitempty"`
	Instance string     `json:"instance_id,omitempty"`
	When     *Condition `json:"when,omitempty"` // of its start
	Step     *Step      `json:"step,omitempty"` // what the instance did
	Outputs  []Output   `json:"outputs,omitempty"`
}

// workflows says which workflows of the bundle the type concerns. What instances did is added by Lifecycle, from the record.
func (x *Explainer) workflows(ctx context.Context, out *Event, set *ruleset.Set, r *event.Recorded, vars map[string]any, hidden func([]string) bool) error {
	starts := set.Starts(r.Type)
	for _, p := range set.Workflows {
		w := Workflow{Workflow: p.Name}
		switch {
		case slices.Contains(starts, p):
			var err error
			if w.When, err = condition(ctx, p.Start.When, vars, x.personal, hidden); err != nil {
				return err
			}
			w.Outcome, w.Why = startable(p, r)
			if w.Outcome == "" && w.When != nil && w.When.Holds != nil && !*w.When.Holds {
				w.Outcome = No
			}
			if w.Outcome == "" {
				w.Outcome, w.Why = Unmoved, "its start holds, and the log has neither a start nor a rejection of it"
			}
		case hears(p, r.Type):
			w.Outcome, w.Why = Unmoved, "no instance of it waited for this event"
		default:
			out.NotHeard = append(out.NotHeard, p.Name)
			continue
		}
		out.Workflows = append(out.Workflows, w)
	}
	return nil
}

// startable says why an event of a type that starts a workflow can't.
func startable(p *flow.Program, r *event.Recorded) (what, why string) {
	origins := p.Start.Origins
	if len(origins) == 0 {
		origins = []event.Origin{event.OriginLive}
	}
	names := make([]string, len(origins))
	for i, o := range origins {
		names[i] = string(o)
	}
	switch {
	case r.Quiet != "":
		return NotAsked, "the event is marked as quiet, and starts nothing"
	case r.Deriver == "corrections":
		return NotAsked, "the event corrects history, and starts nothing"
	case !slices.Contains(origins, r.EffectiveOrigin()):
		return NotAsked, "the event has the origin " + string(r.EffectiveOrigin()) + ", and the workflow starts on " + strings.Join(names, ", ")
	}
	return "", ""
}

// hears reports whether an until, a listen or a call of a workflow may wait for a type.
func hears(p *flow.Program, typ string) bool {
	for i := range p.Until {
		if slices.Contains(p.Until[i].Match.On, typ) {
			return true
		}
	}
	for _, task := range p.Listening {
		if l, is := task.Step.(*flow.Listen); is && slices.ContainsFunc(l.Matches, func(m flow.Match) bool { return slices.Contains(m.On, typ) }) {
			return true
		}
	}
	return typ == "timer.fired" || tells(typ)
}

// Lifecycle adds what workflows did about the event, as events tell it that the event caused: workflow.started, .advanced, .rejected and so on. others
// are the events that are recorded by their ids, for what was emitted.
func (x *Explainer) Lifecycle(ctx context.Context, e *Event, on Record) error {
	var told []Workflow
	for i := range on.Caused {
		r := &on.Caused[i]
		if r.CausationID != e.ID || r.Source != advance.Source || !lifecycle[r.Type] {
			continue
		}
		data, err := x.sandbox.Decode(ctx, r)
		if err != nil {
			return fmt.Errorf("read %s at %d: %w", r.Type, r.Sequence, err)
		}
		if data["cause_sequence"] != e.sequence { // another event had the same id
			continue
		}
		if len(told) == maxTold {
			e.note("what more than %d instances did is not shown", maxTold)
			break
		}
		told = append(told, recorded(r, data, on))
	}
	e.Workflows = slices.DeleteFunc(e.Workflows, func(b Workflow) bool {
		did := false
		for i := range told {
			if w := &told[i]; w.Workflow == b.Workflow {
				did = true
				if w.Outcome == Started || w.Outcome == Rejected {
					w.When = b.When
				}
			}
		}
		return did && b.Outcome == Unmoved // the record says more
	})
	e.Workflows = append(e.Workflows, told...)
	slices.SortStableFunc(e.Workflows, func(a, b Workflow) int { return strings.Compare(a.Workflow, b.Workflow) })
	return nil
}

var lifecycle = map[string]bool{
	advance.TypeStarted: true, advance.TypeAdvanced: true, advance.TypeCompleted: true, advance.TypeCancelled: true, advance.TypeFaulted: true,
	advance.TypeIncident: true, advance.TypeRejected: true,
}

// recorded is what a lifecycle event says of its workflow.
func recorded(r *event.Recorded, data map[string]any, on Record) Workflow {
	w := Workflow{Workflow: text(data, "workflow"), Instance: text(data, "instance_id")}
	switch {
	case r.Type == advance.TypeRejected:
		w.Outcome, w.Why = Rejected, text(data, "reason")
		return w
	case data["trigger_type"] != nil:
		w.Outcome = Started
	case data["outcome"] != nil:
		w.Outcome = Ended
	default:
		w.Outcome = Moved
	}
	w.Step, w.Outputs = stepOf(r, data), emitted(data, on.ByID)
	return w
}

func text(data map[string]any, field string) string {
	s, _ := data[field].(string)
	return s
}

// emitted lists what a lifecycle event says was derived.
func emitted(data map[string]any, byID map[string]event.Recorded) (out []Output) {
	for _, id := range texts(data, "emitted") {
		o := Output{ID: id, State: Unknown}
		if r, is := byID[id]; is {
			o.Type, o.Subject, o.State, o.Sequence = r.Type, r.Subject, InLog, strconv.FormatInt(r.Sequence, 10)
		}
		out = append(out, o)
	}
	return out
}

func texts(data map[string]any, field string) []string {
	out := []string{}
	list, _ := data[field].([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
