package archiver

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/postgres"
)

func TestLearn_ForgetsTenantsOnlyWhenAPartitionIsMissing(t *testing.T) {
	for name, x := range map[string]struct {
		err       error
		forgets   bool
		conflicts float64
	}{
		"not of the database":  {errors.New("out of luck"), false, 0},
		"a row exists":         {&pgconn.PgError{Code: "23505", ConstraintName: "tenant_events_p1_pkey"}, false, 1},
		"no partition":         {&pgconn.PgError{Code: "23514"}, true, 0},
		"a check of a column":  {&pgconn.PgError{Code: "23514", ConstraintName: "sequence_positive"}, false, 0},
		"another one's error":  {&pgconn.PgError{Code: "53100"}, false, 0},
		"a named one's, other": {&pgconn.PgError{Code: "23503", ConstraintName: "x"}, false, 0},
	} {
		a := testArchiver(t, nil)
		a.tenants["acme"] = true
		err := a.learn(fmt.Errorf("archive events: %w", x.err))
		if !errors.Is(err, x.err) || a.knownTenant("acme") == x.forgets || testutil.ToFloat64(a.m.conflicts) != x.conflicts {
			t.Errorf("%s: %v; known %v, %v conflicts", name, err, a.knownTenant("acme"), testutil.ToFloat64(a.m.conflicts))
		}
		if got := consumer.IsTransient(err); got != x.forgets {
			t.Errorf("%s: to be tried again: %v", name, got)
		}
	}
}

// Only JSON that Postgres refuses makes the audit look for the culprit; it is compared as data that was archived as null.
func TestDataDiffers_PassesOverOnlyWhatJSONRefuses(t *testing.T) {
	_, a, pool := twoTenants(t)
	rows, err := a.prepare(t.Context(), []consumer.Run{run("acme", 1, 3)})
	if err != nil {
		t.Fatal(err)
	}
	differ := func(ctx context.Context, wants []entry) (other map[int64]bool, bare int64, err error) {
		other = map[int64]bool{}
		err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) (err error) {
			if err := postgres.SetTenant(t.Context(), tx, "acme"); err != nil {
				return err
			}
			bare, err = dataDiffers(ctx, tx, "acme", wants, other)
			return err
		})
		return other, bare, err
	}
	if other, bare, err := differ(t.Context(), rows); err != nil || len(other) != 0 || bare != 0 {
		t.Errorf("as archived: %v, %d, %v", other, bare, err)
	}
	rows[1].data = []byte(`{"a":"\u0000"}`)
	if other, bare, err := differ(t.Context(), rows); err != nil || fmt.Sprint(other) != "map[2:true]" || bare != 0 {
		t.Errorf("one that jsonb refuses: %v, %d, %v", other, bare, err)
	}
	if other, _, err := differ(t.Context(), rows[1:2]); err != nil || fmt.Sprint(other) != "map[2:true]" {
		t.Errorf("that one alone: %v, %v", other, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []int{1, 3} {
		if other, _, err := differ(ended, rows[:n]); !errors.Is(err, context.Canceled) || len(other) != 0 {
			t.Errorf("%d rows, stopped: %v, %v", n, other, err)
		}
	}
}
