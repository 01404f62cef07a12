package gohighlevel

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
)

// Catalogue finds the newest schema of an event type. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// outcomes makes the events that tell how effects ended.
type outcomes struct {
	schemas Catalogue
	now     func() time.Time
}

// outcomeID is the id of the outcome of an effect after so many decisions of people. Two ends of the same effect without a decision
// between them are one outcome, whichever reports it.
func outcomeID(tenant, effectID string, resolutions int) string {
	return event.DerivedID(tenant, effect.Adapter, effectID, "outcome", strconv.Itoa(resolutions))
}

// build makes the outcome event of an end; nil when the end is none that the log is told: unknown, recorded, off, another try.
func (o *outcomes) build(ctx context.Context, e ledger.Effect, end ledger.End) (*event.Event, error) {
	data := map[string]any{"command_id": e.ID, "lead_id": leadID(e), "adapter": effect.Adapter}
	if end.Detail != "" {
		data["detail"] = end.Detail
	}
	typ := e.Kind
	switch end.Status {
	case effect.Done:
		typ += ".succeeded"
		if end.RemoteID != "" {
			data["remote_id"] = end.RemoteID
		}
	case effect.Failed:
		typ += ".failed"
		data["code"] = end.Code
	default:
		return nil, nil
	}
	id, schema, err := o.schemas.ByType(ctx, typ)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	env := e.Envelope
	path := append(append([]string{}, env.Path...), e.Kind+".requested<"+effect.Adapter+"@1")
	return &event.Event{
		TenantID: e.TenantID, ID: outcomeID(e.TenantID, e.ID, e.Resolutions), Source: "/neuronx/" + effect.Adapter, Type: typ, Subject: e.Subject,
		Time: o.now().UTC().Truncate(time.Microsecond), CorrelationID: env.CorrelationID, CausationID: e.ID, TraceParent: env.TraceParent,
		TraceState: env.TraceState, Hops: env.Hops + 1, Path: path[max(0, len(path)-event.MaxHops):], Origin: env.Origin,
		Value: event.Frame(id, body),
	}, nil
}

func leadID(e ledger.Effect) string {
	if e.Command.LeadID != "" {
		return e.Command.LeadID
	}
	lead, is := strings.CutPrefix(e.Subject, "lead/")
	if e.Command.Unfit != "" && !is {
		return "" // the subject is another thing's, or was made up for want of a usable lead id
	}
	return lead
}
