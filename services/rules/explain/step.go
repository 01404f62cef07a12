package explain

import (
	"strconv"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// Step is one activation of an instance, as its lifecycle event tells it.
type Step struct {
	Activation int64      `json:"activation"` // from 1
	Type       string     `json:"type"`       // workflow.started, workflow.advanced …
	Sequence   string     `json:"sequence"`   // of that event
	Recorded   time.Time  `json:"recordedtime"`
	Cause      string     `json:"cause_sequence"`
	Trigger    string     `json:"trigger_type,omitempty"` // of a start: the type of the event
	Number     int64      `json:"number,omitempty"`       // of a start: which one of the key
	Outcome    string     `json:"outcome,omitempty"`      // of an end
	Done       []string   `json:"done"`                   // paths of the tasks that ran
	Decisions  []Decision `json:"decisions"`
	Incidents  []Incident `json:"incidents"`
	Vars       []string   `json:"vars"` // names of the variables that changed
	At         []string   `json:"at"`   // paths of the tasks at which it rests
	Listens    []string   `json:"listens"`
	Due        *time.Time `json:"due,omitempty"` // of its next timer
}

// Decision is something that an activation decided.
type Decision struct {
	Task  string `json:"task"`
	Kind  string `json:"kind"` // assign, suppress, skip, defer, late or zone
	Name  string `json:"name"` // a pool, a channel …
	Value string `json:"value"`
}

// Incident is a task that failed and that nothing caught.
type Incident struct {
	ID      string `json:"incident_id"`
	Task    string `json:"task"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Attempt int64  `json:"attempt"`
}

// stepOf reads a lifecycle event.
func stepOf(r *event.Recorded, data map[string]any) *Step {
	number := func(from map[string]any, field string) int64 { n, _ := from[field].(int64); return n }
	s := &Step{
		Activation: number(data, "activation"), Type: r.Type, Sequence: strconv.FormatInt(r.Sequence, 10), Recorded: r.RecordedTime.UTC(),
		Cause: strconv.FormatInt(number(data, "cause_sequence"), 10), Trigger: text(data, "trigger_type"), Number: number(data, "number"), Outcome: text(data, "outcome"),
		Done: texts(data, "done"), Vars: texts(data, "vars"), At: texts(data, "at"), Listens: texts(data, "listens"), Decisions: []Decision{}, Incidents: []Incident{},
	}
	if due, is := data["due"].(time.Time); is {
		s.Due = &due
	}
	for _, d := range records(data, "decisions") {
		s.Decisions = append(s.Decisions, Decision{Task: text(d, "task"), Kind: text(d, "kind"), Name: text(d, "name"), Value: text(d, "value")})
	}
	for _, d := range records(data, "incidents") {
		s.Incidents = append(s.Incidents, Incident{ID: text(d, "incident_id"), Task: text(d, "task"), Code: text(d, "code"), Detail: text(d, "detail"), Attempt: number(d, "attempt")})
	}
	return s
}

func records(data map[string]any, field string) (out []map[string]any) {
	list, _ := data[field].([]any)
	for _, v := range list {
		if m, is := v.(map[string]any); is {
			out = append(out, m)
		}
	}
	return out
}
