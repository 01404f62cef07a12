package archiver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// schemaBook finds schemas by the registry's id and keeps each one met in neuronx.schemas, committed before the first row that
// needs it, so that the archive is readable without the registry.
type schemaBook struct {
	registry consumer.Schemas
	pool     *pgxpool.Pool

	mu    sync.Mutex
	known map[int32]knownSchema
}

type knownSchema struct {
	fingerprint [32]byte
	schema      *avro.Schema
}

func newSchemaBook(r consumer.Schemas, pool *pgxpool.Pool) *schemaBook {
	return &schemaBook{registry: r, pool: pool, known: map[int32]knownSchema{}}
}

// byID returns the schema. A registry that does not answer and a database that does not write are transient; a schema that neither
// the registry nor the archive has is an error of the event.
func (b *schemaBook) byID(ctx context.Context, id int32) (knownSchema, error) {
	b.mu.Lock()
	k, ok := b.known[id]
	b.mu.Unlock()
	if ok {
		return k, nil
	}
	s, err := b.registry.SchemaByID(ctx, id)
	if err != nil {
		// Events of a registry that was lost: the archive may have met the schema before.
		kept, kerr := b.kept(ctx, id)
		switch {
		case kerr == nil:
			return kept, nil
		case errors.Is(err, registry.ErrUnknown) && errors.Is(kerr, pgx.ErrNoRows):
			return knownSchema{}, fmt.Errorf("schema %d: %w", id, err)
		}
		return knownSchema{}, consumer.Transient(fmt.Errorf("schema %d: %w", id, errors.Join(err, kerr)))
	}
	k = knownSchema{fingerprint: s.Fingerprint(), schema: s}
	_, err = b.pool.Exec(ctx, `INSERT INTO neuronx.schemas (fingerprint, schema_id, schema) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		k.fingerprint[:], id, string(s.Text()))
	if err != nil {
		return knownSchema{}, consumer.Transient(fmt.Errorf("keep schema %d: %w", id, err))
	}
	b.mu.Lock()
	b.known[id] = k
	b.mu.Unlock()
	return k, nil
}

// kept reads a schema of the archive. It is not remembered: the registry is asked again for the next batch.
func (b *schemaBook) kept(ctx context.Context, id int32) (knownSchema, error) {
	var text string
	err := b.pool.QueryRow(ctx, `SELECT s.schema FROM neuronx.schemas s LEFT JOIN neuronx.schema_moves m USING (fingerprint)
		WHERE coalesce(m.schema_id, s.schema_id) = $1 ORDER BY s.seen_at DESC LIMIT 1`, id).Scan(&text)
	if err != nil {
		return knownSchema{}, err
	}
	s, err := avro.Parse([]byte(text))
	if err != nil {
		return knownSchema{}, err
	}
	return knownSchema{fingerprint: s.Fingerprint(), schema: s}, nil
}
