package workflowstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/rules/workflows"
	"github.com/neuronx/engine/services/rules/workflows/storetest"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

func TestTenant_Conforms(t *testing.T) {
	p := database(t).Pool(t, postgres.RoleRules)
	tenants := 0
	var tx pgx.Tx
	begin := func(tenant string) workflows.Store {
		var err error
		if tx, err = p.Begin(context.Background()); err != nil {
			t.Fatal(err)
		}
		return workflowstore.New(tx, partitions).Tenant(tenant)
	}
	storetest.Conform(t,
		func(t *testing.T) workflows.Store {
			tenants++
			s := begin(fmt.Sprint("tenant-", tenants))
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
			return s
		},
		func(s workflows.Store) workflows.Store {
			if err := s.(*workflowstore.Tenant).Batch().Save(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			return begin(fmt.Sprint("tenant-", tenants))
		})
}
