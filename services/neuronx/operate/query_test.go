package operate_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/operatetest"
)

func TestPool_IsOneASessionAndRefusesATenantThatIsNotThereEveryTime(t *testing.T) {
	e := operatetest.New(t)
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps)}[name]
	}, Tenant: "acmee"}
	for range 2 {
		if _, err := env.Pool(t.Context()); err == nil {
			t.Error("a tenant that is not there was taken")
		}
	}
	env.Tenant = "acme"
	first, err := env.Pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := env.Pool(t.Context()); err != nil || again != first {
		t.Errorf("a second pool: %v", err)
	}
	env.Close()
	after, err := env.Pool(t.Context())
	if err != nil || after == first {
		t.Errorf("the closed pool is handed out: %v", err)
	}
	env.Close()
}

func TestRowAndRows_TellNoneFromAFailure(t *testing.T) {
	e := operatetest.New(t)
	env := &operate.Env{Value: func(name string) string {
		return map[string]string{operate.EnvPostgres: e.DB.URL(postgres.RoleOps)}[name]
	}}
	defer env.Close()
	ctx := t.Context()
	var id string
	const one = `SELECT tenant_id FROM neuronx.tenant_leaves WHERE tenant_id = $1`
	if found, err := env.Row(ctx, "look", []any{&id}, one, "acme"); err != nil || !found || id != "acme" {
		t.Errorf("%v %q %v", found, id, err)
	}
	if found, err := env.Row(ctx, "look", []any{&id}, one, "nope"); err != nil || found {
		t.Errorf("none: %v %v", found, err)
	}
	if list, err := operate.Rows(ctx, env, "look", pgx.RowTo[string], one, "nope"); err != nil || list == nil || len(list) != 0 {
		t.Errorf("none is an empty list, not null: %v %v", list, err)
	}
	_, rowErr := env.Row(ctx, "look", []any{&id}, `SELECT x FROM nowhere`)
	_, rowsErr := operate.Rows(ctx, env, "look", pgx.RowTo[string], `SELECT x FROM nowhere`)
	for _, err := range []error{rowErr, rowsErr} {
		var failed *operate.Error
		if !errors.As(err, &failed) || failed.What != "look" || failed.Why == "" {
			t.Errorf("%v", err)
		}
	}
}
