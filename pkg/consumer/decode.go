package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// Decoder reads the values of events under the schemas they were written with. Schemas are immutable, and the registry's client
// keeps them for ever, so a decoder costs no request after the first event of a schema. It is safe for concurrent use.
type Decoder struct{ schemas Schemas }

// NewDecoder returns a decoder that asks schemas.
func NewDecoder(schemas Schemas) *Decoder { return &Decoder{schemas: schemas} }

// Decode returns the fields of the event's data in the forms of avro.Schema.Decode. A registry that does not answer is Transient;
// an unknown schema and a body that does not fit it are errors of the event, for good.
func (d *Decoder) Decode(ctx context.Context, r *event.Recorded) (map[string]any, error) {
	return d.DecodeWith(ctx, r, func(digits string) any { return digits })
}

// DecodeWhole is DecodeWith, and what the catalogue's record of the event's type has and the writer's has not is null; see avro.Schema.Absent.
func (d *Decoder) DecodeWhole(ctx context.Context, r *event.Recorded, decimal func(digits string) any) (map[string]any, error) {
	data, err := d.DecodeWith(ctx, r, decimal)
	if err != nil {
		return nil, err
	}
	id, _, err := event.Unframe(r.Value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Type, err)
	}
	schema, err := d.schemas.SchemaByID(ctx, id) // it was known a moment ago, and such are kept
	if err != nil {
		return nil, Transient(fmt.Errorf("decode %s: schema %d: %w", r.Type, id, err))
	}
	for _, name := range schema.Absent(r.Type) {
		if _, is := data[name]; !is {
			data[name] = nil
		}
	}
	return data, nil
}

// DecodeWith is Decode with another form of decimals; see avro.Schema.DecodeWith.
func (d *Decoder) DecodeWith(ctx context.Context, r *event.Recorded, decimal func(digits string) any) (map[string]any, error) {
	id, body, err := event.Unframe(r.Value)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.Type, err)
	}
	schema, err := d.schemas.SchemaByID(ctx, id)
	switch {
	case errors.Is(err, registry.ErrUnknown):
		return nil, fmt.Errorf("decode %s: schema %d: %w", r.Type, id, err)
	case err != nil:
		return nil, Transient(fmt.Errorf("decode %s: schema %d: %w", r.Type, id, err))
	}
	data, err := schema.DecodeWith(body, decimal)
	if err != nil {
		return nil, fmt.Errorf("decode %s under schema %d: %w", r.Type, id, err)
	}
	return data, nil
}
