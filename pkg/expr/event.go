package expr

import (
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/event"
)

// eventFields are the fields of the variable "event", sorted.
var eventFields = []string{"causation_id", "correlation_id", "hops", "id", "origin", "position", "recorded_time", "sequence",
	"source", "subject", "tenant_id", "time", "type"}

// EventFields lists, sorted, what an expression finds in the variable "event".
func EventFields() []string { return slices.Clone(eventFields) }

// EventVars is the value of the variable "event": the envelope of an event of the log. Numbers are int64, times are UTC.
func EventVars(r event.Recorded) map[string]any {
	return map[string]any{
		"id": r.ID, "type": r.Type, "subject": r.Subject, "source": r.Source, "time": timeOr(r.Time, r.RecordedTime),
		"sequence": r.Sequence, "position": r.Position, "recorded_time": r.RecordedTime.UTC(),
		"origin": string(r.EffectiveOrigin()), "correlation_id": r.CorrelationID, "causation_id": r.CausationID,
		"hops": int64(r.Hops), "tenant_id": r.TenantID,
	}
}

// timeOr fills in the recorded time where an event brought none: a zero time is outside what CEL can hold.
func timeOr(t, recorded time.Time) time.Time {
	if t.IsZero() {
		return recorded.UTC()
	}
	return t.UTC()
}
