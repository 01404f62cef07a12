package outboxes

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Number is a number of a deriver's outbox that is wrong.
type Number struct {
	Tenant  string `json:"tenant_id"`
	Deriver string `json:"deriver"`
	Number  int64  `json:"number"`
	Action  string `json:"action"` // missing | mended | there (somebody else was faster) | jump | closed
}

// Report is what Mend found, and did about it.
type Report struct {
	Numbers []Number // jumps first
	Missing int
	Jumps   int
	Last    int64 // the number that the sequencer has
}

// Mend finds the numbers that a deriver's outbox lacks for a tenant, and jumps in them; with execute it puts placeholders under the former and
// closes the latter. It connects as operate.EnvAdmin, a role that may write every outbox.
func Mend(ctx context.Context, env *operate.Env, tenant, deriver string, execute bool) (Report, error) {
	keys, err := env.Keys()
	if err != nil {
		return Report{}, err
	}
	cfg, err := env.Kafka()
	if err != nil {
		return Report{}, err
	}
	pool, err := adminPool(ctx, env)
	if err != nil {
		return Report{}, err
	}
	defer pool.Close()
	if err := operate.KnownTenant(ctx, pool, tenant); err != nil {
		return Report{}, err
	}
	box := outbox.New(deriver, keys)
	read := func() (int64, error) {
		last, err := statelog.LastNumbers(ctx, cfg, keys, tenant)
		return last[deriver], err
	}
	last, err := read()
	if err != nil {
		return Report{}, operate.Fail("read the sequencer's state", err)
	}
	jumps, err := closeJump(ctx, pool, box, tenant, read, execute)
	if err != nil {
		return Report{}, operate.Fail("mend the outbox", err)
	}
	gaps, err := box.Missing(ctx, pool, tenant, last)
	if err != nil {
		return Report{}, operate.Fail("look at the outbox", err)
	}
	// Again: the number of a row that left the outbox in between is used up by now.
	if last, err = read(); err != nil {
		return Report{}, operate.Fail("read the sequencer's state", err)
	}
	gaps = slices.DeleteFunc(gaps, func(n int64) bool { return n <= last })
	var mended []int64
	if execute && len(gaps) > 0 {
		err := pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) (err error) { mended, err = box.Mend(ctx, tx, tenant, gaps); return err })
		if err != nil {
			return Report{}, operate.Fail("mend the outbox", err)
		}
	}
	return Report{Numbers: append(jumps, mendRows(tenant, deriver, gaps, mended, execute)...), Missing: len(gaps), Jumps: len(jumps), Last: last}, nil
}

func adminPool(ctx context.Context, env *operate.Env) (*pgxpool.Pool, error) {
	url, err := env.Need(operate.EnvAdmin, "a Postgres role that may write every outbox")
	if err != nil {
		return nil, err
	}
	if err := env.PostgresListening(operate.EnvAdmin, url); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(ctx, url, postgres.Application("neuronx-cli"), postgres.AllowSuperuser(), postgres.MaxConns(1))
	if err != nil {
		return nil, operate.Fail("connect to Postgres", err)
	}
	return pool, nil
}

// mendRows says what became of each missing number. It is pure.
func mendRows(tenant, deriver string, gaps, mended []int64, execute bool) (rows []Number) {
	for _, n := range gaps {
		action := "missing"
		switch {
		case slices.Contains(mended, n):
			action = "mended"
		case execute:
			action = "there"
		}
		rows = append(rows, Number{tenant, deriver, n, action})
	}
	return rows
}

// closeJump finds the first jump in a deriver's numbers behind those that the sequencer has, and closes it and those behind it if execute.
// last reads the sequencer's number. It is read again after the look: what left the outbox in between is no jump.
func closeJump(ctx context.Context, pool *pgxpool.Pool, box *outbox.Outbox, tenant string, last func() (int64, error), execute bool) ([]Number, error) {
	before, err := last()
	if err != nil {
		return nil, err
	}
	after, found, err := box.Jump(ctx, pool, tenant, before)
	if err != nil || !found {
		return nil, err
	}
	if now, err := last(); err != nil || now > after {
		return nil, err
	}
	action := "jump"
	if execute {
		action = "closed"
		err = pgx.BeginFunc(context.WithoutCancel(ctx), pool, func(tx pgx.Tx) error {
			_, _, err := box.Renumber(ctx, tx, tenant, after, func(*event.Event) (bool, error) { return true, nil })
			return err
		})
	}
	return []Number{{tenant, box.Deriver(), after + 1, action}}, err
}
