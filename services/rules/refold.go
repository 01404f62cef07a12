package rules

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// Refold rebuilds a tenant's rule state from its events 1 to through, in tx: for a log that was rebuilt and ends before what the
// rules had applied. Derived events that have a cause up to there and are neither among those events, in the outbox nor in the dead
// letters stood in the tail that is gone: they are put into the outbox again, under their ids. It returns their ids. The service must
// not run, and the transaction's role must see its tables.
func Refold(ctx context.Context, tx pgx.Tx, tenant string, through int64, archive stream.Source, reg *registry.Client, box *outbox.Outbox,
	partitions int32, log *slog.Logger) ([]string, error) {
	for _, table := range append([]string{"rule_state", "rule_health", "rule_bundles", "rule_missed_pages", "rule_reruns"}, workflowstore.Tables...) {
		if _, err := tx.Exec(ctx, `DELETE FROM neuronx.`+table+` WHERE tenant_id = $1`, tenant); err != nil {
			return nil, fmt.Errorf("empty %s of %s: %w", table, tenant, err)
		}
	}
	s := &shadow{archive: archive, registry: reg, log: log}
	env := &refolded{replayed: &replayed{shadow: s, decoder: consumer.NewDecoder(reg)}, tx: tx, partitions: partitions}
	f := newFold(tenant, env, nil, nil)
	there := map[string]bool{}
	skipped, err := consumer.Skips(ctx, tx, kafka.GroupRules, tenant)
	if err != nil {
		return nil, err
	}
	err = stream.Fold(ctx, archive, tenant, 1, through, func(r *event.Recorded) error {
		if r.Deriver == Deriver {
			there[r.ID] = true
		}
		if skipped[r.Sequence] {
			return nil
		}
		if err := f.apply(ctx, r); err != nil {
			return fmt.Errorf("evaluate %s/%d again: %w", tenant, r.Sequence, err)
		}
		if r.Sequence%refoldChunk == 0 {
			return env.write(ctx, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := env.write(ctx, f); err != nil {
		return nil, err
	}
	if err := save(ctx, tx, []*fold{f}); err != nil {
		return nil, err
	}
	return again(ctx, tx, tenant, f.outputs, there, box)
}

// refoldChunk is after how many events of a tenant its workflows are written and forgotten: memory need not hold all of them.
const refoldChunk = 1000

// refolded is the environment of Refold: rules begin empty, workflows are in the tables that it has emptied.
type refolded struct {
	*replayed
	tx         pgx.Tx
	partitions int32
	batch      *workflowstore.Batch
}

func (r *refolded) flows(tenant string) workflows.Store {
	r.batch = workflowstore.New(r.tx, r.partitions)
	return r.batch.Tenant(tenant)
}

func (r *refolded) write(ctx context.Context, f *fold) error {
	if r.batch == nil {
		return nil
	}
	err := r.batch.Save(ctx, r.tx)
	r.batch, f.store, f.workflows = nil, nil, nil
	return err
}

// again puts the outputs into the outbox that are neither in it nor anywhere else.
func again(ctx context.Context, tx pgx.Tx, tenant string, outputs []event.Event, there map[string]bool, box *outbox.Outbox) ([]string, error) {
	waiting, err := outbox.IDs(ctx, tx, tenant, Deriver)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT event_id FROM neuronx.dead_letters WHERE tenant_id = $1 AND deriver = $2`, tenant, Deriver)
	found, err := postgres.Collect(rows, err, "look for derived events", pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, id := range append(found, waiting...) {
		there[id] = true
	}
	var lost []*event.Event
	var ids []string
	for i := range outputs {
		if !there[outputs[i].ID] {
			lost, ids = append(lost, &outputs[i]), append(ids, outputs[i].ID)
		}
	}
	return ids, box.Add(ctx, tx, lost...)
}
