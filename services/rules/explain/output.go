package explain

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
)

// States of an output.
const (
	InLog   = "recorded"
	Waiting = "waiting" // in the outbox, on its way to the log
	Refused = "refused" // in the dead letters
	Unknown = "not archived yet"
	Missing = "missing"    // derived again, and in neither log nor outbox: an alarm
	Extra   = "unexpected" // recorded, and not derived again: an alarm
	Differs = "differs"    // recorded with other content: an alarm
)

// Output is an event that a rule or a workflow derived, and what came of it.
type Output struct {
	Type     string    `json:"type"`
	ID       string    `json:"id"`
	Subject  string    `json:"subject"`
	Task     string    `json:"task,omitempty"`     // of a workflow
	State    string    `json:"state"`              // recorded, waiting, refused, not archived yet, missing, unexpected or differs
	Sequence string    `json:"sequence,omitempty"` // in the log
	Code     string    `json:"code,omitempty"`     // of the refusal
	Effect   *Effect   `json:"effect,omitempty"`   // of a command, as the ledger has it
	Outcomes []Outcome `json:"outcomes,omitempty"` // of a command, as the log has them

	derived *event.Event // as it was derived again; nil: it was not
}

// Effect is a command in the ledger of effects.
type Effect struct {
	Status   string    `json:"status"`
	Attempts int       `json:"attempts"`
	Code     string    `json:"code,omitempty"`
	Error    string    `json:"error,omitempty"` // of the CRM; • unless personal values are shown
	Updated  time.Time `json:"updated_at"`
}

// Outcome is an event that tells what became of a command.
type Outcome struct {
	Type     string    `json:"type"`
	Sequence string    `json:"sequence"`
	Recorded time.Time `json:"recordedtime"`
}

// Record is what is on record of the outputs of one event.
type Record struct {
	ByID     map[string]event.Recorded // events with the ids of outputs
	Caused   []event.Recorded          // events whose cause is the event or one of its outputs, by sequence
	Until    int64                     // sequence at which another event with the id of the explained one was recorded; 0: none
	Waiting  map[string]bool           // ids in the outbox
	Refused  map[string]string         // ids in the dead letters, with the code
	Effects  map[string]Effect         // by command
	Complete bool                      // everything that the rules had seen is archived
}

