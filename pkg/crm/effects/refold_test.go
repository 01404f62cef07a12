package effects

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
)

// kept is an archive of one tenant.
type kept []event.Recorded

func (k kept) Events(_ context.Context, _ string, from int64, limit int) ([]event.Recorded, error) {
	out := k[min(int(from-1), len(k)):]
	return out[:min(len(out), limit)], nil
}

func TestRefold_ForgetsSettingsOfTheLostTail(t *testing.T) {
	r := newRig(t)
	connected := func(location, mode string) event.Recorded {
		return r.event(tenant, "tenant.crm_connected", "tenant/"+tenant, map[string]any{
			"adapter": "gohighlevel", "location": location, "token": "secret://ghl-acme@1", "mode": mode})
	}
	archived := kept{connected("loc-acme", "record"), r.upsert("1"), r.event(tenant, "tenant.effects_mode_set", "tenant/"+tenant, map[string]any{"kind": "note.add", "mode": "off"})}
	r.apply(archived...)
	r.apply(connected("loc-zeta", "send"), r.event(tenant, "tenant.effects_mode_set", "tenant/"+tenant, map[string]any{"kind": "*", "mode": "send"}),
		r.event(tenant, "tenant.suspended", "tenant/"+tenant, map[string]any{"reason": "test"}))
	root := r.db.Pool(t, "")
	refold := func(through int64) ledger.Tenant {
		t.Helper()
		var got ledger.Tenant
		err := pgx.BeginFunc(t.Context(), root, func(tx pgx.Tx) error {
			if err := Refold(t.Context(), tx, book, tenant, through, archived, consumer.NewDecoder(r.cat)); err != nil {
				return err
			}
			var err error
			got, err = book.LoadTenant(t.Context(), tx, tenant)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := refold(3)
	if got.Connection.Location != "loc-acme" || got.Connection.Mode != crm.ModeRecord || got.Connection.Suspended || got.Mode("note.add") != crm.ModeOff ||
		got.Mode("contact.upsert") != crm.ModeRecord {
		t.Errorf("%+v", got)
	}
	if got := refold(0); got.Connected {
		t.Errorf("a tenant of whom nothing is left is connected: %+v", got)
	}
	err := pgx.BeginFunc(t.Context(), root, func(tx pgx.Tx) error {
		return Refold(t.Context(), tx, book, tenant, 4, archived, consumer.NewDecoder(r.cat))
	})
	if err == nil {
		t.Error("an archive with a gap was folded")
	}
}

// aside makes the effect one whose command was lost with the tail of the log, as a reseed does.
func (r *rig) aside(id string, status crm.Status) {
	r.t.Helper()
	_, err := r.pool.Exec(context.Background(), `UPDATE neuronx.effects SET code = $2, status = $3, lease_until = NULL WHERE effect_id = $1`, id, ledger.CodeLost, string(status))
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestLostTwin_HoldsUpTheFirstThatAsksForTheSame(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	lost, other, never := r.note("1", "call"), r.note("2", "call"), r.note("3", "call")
	upsert := r.upsert("1")
	r.apply(lost, other, never, upsert)
	r.aside(lost.ID, crm.Done)
	r.aside(never.ID, crm.Failed)
	r.aside(upsert.ID, crm.Done)

	again := r.note("1", "call")
	r.apply(again, again)
	if e := r.get(again.ID); e.Status != crm.Unknown || e.Code != "lost_twin" {
		t.Errorf("the lost note is asked for again: %s %s", e.Status, e.Code)
	}
	for name, e := range map[string]event.Recorded{
		"the same a second time":            r.note("1", "call"),
		"another note":                      r.note("1", "write"),
		"the note of another lead":          r.note("2", "call"),
		"a lost one that was never sent":    r.note("3", "call"),
		"what may be repeated":              r.upsert("1"),
		"the twin of one that is not aside": r.note("2", "call"),
	} {
		r.apply(e)
		if got := r.get(e.ID); got.Status != crm.Pending {
			t.Errorf("%s: %s %s", name, got.Status, got.Code)
		}
	}
	r.resolve(again.ID, "resend")
	if e := r.get(again.ID); e.Status != crm.Pending {
		t.Errorf("a person had it sent: %s", e.Status)
	}
}
