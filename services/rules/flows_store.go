package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// batch is what workflows read and write in Postgres, of all tenants of the batch.
func (d *database) batch() *workflowstore.Batch {
	if d.kept == nil {
		d.kept = workflowstore.New(d.q, d.partitions)
	}
	return d.kept
}

func (d *database) flows(tenant string) workflows.Store { return d.batch().Tenant(tenant) }

func (d *database) history() stream.Source { return d.archive }

// set compiles a bundle of before, by which instances still run, unless it is kept. One that is too large to be compiled while a batch waits is for
// later.
func (d *database) set(ctx context.Context, tenant string, sequence int64) (*ruleset.Set, error) {
	key := fmt.Sprintf("%s/%d", tenant, sequence)
	if set := d.older[key]; set != nil {
		return set, nil
	}
	f, known := d.shared.textOf(key)
	if !known {
		rows, err := d.q.Query(ctx, `SELECT semantics, hash, octet_length(files::text) FROM neuronx.rule_bundles WHERE tenant_id = $1 AND sequence = $2`, tenant, sequence)
		f, err = postgres.CollectOne(rows, err, "load a bundle that instances run by", func(r pgx.CollectableRow) (f found, err error) {
			f.tenant, f.b = tenant, &bundle{Sequence: sequence}
			return f, r.Scan(&f.b.Semantics, &f.hash, &f.bytes)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		d.shared.keepText(key, f)
	}
	if d.compiler == nil { // nobody waits: what a bundle would do is worked out before it is published
		d.compiler = &compiler{kept: &d.shared, one: math.MaxInt, left: math.MaxInt}
	}
	set := d.compiler.find(ruleset.SetKey(f.hash, f.b.Semantics))
	if set == nil {
		if !d.compiler.room(f.bytes) {
			return nil, errLater
		}
		var err error
		if set, err = recompile(ctx, d.q, f, d.compiler.between); err != nil {
			return nil, err
		}
		d.compiler.keep(set)
	}
	if d.older == nil {
		d.older = map[string]*ruleset.Set{}
	}
	d.older[key] = set
	return set, nil
}

// inMemory are workflows of a tenant that is folded from its first event.
type inMemory struct {
	store *armedMemory
}

// armedMemory also remembers the due of each timer that was ever armed: one that fires when it is disarmed already is stale, and one that was never
// armed is wrong.
type armedMemory struct {
	*workflows.Memory
	armed map[string]time.Time
}

// Arm implements workflows.Store.
func (m *armedMemory) Arm(t workflows.Timer) {
	m.armed[t.ID] = t.Due
	m.Memory.Arm(t)
}

func (m *inMemory) flows(string) workflows.Store {
	if m.store == nil {
		m.store = &armedMemory{workflows.NewMemory(), map[string]time.Time{}}
	}
	return m.store
}

// wrongFiring says what is wrong with the firing of a timer; empty: it was armed, for that due.
func (m *inMemory) wrongFiring(data map[string]any) string {
	id, _ := data["timer_id"].(string) // the schema has both as required
	due, _ := data["due"].(time.Time)
	var want time.Time
	armed := false
	if m.store != nil {
		want, armed = m.store.armed[id]
	}
	switch {
	case !armed:
		return fmt.Sprintf("fires the timer %.64q, which nothing armed", id)
	case !due.Equal(want.Truncate(time.Microsecond)):
		return fmt.Sprintf("fires the timer %.64q for %s, and it was armed for %s", id, due.UTC().Format(time.RFC3339Nano), want.UTC().Format(time.RFC3339Nano))
	}
	return ""
}

// set: a fold from the first event holds all that was published itself.
func (m *inMemory) set(context.Context, string, int64) (*ruleset.Set, error) { return nil, nil }

// pruneEvery is how often ended instances are looked for that need not be kept any more.
const pruneEvery = time.Hour

// pruneWorkflows deletes instances that ended long ago until ctx ends.
func pruneWorkflows(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	for {
		if _, err := workflowstore.Prune(ctx, pool); err != nil && ctx.Err() == nil {
			log.Warn("ended instances of workflows stay for longer; trying again", "err", err)
		}
		if backoff.Wait(ctx, pruneEvery) != nil {
			return nil
		}
	}
}
