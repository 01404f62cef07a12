package projector

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
)

// List returns the progress of the projector's feeds: of one tenant, or of all in a state; both empty mean all. The role is neuronx_ops.
func List(ctx context.Context, pool *pgxpool.Pool, tenant string, state consumer.State) ([]consumer.Row, error) {
	var all []consumer.Row
	for _, feed := range Feeds() {
		rows, err := consumer.Rows(ctx, pool, consumer.RowName(kafka.GroupProjector, feed), tenant, state)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
