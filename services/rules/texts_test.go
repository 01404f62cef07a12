package rules

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// counted counts what is asked.
type counted struct {
	querier
	n int
}

func (c *counted) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.n++
	return c.querier.Query(ctx, sql, args...)
}

func (c *counted) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	c.n++
	return c.querier.QueryRow(ctx, sql, args...)
}

func TestSet_AsksForABundleOfBeforeOnce(t *testing.T) {
	b := newFlowBench(t)
	b.publish("a", 1, mail)
	q := &counted{querier: b.pool}
	for batch := range 3 {
		set, err := (&database{handler: b.h, q: q}).set(t.Context(), "a", 1)
		if err != nil || set == nil || set.Workflow("mail") == nil {
			t.Fatal(set, err)
		}
		if batch == 0 {
			q.n = 0
		}
	}
	if q.n > 0 {
		t.Errorf("%d queries of two batches for a bundle that never changes", q.n)
	}
	if set, err := (&database{handler: b.h, q: q}).set(t.Context(), "b", 1); set != nil || err != nil {
		t.Errorf("%v, %v: the other tenant published nothing", set, err)
	}
}
