package timers

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules/advance"
)

// Deriver is the name under which timers are fired.
const Deriver = "timers"

// Type is the event type of a firing.
const Type = "timer.fired"

// subjectPrefix stands before the id of a timer in the subject of its firing.
const subjectPrefix = "timer/"

// Firing is a timer that fires.
type Firing struct {
	Tenant      string
	ID          string
	Instance    string
	Workflow    string
	Task        string
	Bundle      int64 // sequence of the rules.published by which the instance runs; 0: the instance is gone
	Due         time.Time
	Armed       int64  // sequence of the event that armed it
	Cause       string // id of that event
	Correlation string
	Origin      event.Origin
	Attempt     int64
}

// EventID is the id of a firing: the same however often it is put into the outbox, and another for each attempt, so that an earlier one in the
// log does not swallow it.
func EventID(tenant, timer string, attempt int64) string {
	return event.DerivedID(tenant, "timer", timer, strconv.FormatInt(attempt, 10))
}

// event makes the firing. It begins a chain: it is no hop.
func (f *Firing) event(schemaID int32, s *avro.Schema) (event.Event, error) {
	body, err := s.EncodeMap(map[string]any{"timer_id": f.ID, "due": f.Due, "rule": f.Workflow, "instance_id": f.Instance, "task": f.Task, "armed_sequence": f.Armed,
		"attempt": f.Attempt})
	if err != nil {
		return event.Event{}, fmt.Errorf("encode the firing of timer %s: %w", f.ID, err)
	}
	id := EventID(f.Tenant, f.ID, f.Attempt)
	e := event.Event{
		TenantID: f.Tenant, ID: id, Source: advance.Source, Type: Type, Subject: subjectPrefix + f.ID, Time: f.Due.UTC(), ContentType: event.ContentTypeAvro,
		CorrelationID: f.Correlation, CausationID: f.Cause, Origin: f.Origin, Value: event.Frame(schemaID, body),
		Path: []string{Type + "<" + f.Workflow + "@" + strconv.FormatInt(f.Bundle, 10)},
	}
	if e.CorrelationID == "" {
		e.CorrelationID = id
	}
	return e, nil
}

// timerOf is the id of the timer whose firing an event is; empty: it is none.
func timerOf(e *event.Event) string {
	id, ok := strings.CutPrefix(e.Subject, subjectPrefix)
	if !ok || e.Type != Type {
		return ""
	}
	return id
}
