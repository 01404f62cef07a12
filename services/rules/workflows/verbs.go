package workflows

import (
	"context"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
)

// What people ask of instances and workflows, by events.
const (
	typeResolved  = "workflow.incident.resolved"
	typeSuspended = "workflow.suspended"
	typeResumed   = "workflow.resumed"
	typeCancel    = "workflow.cancel.requested"
	typePaused    = "workflow.paused"
	typeUnpaused  = "workflow.unpaused"
	typeMigrated  = "workflow.migrated"
	typeStart     = "workflow.start.requested"

	typeRefused = "workflow.verb.refused"
)

// Codes of workflow.verb.refused besides those of advance.Result.Ignored. An instance that is not kept, because it ended long ago or never was, is refused
// as one that has ended: a replay keeps those that the service has deleted, and must refuse them with the same code.
const (
	unsupported   = "unsupported"    // this build can't do it in the way that is asked for
	unknownAction = "unknown_action" // of an incident
	unknownFlow   = "no_workflow"    // the bundle in force has none of that name
	isPaused      = "paused"
	notPaused     = "not_paused"
	notInForce    = "not_in_force" // the text that an instance is to go on by is that of another bundle

	noEvent   = "no_event"   // that a workflow is to start on: the request names none, or another one has its sequence
	noTrigger = "no_trigger" // the workflow does not start on events of its type or origin, or it is marked as quiet
	notWhen   = "not_when"   // start.when does not hold
	otherKey  = "other_key"  // start.key gives another key than the one that was asked for
	isErased  = "erased"     // whom the event is about was erased since
)

// resumedAtOnce bounds how many held instances go on by one event; the others follow with the events after it.
const resumedAtOnce = 100

// verbs answer requests: the code says why one is refused.
var verbs = map[string]func(*Fold, context.Context, Input) (code string, err error){
	typeResolved:  (*Fold).resolveIncident,
	typeSuspended: (*Fold).suspend,
	typeResumed:   (*Fold).resumeOne,
	typeCancel:    (*Fold).cancel,
	typePaused:    (*Fold).pause,
	typeUnpaused:  (*Fold).unpause,
	typeMigrated:  (*Fold).migrate,
	typeStart:     (*Fold).startAsked,
}

// verb does what was asked, or tells why it is refused.
func (f *Fold) verb(ctx context.Context, in Input) error {
	code, err := verbs[in.Event.Type](f, ctx, in)
	if err != nil || code == "" {
		return err
	}
	return f.refuse(ctx, in, code)
}

// refuse tells that a request changed nothing.
func (f *Fold) refuse(ctx context.Context, in Input, code string) error {
	return f.refuseAs(ctx, in, code, "")
}

// refuseAs is refuse with a detail for people; it holds no value of a variable.
func (f *Fold) refuseAs(ctx context.Context, in Input, code, detail string) error {
	data := map[string]any{"verb_id": in.Event.ID, "verb_type": in.Event.Type, "cause_sequence": in.Event.Sequence, "code": code}
	for _, field := range []string{"instance_id", "workflow"} {
		if v, _ := in.Data[field].(string); v != "" {
			data[field] = v
		}
	}
	if detail != "" {
		data["detail"] = detail
	}
	return f.derive(ctx, in, RefusalID(f.tenant, in.Event.ID), typeRefused, data)
}

// RefusalID is the id of the workflow.verb.refused that answers a request; if the request is done there is none.
func RefusalID(tenant, request string) string {
	return event.DerivedID(tenant, "workflow", "refused", request)
}

// ask moves the instance that a verb names.
func (f *Fold) ask(ctx context.Context, in Input, on advance.Stimulus) (string, error) {
	id, _ := in.Data["instance_id"].(string)
	return f.move(ctx, id, in, on)
}

func (f *Fold) resolveIncident(ctx context.Context, in Input) (string, error) {
	incident, _ := in.Data["incident_id"].(string)
	action, _ := in.Data["action"].(string)
	on := advance.Stimulus{Incident: incident}
	switch action {
	case "retry":
		on.Kind = advance.Retry
	case "skip":
		on.Kind = advance.Skip
	case "cancel":
		return f.cancel(ctx, in)
	default:
		return unknownAction, nil
	}
	return f.ask(ctx, in, on)
}

