package effects

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
)

// pausedTenants reads the gauge of a reason as the sampler sets it.
func pausedTenants(t *testing.T, r *rig, w *worker, reason string) float64 {
	t.Helper()
	if err := w.metrics.samplePaused(context.Background(), r.pool); err != nil {
		t.Fatal(err)
	}
	return testutil.ToFloat64(w.metrics.paused.WithLabelValues(reason))
}

func TestPaused_AWrongTokenIsCountedAndNamedUntilItIsMended(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(filepath.Join(r.secrets, "ghl-acme@1"), []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	first, second := r.upsert("1"), r.upsert("2")
	r.apply(first)
	w := r.worker()
	if n := pausedTenants(t, r, w, ledger.PausedAuth); n != 0 {
		t.Fatalf("%v tenants are paused before anything was sent", n)
	}
	r.run(w)
	r.waitFor("the refusal", func() bool { return r.get(first.ID).Code == crm.CodeUnauthorized })
	r.apply(second) // is never tried: the first refusal stops all
	if n := pausedTenants(t, r, w, ledger.PausedAuth); n != 1 {
		t.Errorf("%v tenants are paused by a refused token, want 1", n)
	}
	if n := pausedTenants(t, r, w, ledger.PausedScope); n != 0 {
		t.Errorf("%v tenants are paused by a scope, want 0", n)
	}
	if _, _, open := w.lowest(); open != 0 {
		t.Errorf("%d breakers are open: a refused token opens none", open)
	}
	got, err := ledger.ListPaused(t.Context(), r.pool, 10)
	if err != nil || len(got) != 1 || got[0].Tenant != tenant || got[0].Reason != ledger.PausedAuth || got[0].Waiting != 2 || !strings.Contains(got[0].LastError, "401") || got[0].Next.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(r.secrets, "ghl-acme@1"), []byte("tok-acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	r.waitStatus(first.ID, crm.Done)
	r.waitStatus(second.ID, crm.Done)
	if n := pausedTenants(t, r, w, ledger.PausedAuth); n != 0 {
		t.Errorf("%v tenants are paused after the token was mended", n)
	}
}

func TestPaused_ATokenThatCannotBeReadIsCountedAsAccount(t *testing.T) {
	r := newRig(t)
	if err := os.Remove(filepath.Join(r.secrets, "ghl-acme@1")); err != nil {
		t.Fatal(err)
	}
	r.connect(tenant, "send")
	up := r.upsert("1")
	r.apply(up)
	w := r.worker()
	r.run(w)
	r.waitFor("the postponement", func() bool { return r.get(up.ID).Code == crm.CodeAccount })
	if n := pausedTenants(t, r, w, ledger.PausedAccount); n != 1 {
		t.Errorf("%v tenants are paused because no request can be made, want 1", n)
	}
	r.apply(r.event(tenant, "tenant.suspended", "tenant/acme", map[string]any{"reason": "test"}))
	if n := pausedTenants(t, r, w, ledger.PausedAccount); n != 0 {
		t.Errorf("%v tenants are paused; a suspended one waits for its resumption", n)
	}
}

func TestPaused_WhatANewConnectionReleasedIsNotCountedBeforeItIsTried(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("1")
	r.apply(up)
	w := r.worker() // does not run
	if _, err := r.pool.Exec(t.Context(), `UPDATE neuronx.effects SET code = $1, last_error = 'create: status 403', next_attempt_at = now() + interval '5 minutes'`, crm.CodeScope); err != nil {
		t.Fatal(err)
	}
	if n := pausedTenants(t, r, w, ledger.PausedScope); n != 1 {
		t.Fatalf("%v tenants are paused by a scope, want 1", n)
	}
	if err := book.Release(t.Context(), r.pool, tenant); err != nil {
		t.Fatal(err)
	}
	if n := pausedTenants(t, r, w, ledger.PausedScope); n != 0 {
		t.Errorf("%v tenants are paused after they were connected again, want 0", n)
	}
}

// What waits for this account is not let go by a connection to another CRM.
func TestPaused_AConnectionOfAnotherAdapterReleasesNothing(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("1")
	r.apply(up)
	w := r.worker() // does not run
	if _, err := r.pool.Exec(t.Context(), `UPDATE neuronx.effects SET code = $1, last_error = 'status 401', next_attempt_at = now() + interval '5 minutes'`, crm.CodeUnauthorized); err != nil {
		t.Fatal(err)
	}
	r.apply(r.event(tenant, "tenant.crm_connected", "tenant/acme", map[string]any{"adapter": "other", "location": "loc-other", "token": "secret://other@1", "mode": "send"}))
	if n := pausedTenants(t, r, w, ledger.PausedAuth); n != 1 {
		t.Errorf("%v tenants are paused by a refused token, want 1", n)
	}
}
