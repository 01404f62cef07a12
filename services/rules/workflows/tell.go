package workflows

import (
	"context"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/flow"
)

// tell derives the lifecycle event of an activation. Only that of an end is a hop: rules and workflows may hear it. What else is told starts
// nothing, and must not be refused as a storm.
func (f *Fold) tell(ctx context.Context, inst advance.Instance, in Input, l *advance.Lifecycle) error {
	subject, value, err := f.encode(ctx, l.Type, l.Data())
	if err != nil {
		return err
	}
	e := advance.Envelope(inst, in.Event, advance.Output{ID: l.ID, Type: l.Type, Subject: subject, Value: value, Hops: inst.Hops})
	if !inst.Status.Ended() {
		e.Hops, e.Path = 0, nil
	}
	f.out.Events = append(f.out.Events, e)
	return nil
}

// reject tells a start that was rejected.
func (f *Fold) reject(ctx context.Context, p *flow.Program, t advance.Trigger, on advance.Stimulus, reason string) error {
	f.out.Rejected++
	id, data := advance.Rejection(p, t, on, f.bundle.Sequence, reason)
	return f.derive(ctx, Input{Event: on.Event}, id, advance.TypeRejected, data)
}

// derive derives an event about workflows that no instance derives. It is no hop.
func (f *Fold) derive(ctx context.Context, in Input, id, typ string, data map[string]any) error {
	subject, value, err := f.encode(ctx, typ, data)
	if err != nil {
		return err
	}
	ev := &in.Event
	if subject == "" {
		subject = ev.Subject
	}
	e := event.Event{
		TenantID: f.tenant, ID: id, Source: advance.Source, Type: typ, Subject: subject, Time: ev.RecordedTime.UTC(), ContentType: event.ContentTypeAvro,
		TraceParent: ev.TraceParent, TraceState: ev.TraceState, CorrelationID: ev.CorrelationID, CausationID: ev.ID, Origin: ev.EffectiveOrigin(), Value: value,
	}
	if e.CorrelationID == "" {
		e.CorrelationID = ev.ID
	}
	f.out.Events = append(f.out.Events, e)
	return nil
}

func (f *Fold) id(parts ...string) string {
	return event.DerivedID(f.tenant, append([]string{"workflow"}, parts...)...)
}

// encode gives an event its body, and the subject that its schema says.
func (f *Fold) encode(ctx context.Context, typ string, data map[string]any) (subject string, value []byte, err error) {
	known, err := f.env.Schemas(ctx, []string{typ})
	if err != nil {
		return "", nil, err
	}
	s := known[typ]
	if s.Avro == nil {
		return "", nil, fmt.Errorf("no schema of %s: %w", typ, errNoSchema)
	}
	body, err := s.Avro.EncodeMap(data)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	prefix, id := s.Avro.Subject(typ, body)
	return prefix + string(id), event.Frame(s.ID, body), nil
}
