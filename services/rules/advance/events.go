package advance

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Source is the ce_source of what workflows derive.
const Source = "/neuronx/workflows"

// Envelope gives an output its envelope. Its id says which run of which task it is, and nothing of the cause: a timer that fires again after the end
// of a log was lost makes the same command, and the ledger carries it out once. Everything else comes from the instance and the cause, so a
// replay gives the same bytes.
func Envelope(in Instance, cause event.Recorded, out Output) event.Event {
	return event.Event{
		TenantID: in.Tenant, ID: out.ID, Source: Source, Type: out.Type, Subject: out.Subject, Time: cause.RecordedTime.UTC(), ContentType: event.ContentTypeAvro,
		TraceParent: cause.TraceParent, TraceState: cause.TraceState, CorrelationID: in.Correlation, CausationID: cause.ID,
		Origin: in.Origin, // what an import started is no more live than the import
		Hops:   out.Hops, Path: append(slices.Clone(in.Path), out.Type+"<"+in.Workflow+"@"+strconv.FormatInt(in.Bundle, 10)), Value: out.Value,
	}
}

// Types of lifecycle events.
const (
	TypeStarted   = "workflow.started"
	TypeAdvanced  = "workflow.advanced"
	TypeCompleted = "workflow.completed"
	TypeCancelled = "workflow.cancelled"
	TypeFaulted   = "workflow.faulted"
	TypeIncident  = "workflow.incident.raised"
	TypeRejected  = "workflow.rejected"
)

// Lifecycle tells what an activation did, at most one event each: the end of the instance, else its incidents, else its start, else how it
// went on. No value of a variable stands in it.
type Lifecycle struct {
	ID         string // of the event
	Type       string
	InstanceID string
	Workflow   string
	Version    int64 // sequence of the rules.published that holds its text
	Key        string
	Activation int64
	Cause      int64 // sequence

	TriggerType string // of a start
	Number      int64  // nth start of the key
	Outcome     string // of an end
	Done        []string
	At          []string // tasks at which tokens rest
	Due         time.Time
	Listens     []string
	Emitted     []string // ids
	Decisions   []Decision
	Vars        []string // names of those that changed
	Incidents   []Incident
}

// Subject is that of the event, as its schema has it.
func (l *Lifecycle) Subject() string { return "instance/" + l.InstanceID }

// Data is the event's data. Lists are empty rather than absent; due and outcome are null where there is none.
func (l *Lifecycle) Data() map[string]any {
	texts := func(list []string) []any {
		out := make([]any, len(list))
		for i, s := range list {
			out[i] = s
		}
		return out
	}
	data := map[string]any{
		"instance_id": l.InstanceID, "workflow": l.Workflow, "version": l.Version, "key": l.Key, "activation": l.Activation, "cause_sequence": l.Cause,
		"done": texts(l.Done), "emitted": texts(l.Emitted), "at": texts(l.At), "listens": texts(l.Listens), "vars": texts(l.Vars), "due": nil, "outcome": nil,
	}
	if l.TriggerType != "" {
		data["trigger_type"], data["number"] = l.TriggerType, l.Number
	}
	if l.Outcome != "" {
		data["outcome"] = l.Outcome
	}
	if !l.Due.IsZero() {
		data["due"] = l.Due
	}
	decisions := make([]any, len(l.Decisions))
	for i, d := range l.Decisions {
		decisions[i] = map[string]any{"task": d.Task, "kind": d.Kind, "name": d.Name, "value": d.Value}
	}
	data["decisions"] = decisions
	incidents := make([]any, len(l.Incidents))
	for i, x := range l.Incidents {
		incidents[i] = map[string]any{"incident_id": x.ID, "task": x.Task, "code": x.Code, "detail": x.Detail, "attempt": x.Attempt}
	}
	data["incidents"] = incidents
	return data
}

// lifecycle tells the activation; nil: there is nothing to tell, such as an event that a listen will hear later.
func (m *machine) lifecycle() *Lifecycle {
	l := &Lifecycle{
		ID: m.id("#", strconv.FormatInt(m.in.Activation, 10)), Type: TypeAdvanced, InstanceID: m.in.ID, Workflow: m.in.Workflow, Version: m.in.Bundle, Key: m.in.Key,
		Activation: m.in.Activation, Cause: m.on.Event.Sequence, Done: m.done, Decisions: m.decisions, Vars: slices.Sorted(maps.Keys(m.changed)), Incidents: m.incidents,
	}
	if m.on.Kind == Start {
		l.Type, l.TriggerType, l.Number = TypeStarted, m.in.Trigger, m.in.Number
		if m.in.Zone == "" && m.p.Start.Zone != nil {
			l.Decisions = append([]Decision{{Task: "start", Kind: "zone", Name: "zone", Value: "unknown"}}, l.Decisions...)
		}
	}
	for _, o := range m.res.Outputs {
		l.Emitted = append(l.Emitted, o.ID)
	}
	for _, t := range m.in.Tokens {
		l.At = append(l.At, t.Task)
		if t.Rest == AtListen {
			l.Listens = append(l.Listens, t.Task)
		}
		if t.Timer != nil && (l.Due.IsZero() || t.Timer.Due.Before(l.Due)) {
			l.Due = t.Timer.Due
		}
	}
	switch {
	case m.in.Status.Ended():
		l.Type = map[Status]string{Completed: TypeCompleted, Cancelled: TypeCancelled, Faulted: TypeFaulted}[m.in.Status]
		l.Outcome = m.in.Outcome
	case len(m.incidents) > 0:
		l.Type = TypeIncident
	case m.on.Kind == Heard && len(l.Done)+len(l.Decisions)+len(l.Emitted)+len(l.Vars) == 0:
		return nil
	}
	return l
}
