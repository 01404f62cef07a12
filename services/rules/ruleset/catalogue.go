package ruleset

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// ErrUnknown is what a catalogue answers when no schema has a type or id.
var ErrUnknown = registry.ErrUnknown

// Embedded is the catalogue of the schemas that this build carries: to check rule files without a registry. Its ids are not the
// registry's. It is the same one for all callers, parsed once a process.
func Embedded() (typecheck.Catalogue, error) { return carried() }

var carried = sync.OnceValues(func() (typecheck.Catalogue, error) {
	files, err := schemas.Files()
	if err != nil {
		return nil, fmt.Errorf("read embedded schemas: %w", err)
	}
	c := embedded{}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", f.Path, err)
		}
		if s.EventType() != "" {
			c[s.EventType()] = numbered{int32(i + 1), s}
		}
	}
	return c, nil
})

type numbered struct {
	id     int32
	schema *avro.Schema
}

type embedded map[string]numbered

func (c embedded) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	n, ok := c[typ]
	if !ok {
		return 0, nil, registry.ErrUnknown
	}
	return n.id, n.schema, nil
}

// Types lists the event types, sorted.
func (c embedded) Types(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(c)), nil
}

// SchemaByID finds a schema by the ids that ByType gives.
func (c embedded) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	for _, n := range c {
		if n.id == id {
			return n.schema, nil
		}
	}
	return nil, registry.ErrUnknown
}
