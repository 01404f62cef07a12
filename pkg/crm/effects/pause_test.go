package effects

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
)

// pauseOps sets a pause as the operators' role does.
func (r *rig) pauseOps(s ledger.Scope) {
	r.t.Helper()
	if _, set, err := ledger.SetPause(r.t.Context(), r.db.Pool(r.t, "neuronx_ops"), s, "ann", "wrong text"); err != nil || !set {
		r.t.Fatalf("set %v, %v", set, err)
	}
}

func (r *rig) resumeOps(s ledger.Scope) {
	r.t.Helper()
	if ended, err := ledger.EndPause(r.t.Context(), r.db.Pool(r.t, "neuronx_ops"), s, "ann", ""); err != nil || !ended {
		r.t.Fatalf("ended %v, %v", ended, err)
	}
}

func TestPause_OfAKindHoldsItAndNothingElse(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	up := r.upsert("1")
	r.apply(up)
	w := r.worker()
	r.run(w)
	r.waitStatus(up.ID, crm.Done)

	notes := ledger.Scope{Tenant: tenant, Adapter: ledger.Every, Kind: crm.KindNote}
	r.pauseOps(notes)
	note, other := r.note("1", "hello"), r.upsert("2")
	r.apply(note, other)
	r.waitStatus(other.ID, crm.Done)
	r.waitFor("the pause to be told", func() bool { return r.get(note.ID).Code == crm.CodePaused })
	if e := r.get(note.ID); e.Status != crm.Pending || e.Attempts != 0 || e.LastError != "paused by ann: wrong text" {
		t.Errorf("%+v", e)
	}
	r.resumeOps(notes)
	// It would be looked at again ten seconds after it was postponed.
	if _, err := r.db.Pool(t, "").Exec(t.Context(), `UPDATE neuronx.effects SET next_attempt_at = now() WHERE effect_id = $1`, note.ID); err != nil {
		t.Fatal(err)
	}
	r.waitStatus(note.ID, crm.Done)
}

func TestPause_OfAllStopsAnAttemptUnderWay(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	all := ledger.Scope{Tenant: ledger.Every, Adapter: ledger.Every, Kind: ledger.Every}
	up := r.upsert("1")
	r.apply(up)
	w := r.worker()
	var passes atomic.Int64
	w.looked = func(error) { passes.Add(1) }
	w.beforeSend = func(ledger.Effect) { r.pauseOps(all); w.beforeSend = nil }
	r.run(w)
	r.waitFor("the attempt to end", func() bool { return r.get(up.ID).Code == crm.CodePaused })
	if e := r.get(up.ID); e.Status != crm.Pending || e.Attempts != 1 || !strings.Contains(e.LastError, "wrong text") {
		t.Errorf("%+v", e)
	}
	if n := len(r.crm.Requests(0, "")); n != 0 {
		t.Errorf("%d requests were sent after the pause", n)
	}
	seen := passes.Load()
	r.waitFor("the worker to look for what is due again", func() bool { return passes.Load() > seen+5 })
	if e := r.get(up.ID); e.Attempts != 1 {
		t.Errorf("tried again in the pause: %+v", e)
	}
}

func TestPause_WhatCannotBeAskedIsNotSent(t *testing.T) {
	r := newRig(t)
	r.connect(tenant, "send")
	note := r.note("1", "hello")
	w := r.worker()
	w.pool = r.db.Pool(t, "neuronx_gohighlevel")
	w.pool.Close()
	if !w.paused(t.Context(), &job{effect: ledger.Effect{ID: note.ID, TenantID: tenant, Kind: crm.KindNote}}) {
		t.Error("sent although nobody could say whether it is paused")
	}
}