func (f *Fold) suspend(ctx context.Context, in Input) (string, error) {
	return f.ask(ctx, in, advance.Stimulus{Kind: advance.Suspend})
}

func (f *Fold) cancel(ctx context.Context, in Input) (string, error) {
	return f.ask(ctx, in, advance.Stimulus{Kind: advance.Cancel})
}

// resumeOne resumes an instance that was suspended, or one that is still held by a pause which is over.
func (f *Fold) resumeOne(ctx context.Context, in Input) (string, error) {
	id, _ := in.Data["instance_id"].(string)
	row, err := f.store.Instance(ctx, id)
	if err != nil {
		return "", err
	}
	if row == nil || !row.Paused {
		return f.ask(ctx, in, advance.Stimulus{Kind: advance.Resume})
	}
	held, err := f.paused(ctx, row.Workflow)
	if err != nil {
		return "", err
	}
	if held != nil && held.Hold {
		return isPaused, nil
	}
	return f.ask(ctx, in, advance.Stimulus{Kind: advance.Unpause})
}

// Pause is what is kept of a workflow that starts nothing, and whose instances rest where they are if Hold is true.
type Pause struct {
	Hold     bool  `json:"hold,omitzero"`
	Sequence int64 `json:"sequence"` // of the event that paused it
}

func (f *Fold) paused(ctx context.Context, workflow string) (*Pause, error) {
	return named[*Pause](ctx, f, KindPause, workflow)
}

// pause stops the starts of a workflow. With hold, what comes for one of its instances is taken in and runs no task: until still ends it.
func (f *Fold) pause(ctx context.Context, in Input) (string, error) {
	name, _ := in.Data["workflow"].(string)
	known, err := f.runs(ctx, name)
	if err != nil || !known {
		return unknownFlow, err
	}
	hold, _ := in.Data["hold"].(bool)
	return "", putNamed(f, KindPause, name, Pause{Hold: hold, Sequence: in.Event.Sequence})
}

// runs reports whether a workflow is in the bundle in force, or has instances that live.
func (f *Fold) runs(ctx context.Context, name string) (bool, error) {
	if f.set().Workflow(name) != nil {
		return true, nil
	}
	versions, err := f.store.Versions(ctx)
	for _, v := range versions {
		if v.Workflow == name && name != "" {
			return true, err
		}
	}
	return false, err
}

func (f *Fold) unpause(ctx context.Context, in Input) (string, error) {
	name, _ := in.Data["workflow"].(string)
	p, err := f.paused(ctx, name)
	if err != nil {
		return "", err
	}
	if p == nil || name == "" {
		return notPaused, nil
	}
	f.store.PutNamed(KindPause, name, nil)
	list, err := named[[]string](ctx, f, KindPause, "")
	if err != nil {
		return "", err
	}
	if err := putNamed(f, KindPause, "", append(without(list, name), name)); err != nil {
		return "", err
	}
	return "", f.resume(ctx, in)
}

// resume lets instances go on that a pause held, a number an event: one event must not wake a hundred thousand. It runs at the beginning of
// every event while some are left.
func (f *Fold) resume(ctx context.Context, in Input) error {
	list, err := named[[]string](ctx, f, KindPause, "")
	if err != nil || len(list) == 0 {
		return err
	}
	left := resumedAtOnce
	for len(list) > 0 && left > 0 {
		name := list[0]
		p, err := f.paused(ctx, name)
		if err != nil {
			return err
		}
		if p == nil {
			refs, err := f.store.Paused(ctx, name, left)
			if err != nil {
				return err
			}
			for _, r := range refs {
				if _, err := f.move(ctx, r.ID, in, advance.Stimulus{Kind: advance.Unpause}); err != nil {
					return err
				}
			}
			if left -= len(refs); left == 0 {
				break
			}
		}
		list = list[1:] // all go on, or it is paused again
	}
	if len(list) == 0 {
		f.store.PutNamed(KindPause, "", nil)
		return nil
	}
	return putNamed(f, KindPause, "", list)
}

func without(list []string, name string) []string {
	var out []string
	for _, s := range list {
		if s != name {
			out = append(out, s)
		}
	}
	return out
}
