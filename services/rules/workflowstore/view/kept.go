package view

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// Kept is an instance in the texts that the fold keeps of it, for package explain. Personal has values, too: who shows it hides them.
type Kept struct {
	ID       string
	Workflow string
	Bundle   int64 // sequence of the rules.published that holds its text
	State    []byte
	Personal []byte // nil: none
}

// KeptOf returns the instance of an id, or the newest ones that a subject started or whose commands reach a lead, at most limit. An empty id, subject
// or lead means none.
func KeptOf(ctx context.Context, q Querier, tenant, id, subject, lead string, limit int) ([]Kept, error) {
	rows, err := q.Query(ctx, `SELECT id, workflow, bundle, state, personal FROM neuronx.workflow_instances
		WHERE tenant_id = $1 AND ($2 <> '' AND id = $2 OR $3 <> '' AND subject = $3 OR $4 <> '' AND contact = $4)
		ORDER BY started DESC, id LIMIT $5`, tenant, id, subject, lead, limit)
	return postgres.Collect(rows, err, "find instances of workflows", pgx.RowToStructByPos[Kept])
}
