package gohighlevel

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/services/gohighlevel/effect"
)

// without runs fn while the adapter's role may not touch a table, and returns what it returned.
func (r *rig) without(table string, fn func() error) error {
	r.t.Helper()
	root := r.db.Pool(r.t, "")
	privileges := func(sql string) {
		r.t.Helper()
		if _, err := root.Exec(r.t.Context(), sql); err != nil {
			r.t.Fatal(err)
		}
	}
	privileges(`CREATE TABLE IF NOT EXISTS public.saved_acl (name text PRIMARY KEY, acl aclitem[])`)
	privileges(`INSERT INTO public.saved_acl SELECT '` + table + `', relacl FROM pg_class WHERE oid = 'neuronx.` + table + `'::regclass ON CONFLICT DO NOTHING`)
	privileges(`REVOKE ALL ON neuronx.` + table + ` FROM neuronx_gohighlevel`)
	defer privileges(`UPDATE pg_class SET relacl = s.acl FROM public.saved_acl s WHERE s.name = '` + table + `' AND oid = 'neuronx.` + table + `'::regclass`)
	return fn()
}

// named fails the test unless an error is the database's own about a table. A transaction goes on to fail after an error that was passed over,
// but with one that says nothing, and that may be retried where the first may not.
func named(t *testing.T, what, table string, err error) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "42501" || pg.Message != "permission denied for table "+table {
		t.Errorf("%s without %s: %v", what, table, err)
	}
}

func TestAdapter_AFailedQueryIsTheErrorThatIsTold(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	upsert, note := r.upsert("1"), r.note("1", "call")
	r.apply(upsert, note)
	w := r.worker()
	for _, table := range []string{"crm_connections", "effect_modes", "effects", "effect_freezes"} {
		again := r.note("2", "without "+table)
		named(t, "a command", table, r.without(table, func() error { return r.tryApply(again) }))
	}
	for _, table := range []string{"crm_connections", "effect_modes", "effects", "crm_ids", "crm_claims", "effect_attempts"} {
		named(t, "a worker", table, r.without(table, func() error {
			jobs, more, err := w.begin(t.Context(), tenant, 10, newAccount(time.Now()))
			if len(jobs) > 0 || more {
				t.Errorf("without %s: %d jobs are begun, more %v", table, len(jobs), more)
			}
			return err
		}))
	}
	for _, table := range []string{"effects", "outbox"} {
		decision := r.event(tenant, "engine.effect.resolved", "effect/"+note.ID, map[string]any{"effect_id": note.ID, "resolution": "failed"})
		named(t, "a decision", table, r.without(table, func() error { return r.tryApply(decision) }))
	}
	for _, id := range []string{upsert.ID, note.ID} {
		if e := r.get(id); e.Status != effect.Pending || e.Attempts != 0 {
			t.Errorf("%s is %s after %d attempts", id, e.Status, e.Attempts)
		}
	}
	if n := len(r.outbox()); n != 0 {
		t.Errorf("%d outcomes are told", n)
	}
}
