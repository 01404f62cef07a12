package rules

import (
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
)

// stormTold is a storm as the last failure of its rule.
func stormTold(r *event.Recorded, data map[string]any) Failure {
	id, _ := data["event_id"].(string) // the schema has them as required
	hops, _ := data["hops"].(int64)
	f := &ruleFailure{code: trippedStorm, detail: fmt.Sprintf("an event that the rule derived, %d derivations from a fact, was refused as a storm: the event %s", hops, id)}
	return f.told(*r)
}

var errNoStorm = errors.New("not a storm of this deriver")

// storm makes engine.storm.detected from a dead letter: it names the rule that derived the refused event, with the whole path. The id
// comes from the refused event's, so that one dead letter gives one event.
func storm(e event.Event, schema Schema) (event.Event, error) {
	if len(e.Path) == 0 {
		return event.Event{}, errNoStorm
	}
	_, rule, version, err := parsePathEntry(e.Path[len(e.Path)-1])
	if err != nil {
		return event.Event{}, err
	}
	path := make([]any, len(e.Path))
	for i, p := range e.Path {
		path[i] = p
	}
	body, err := schema.Avro.EncodeMap(map[string]any{"rule": rule, "version": version, "hops": e.Hops, "path": path, "event_id": e.ID})
	if err != nil {
		return event.Event{}, fmt.Errorf("encode %s: %w", typeStorm, err)
	}
	return event.Event{
		TenantID: e.TenantID, ID: stormID(e.TenantID, e.ID), Source: Source, Type: typeStorm, Subject: "rule/" + rule,
		Time: e.Time, ContentType: event.ContentTypeAvro, TraceParent: e.TraceParent, TraceState: e.TraceState,
		CorrelationID: e.CorrelationID, CausationID: e.CausationID, Origin: e.EffectiveOrigin(), Value: event.Frame(schema.ID, body),
	}, nil
}

func stormID(tenant, refused string) string {
	return event.DerivedID(tenant, Deriver, "storm", refused)
}
