package workflowstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// counting counts queries.
type counting struct {
	workflowstore.Querier
	n int
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.n++
	return c.Querier.Query(ctx, sql, args...)
}

// What is asked about each event of every tenant takes two queries a batch, however many tenants and events it has.
func TestBatch_AsksOnceForAllTenantsWhatEveryEventAsks(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "t-3", 5, begin, writeAll)
	inTx(t, p, func(tx pgx.Tx) error {
		q := &counting{Querier: tx}
		b := workflowstore.New(q, partitions)
		for i := range 20 {
			b.Tenant(fmt.Sprint("t-", i))
		}
		for range 3 {
			for i := range 20 {
				s := b.Tenant(fmt.Sprint("t-", i))
				list, err := s.Versions(t.Context())
				if err != nil {
					return err
				}
				if want := map[bool]int{true: 1}[i == 3]; len(list) != want {
					t.Errorf("tenant %d runs %v", i, list)
				}
				if _, err := s.Named(t.Context(), workflows.KindPause, ""); err != nil {
					return err
				}
			}
		}
		if q.n != 2 {
			t.Errorf("%d queries for 20 tenants, not 2", q.n)
		}
		return nil
	})
}

func TestBatch_ReadsNamedStatesAheadInOneQuery(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "t-1", 5, begin, writeAll)
	inTx(t, p, func(tx pgx.Tx) error {
		q := &counting{Querier: tx}
		b := workflowstore.New(q, partitions)
		reads := map[string]workflows.Reads{}
		for i := range 5 {
			reads[fmt.Sprint("t-", i)] = workflows.Reads{Named: []workflows.Pair{{Name: string(workflows.KindPace), Key: "sms"}, {Name: string(workflows.KindHealth), Key: "nurture"}}}
		}
		if err := b.Preload(t.Context(), reads); err != nil {
			return err
		}
		for i := range 5 {
			state, err := b.Tenant(fmt.Sprint("t-", i)).Named(t.Context(), workflows.KindPace, "sms")
			if err != nil {
				return err
			}
			if (state != nil) != (i == 1) {
				t.Errorf("tenant %d has %q", i, state)
			}
		}
		if q.n != 1 {
			t.Errorf("%d queries, not 1", q.n)
		}
		return nil
	})
}

// The list that is kept is that of the instances that live, whatever was put and taken back.
func TestVersions_FollowWhatIsPutAndTakenBack(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "acme", 5, begin, writeAll)
	batchOf(t, p, "acme", 6, begin, func(s *workflowstore.Tenant) {
		runs := func(want string) {
			t.Helper()
			list, err := s.Versions(t.Context())
			if got := fmt.Sprint(list); err != nil || got != want {
				t.Errorf("%s run (%v), want %s", got, err, want)
			}
		}
		runs("[{nurture 3}]")
		s.Begin()
		other := waiting("i-2")
		other.Bundle = 9
		s.PutInstance(other)
		runs("[{nurture 3} {nurture 9}]")
		s.Rollback()
		runs("[{nurture 3}]")
		s.Begin()
		ended := waiting("i-1")
		ended.Status, ended.Waits = "completed", nil
		s.PutInstance(ended)
		runs("[]")
		s.PutInstance(other)
		runs("[{nurture 9}]")
		s.Rollback()
		runs("[{nurture 3}]")
	})
}
