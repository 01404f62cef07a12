package workflowstore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/advance"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

func TestBound_LeavesAnEventThatFindsTooManyForLaterAndReadsTheOthers(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	batchOf(t, p, "acme", 5, begin, func(s *workflowstore.Tenant) {
		for i := range 11 {
			row := waiting(fmt.Sprintf("i-%02d", i))
			s.PutInstance(row)
		}
		few := waiting("few")
		few.Waits = []advance.Wanted{{Type: "lead.lost", Value: "few"}}
		s.PutInstance(few)
	})
	many, few := advance.Wanted{Type: "lead.lost", Value: "42"}, advance.Wanted{Type: "lead.lost", Value: "few"}
	inTx(t, p, func(tx pgx.Tx) error {
		b := workflowstore.New(tx, partitions)
		b.Bound(10)
		s := b.Tenant("acme")
		if err := s.Preload(t.Context(), workflows.Reads{Waits: []advance.Wanted{many, few}}); err != nil {
			t.Fatal(err)
		}
		if refs, err := s.Waiting(t.Context(), []advance.Wanted{many}); !errors.Is(err, workflows.ErrDear) {
			t.Errorf("found %d, %v", len(refs), err)
		}
		if refs, err := s.Waiting(t.Context(), []advance.Wanted{few}); err != nil || len(refs) != 1 {
			t.Errorf("found %d, %v: one waits for it", len(refs), err)
		}
		return nil
	})
	inTx(t, p, func(tx pgx.Tx) error {
		for _, most := range []int{0, 11} {
			b := workflowstore.New(tx, partitions)
			b.Bound(most)
			if refs, err := b.Tenant("acme").Waiting(t.Context(), []advance.Wanted{many}); err != nil || len(refs) != 11 {
				t.Errorf("within %d: found %d, %v", most, len(refs), err)
			}
		}
		return nil
	})
}
