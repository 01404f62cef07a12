package effects

import (
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
)

// A command over its subject's rate is recorded in the log and not carried out, though it is live and the tenant sends.
func TestAdapter_CarriesOutNoCommandThatTheStormGuardQuieted(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	quiet, live := r.upsert("l1"), r.upsert("l2")
	quiet.Quiet = event.QuietStorm
	r.apply(quiet, live)
	r.run(r.worker())
	r.waitStatus(live.ID, crm.Done)
	if e, found, err := book.Get(t.Context(), r.pool, tenant, quiet.ID, false); err != nil || found {
		t.Errorf("the quieted command is in the ledger: %+v, %v", e, err)
	}
	if reqs := r.writes(); len(reqs) != 1 {
		t.Errorf("%d requests were sent, want that of the live command alone: %+v", len(reqs), reqs)
	}
}
