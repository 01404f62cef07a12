package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

type noHandler struct{}

func (noHandler) Apply(context.Context, pgx.Tx, consumer.Run) error { return nil }

// Waiting makes no tables: a consumer that lacks some ends at once and names them, instead of joining again and again.
func TestRun_EndsAtTheStartAndNamesTheTablesThatAreMissing(t *testing.T) {
	cfg := kafkatest.Start(t)
	for name, tc := range map[string]struct {
		sets []postgres.Migrations
		drop string
		want string
	}{
		"none was made":     {nil, `SELECT`, "lacks neuronx.progress, neuronx.partition_progress, neuronx.resets, neuronx.skips, neuronx.log_lineage, neuronx.definitions: run"},
		"some were lost":    {[]postgres.Migrations{consumer.Migrations()}, `DROP TABLE neuronx.skips CASCADE; DROP TABLE neuronx.resets CASCADE`, "lacks neuronx.resets, neuronx.skips: run"},
		"an older database": {[]postgres.Migrations{consumer.Migrations()}, `DROP TABLE neuronx.definitions CASCADE`, "lacks neuronx.definitions: run"},
		"one was renamed":   {[]postgres.Migrations{consumer.Migrations()}, `ALTER TABLE neuronx.log_lineage RENAME TO away`, "lacks neuronx.log_lineage: run"},
	} {
		t.Run(name, func(t *testing.T) {
			db := postgrestest.New(t, tc.sets...)
			if _, err := db.Pool(t, "").Exec(t.Context(), tc.drop); err != nil {
				t.Fatal(err)
			}
			c, err := consumer.New(consumer.Config{Name: "neuronx.projector", Slot: "0", Kafka: cfg, Pool: db.Pool(t, postgres.RoleProjector)}, noHandler{})
			if err != nil {
				t.Fatal(err)
			}
			// The time ends a consumer that waits; how long one takes that does not is no matter.
			ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
			defer cancel()
			if err := c.Run(ctx); err == nil || !app.IsFatal(err) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "neuronx provision --execute") {
				t.Errorf("it ended with %v (waited: %v), want a fatal error that says %q", err, errors.Is(ctx.Err(), context.DeadlineExceeded), tc.want)
			}
		})
	}
}
