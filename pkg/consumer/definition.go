package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neuronx/engine/pkg/postgres"
)

// DefinedHandler is a handler whose data can be built again from the log, and which another build may build differently. Definition names
// how this one does: a hash that changes whenever the same events would give other data, and for no other reason. It is not empty and not
// DefinitionMixed.
//
// A derivation is named by its consumer, definition, generation and tenant. The row of a generation carries the definition of the handler
// that applied its first event; once another has applied one, it carries DefinitionMixed.
//
// The projector has a definition. The others have none: the archiver stores events as they are; the rules' texts and the version of their
// semantics are events of the log themselves; and what an adapter has sent can't be built again.
type DefinedHandler interface {
	Definition() string
}

// DefinitionMixed is the definition of a generation that several definitions have fed: its rows are the fold of none of them.
const DefinitionMixed = "mixed"

// definitionOf names the definition of a handler, or "" if it has none.
func definitionOf(h Handler) string {
	if d, ok := h.(DefinedHandler); ok {
		return d.Definition()
	}
	return ""
}

// definition names that of the feed that a consumer's rows belong to.
func (c *Consumer) definition(consumer string) string {
	for _, f := range c.feeds {
		if f.consumer == consumer {
			return definitionOf(f.handler)
		}
	}
	return ""
}

// built is to with the definition that it has after a handler of definition by took the generation there from r. An empty definition is not
// known, and stays so. It is pure.
func (r Row) built(to Row, by string) Row {
	to.Definition = r.Definition
	switch {
	case by == "" || to.Sequence == r.Sequence:
	case r.Sequence == 0:
		to.Definition = by
	case r.Definition != "" && r.Definition != by:
		to.Definition = DefinitionMixed
	}
	return to
}

// Verdict says what a build does about a generation that may have been built by another definition.
type Verdict string

// The verdicts.
const (
	Keep    Verdict = "keep"    // it is of this build's definition, or there is nothing to do yet
	Rebuild Verdict = "rebuild" // it is of another definition, or of none that is known, and this build has the newest
	Wait    Verdict = "wait"    // it is of another definition, and a newer build exists, which rebuilds it when it has the partition
)

// Judge decides about the newest generation of a tenant, for a build of definition mine, where newest is the newest definition that a build
// came with. A stalled tenant is left to its operator, and a generation without events will be of the build that applies the first. It is
// pure.
func Judge(r Row, mine, newest string) Verdict {
	switch {
	case r.Sequence == 0, r.State != Live && r.State != CatchingUp, r.Definition == mine:
		return Keep
	case mine != newest:
		return Wait
	}
	return Rebuild
}

// register records the definitions of the feeds, so that older builds learn of them. A definition that was there before keeps its place.
func (c *Consumer) register(ctx context.Context) error {
	for _, f := range c.feeds {
		d := definitionOf(f.handler)
		if d == "" {
			continue
		}
		if err := postgres.Exec(ctx, c.cfg.Pool, fmt.Sprintf("register definition %s of %s", d, f.consumer), `INSERT INTO neuronx.definitions (consumer, definition) VALUES ($1, $2) ON CONFLICT DO NOTHING`, f.consumer, d); err != nil {
			return err
		}
	}
	return nil
}

// Newest returns the newest definition that a build of a consumer came with, and when it first did; "" if none did.
func Newest(ctx context.Context, q querier, consumer string) (definition string, since time.Time, err error) {
	rows, err := q.Query(ctx, `SELECT definition, first_seen FROM neuronx.definitions WHERE consumer = $1 ORDER BY n DESC LIMIT 1`, consumer)
	if err != nil {
		return "", since, fmt.Errorf("find the newest definition: %w", err)
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&definition, &since)
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		return "", since, fmt.Errorf("find the newest definition: %w", err)
	}
	return definition, since, nil
}

// BuiltOtherwise returns the newest generation of each tenant of some partitions that has events and is not of a definition.
func BuiltOtherwise(ctx context.Context, q querier, consumer, definition string, partitions []int32) ([]Row, error) {
	rows, err := q.Query(ctx, `SELECT `+rowColumns+` FROM (SELECT DISTINCT ON (tenant_id) * FROM neuronx.progress
			WHERE consumer = $1 AND partition = ANY($2) ORDER BY tenant_id, generation DESC) newest
		WHERE sequence > 0 AND definition IS DISTINCT FROM $3`, consumer, partitions, definition)
	return postgres.Collect(rows, err, "list generations of other definitions", scanRow)
}
