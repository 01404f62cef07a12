package tables

import (
	"context"
	"slices"

	"github.com/neuronx/engine/pkg/expr"

	"github.com/neuronx/engine/services/rules/rulefile"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// Check checks the expressions of a pool against the schemas of the events that it hears. declare adds what else they see to the types of their
// variables. The error is one of the schemas' catalogue, not of the lookup.
func (l *Lookup) Check(ctx context.Context, schemas *typecheck.Schemas, edition expr.Edition, declare func(map[string]expr.Type)) (rulefile.Problems, error) {
	if l.Pool == nil {
		return nil, nil
	}
	c := &typecheck.Checker{File: l.File, Rule: l.Name, Text: l.text, Edition: edition, Locations: l.locations, Fails: "the claim stays as it is then"}
	hear := func(on []string, texts ...*expr.Program) error {
		heard := map[string]*typecheck.Record{}
		for _, typ := range on {
			rec, err := schemas.Find(ctx, typ)
			if err != nil {
				return err
			}
			if rec == nil {
				c.Problem(l.Line, rulefile.CodeUnknownType, "pool: no schema has the type %s; %s", rulefile.Cut(typ), schemas.Hint(ctx, typ))
				continue
			}
			heard[typ] = rec
		}
		if len(heard) < len(on) {
			return nil
		}
		texts = slices.DeleteFunc(texts, func(p *expr.Program) bool { return p == nil })
		for _, typ := range on {
			vars := map[string]expr.Type{"data": typecheck.Data(typ, heard), "event": typecheck.Event(typ, on)}
			declare(vars)
			for _, p := range texts {
				if _, err := c.Check(p, vars, nil, false, typ); err != nil {
					return err
				}
			}
		}
		c.Tell(on)
		for _, p := range texts {
			c.Gives(p, "string")
		}
		return nil
	}
	if r := l.Pool.Release; r != nil {
		if err := hear(r.On, r.Key); err != nil {
			return nil, err
		}
	}
	if f := l.Pool.Follow; f != nil {
		if err := hear(f.On, f.Key, f.Member); err != nil {
			return nil, err
		}
	}
	return c.Problems, nil
}