// IDs lists the outputs that were derived again.
func (e *Event) IDs() (ids []string) {
	for _, r := range e.Rules {
		for _, o := range r.Outputs {
			ids = append(ids, o.ID)
		}
	}
	for _, w := range e.Workflows {
		for _, o := range w.Outputs {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// Judge compares what was derived again with the record, and says what came of it.
func (x *Explainer) Judge(ctx context.Context, e *Event, on Record) error {
	known := map[string]bool{}
	for i := range e.Rules {
		r := &e.Rules[i]
		for j := range r.Outputs {
			o := &r.Outputs[j]
			known[o.ID] = true
			if err := x.judge(ctx, e, r, o, on); err != nil {
				return err
			}
		}
	}
	for i := range on.Caused {
		r := &on.Caused[i]
		if known[r.ID] || r.Deriver != rules.Deriver || r.Source != rules.Source || r.CausationID != e.ID || r.Sequence <= e.sequence ||
			on.Until > 0 && r.Sequence > on.Until || strings.HasPrefix(r.Type, "engine.") {
			continue
		}
		by := rules.DerivedBy(&r.Event)
		o := Output{Type: r.Type, ID: r.ID, Subject: r.Subject, State: Extra, Sequence: strconv.FormatInt(r.Sequence, 10)}
		told := e.rule(by)
		switch {
		case told == nil:
			e.alarm("%s at sequence %d was derived from this event by rule %s, which was not in force", r.Type, r.Sequence, by)
			continue
		case told.Outcome == Off:
			o.State = InLog // a rerun ran the rule over the event later
			told.Why = strings.TrimSuffix(told.Why, laterRun) + laterRun
			on.came(&o)
		default:
			e.alarm("%s at sequence %d was derived from this event by rule %s, and does not come out again", r.Type, r.Sequence, by)
		}
		told.Outputs = append(told.Outputs, o)
	}
	for i := range e.Workflows {
		for j := range e.Workflows[i].Outputs {
			on.came(&e.Workflows[i].Outputs[j])
		}
	}
	return nil
}

const laterRun = "; run over it later by a rerun"

func (e *Event) rule(name string) *Rule {
	i := slices.IndexFunc(e.Rules, func(r Rule) bool { return r.Rule == name })
	if i < 0 {
		return nil
	}
	return &e.Rules[i]
}

func (e *Event) alarm(format string, args ...any) {
	e.Alarms = append(e.Alarms, fmt.Sprintf(format, args...))
}

// judge compares one output with the record. Failures are told as far as they are recorded: whether one is told depends on other subjects, too.
func (x *Explainer) judge(ctx context.Context, e *Event, r *Rule, o *Output, on Record) error {
	engine := strings.HasPrefix(o.Type, "engine.")
	got, recorded := on.ByID[o.ID]
	code, refused := on.Refused[o.ID]
	switch {
	case recorded:
		o.State, o.Sequence = InLog, strconv.FormatInt(got.Sequence, 10)
		same, err := sameEvent(ctx, x.sandbox, o.derived, &got)
		if err != nil {
			return err
		}
		if !same && !engine {
			o.State = Differs
			e.alarm("%s of rule %s is recorded at sequence %d with other content than it has when it is derived again", o.Type, r.Rule, got.Sequence)
		}
	case on.Waiting[o.ID]:
		o.State = Waiting
	case refused:
		o.State, o.Code = Refused, code
	case e.Pending != "" || !on.Complete || engine:
		o.State = Unknown
	default:
		o.State = Missing
		e.alarm("%s of rule %s is derived again, and is in neither the log nor the outbox nor the dead letters", o.Type, r.Rule)
	}
	on.came(o)
	return nil
}

// came says what came of a command.
func (on *Record) came(o *Output) {
	if effect, is := on.Effects[o.ID]; is {
		o.Effect = &effect
	}
	for i := range on.Caused {
		r := &on.Caused[i]
		if r.CausationID == o.ID && tells(r.Type) && len(o.Outcomes) < maxTold {
			o.Outcomes = append(o.Outcomes, Outcome{Type: r.Type, Sequence: strconv.FormatInt(r.Sequence, 10), Recorded: r.RecordedTime.UTC()})
		}
	}
}

// tells reports whether a type tells what became of a command.
func tells(typ string) bool {
	return strings.HasPrefix(typ, "crm.") && (strings.HasSuffix(typ, ".succeeded") || strings.HasSuffix(typ, ".failed")) || strings.HasPrefix(typ, "engine.effect.")
}

// sameEvent compares an event with its record as a reset does: when the schema got a new version since, the fields that both versions have.
func sameEvent(ctx context.Context, decoder *rules.Sandbox, derived *event.Event, r *event.Recorded) (bool, error) {
	if derived.Type != r.Type || derived.Subject != r.Subject || !derived.Time.Equal(r.Time) || derived.CausationID != r.CausationID ||
		derived.CorrelationID != r.CorrelationID || derived.Hops != r.Hops || !slices.Equal(derived.Path, r.Path) || derived.Source != r.Source {
		return false, nil
	}
	if bytes.Equal(derived.Value, r.Value) {
		return true, nil
	}
	a, _, err := event.Unframe(derived.Value)
	if err != nil {
		return false, fmt.Errorf("compare an output: %w", err)
	}
	b, _, err := event.Unframe(r.Value)
	if err != nil {
		return false, fmt.Errorf("read %s at %d: %w", r.Type, r.Sequence, err)
	}
	if a == b {
		return false, nil
	}
	again, err := decoder.Decode(ctx, &event.Recorded{Event: *derived})
	if err != nil {
		return false, fmt.Errorf("compare an output: %w", err)
	}
	was, err := decoder.Decode(ctx, r)
	if err != nil {
		return false, fmt.Errorf("read %s at %d: %w", r.Type, r.Sequence, err)
	}
	for name, v := range again {
		if w, both := was[name]; both && !reflect.DeepEqual(v, w) {
			return false, nil
		}
	}
	return true, nil
}
