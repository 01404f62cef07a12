package effects

import (
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/gohighlevel"
)

func TestAdapter_AFailedQueryIsTheErrorThatIsTold(t *testing.T) {
	r := newRig(t)
	denied := func(table string, fn func() error) {
		t.Helper()
		r.db.Without(t, "neuronx_gohighlevel", "neuronx."+table, fn)
	}
	r.connect(tenant, "send")
	upsert, note := r.upsert("1"), r.note("1", "call")
	r.apply(upsert, note)
	w := r.worker()
	for _, table := range []string{"crm_connections", "effect_modes", "effects", "effect_freezes", "crm_aliases"} {
		again := r.note("2", "without "+table)
		denied(table, func() error { return r.tryApply(again) })
	}
	for _, table := range []string{"crm_connections", "effect_modes", "effects", "crm_ids", "crm_aliases", "crm_claims", "effect_attempts"} {
		denied(table, func() error {
			jobs, more, err := w.begin(t.Context(), tenant, 10, newAccount(gohighlevel.Adapter{}, time.Now()))
			if len(jobs) > 0 || more {
				t.Errorf("without %s: %d jobs are begun, more %v", table, len(jobs), more)
			}
			return err
		})
	}
	denied("crm_consents", func() error { return r.tryApply(r.consent("1", "sms", false, r.now, "")) })
	for _, table := range []string{"effects", "outbox"} {
		decision := r.event(tenant, "engine.effect.resolved", "effect/"+note.ID, map[string]any{"effect_id": note.ID, "resolution": "failed"})
		denied(table, func() error { return r.tryApply(decision) })
	}
	for _, id := range []string{upsert.ID, note.ID} {
		if e := r.get(id); e.Status != crm.Pending || e.Attempts != 0 {
			t.Errorf("%s is %s after %d attempts", id, e.Status, e.Attempts)
		}
	}
	if n := len(r.outbox()); n != 0 {
		t.Errorf("%d outcomes are told", n)
	}
}
