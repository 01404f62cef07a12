package backtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// schemas keeps what a registry said, so that it is asked once. It is for one goroutine.
type schemas struct {
	from   rules.Registry
	types  map[string]known
	ids    map[int32]*avro.Schema
	hidden map[*avro.Schema]map[string]bool // top-level fields with personal data
}

type known struct {
	id     int32
	schema *avro.Schema
	err    error
}

func newSchemas(from rules.Registry) *schemas {
	return &schemas{from: from, types: map[string]known{}, ids: map[int32]*avro.Schema{}, hidden: map[*avro.Schema]map[string]bool{}}
}

// ByType implements rules.Registry.
func (s *schemas) ByType(ctx context.Context, typ string) (int32, *avro.Schema, error) {
	k, asked := s.types[typ]
	if !asked {
		k.id, k.schema, k.err = s.from.ByType(ctx, typ)
		if k.err == nil || errors.Is(k.err, ruleset.ErrUnknown) {
			s.types[typ] = k
		}
	}
	return k.id, k.schema, k.err
}

// SchemaByID implements rules.Registry.
func (s *schemas) SchemaByID(ctx context.Context, id int32) (*avro.Schema, error) {
	if known := s.ids[id]; known != nil {
		return known, nil
	}
	got, err := s.from.SchemaByID(ctx, id)
	if err == nil {
		s.ids[id] = got
	}
	return got, err
}

// decode gives the data of an event as people are told it.
func (s *schemas) decode(ctx context.Context, value []byte) (*avro.Schema, map[string]any, error) {
	id, body, err := event.Unframe(value)
	if err != nil {
		return nil, nil, err
	}
	schema, err := s.SchemaByID(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("find schema %d: %w", id, err)
	}
	data, err := schema.DecodeWith(body, func(digits string) any { return expr.Decimal(digits) })
	return schema, data, err
}

// encode makes the value of an event.
func (s *schemas) encode(ctx context.Context, typ string, data map[string]any) (subject string, value []byte, err error) {
	id, schema, err := s.ByType(ctx, typ)
	if err != nil {
		return "", nil, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	prefix, rest := schema.Subject(typ, body)
	return prefix + string(rest), event.Frame(id, body), nil
}

// reaches reports whether commands of a type reach a person.
func (s *schemas) reaches(ctx context.Context, typ string) (bool, error) {
	_, schema, err := s.ByType(ctx, typ)
	if errors.Is(err, ruleset.ErrUnknown) {
		return false, nil
	}
	return err == nil && schema.Reach() != "", err
}

// personal reports whether a top-level field holds personal data.
func (s *schemas) personal(schema *avro.Schema, field string) bool {
	fields := s.hidden[schema]
	if fields == nil {
		fields = map[string]bool{}
		for _, p := range schema.Personal() {
			top, _, _ := strings.Cut(p.Path, ".")
			top, _, _ = strings.Cut(top, "[")
			fields[top] = true
		}
		s.hidden[schema] = fields
	}
	return fields[field]
}

// leadOf is the id of the lead that an event is about; empty: none is named.
func leadOf(ctx context.Context, s *schemas, e *event.Event) (string, error) {
	if lead, is := strings.CutPrefix(e.Subject, "lead/"); is {
		return lead, nil
	}
	_, data, err := s.decode(ctx, e.Value)
	if err != nil {
		return "", fmt.Errorf("decode %s: %w", e.Type, err)
	}
	lead, _ := data["lead_id"].(string)
	return lead, nil
}
