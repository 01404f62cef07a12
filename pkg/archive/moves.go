package archive

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// Moves are the numbers that archived schemas have in the registry of now, by fingerprint, where a reseed has found or given them
// others than they had when the events were archived. The archive's bytes stay as they are; a fingerprint is what says which schema.
type Moves map[[32]byte]int32

// LoadMoves reads neuronx.schema_moves.
func LoadMoves(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}) (Moves, error) {
	rows, err := q.Query(ctx, `SELECT fingerprint, schema_id FROM neuronx.schema_moves`)
	m := Moves{}
	var fingerprint []byte
	var id int32
	err = postgres.ForEach(rows, err, "load moved schemas", []any{&fingerprint, &id}, func() error { m[[32]byte(fingerprint)] = id; return nil })
	return m, err
}

// Reframe returns an archived event's value under the number that its schema has now. Without a move it is the value itself.
func (m Moves) Reframe(value []byte, fingerprint [32]byte) []byte {
	now, ok := m[fingerprint]
	if !ok {
		return value
	}
	id, body, err := event.Unframe(value)
	if err != nil || id == now {
		return value
	}
	return event.Frame(now, body)
}
