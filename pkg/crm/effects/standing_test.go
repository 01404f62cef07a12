package effects

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/event"
)

// counting counts the round trips of a transaction.
type counting struct {
	pgx.Tx
	n int
}

func (c *counting) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	c.n++
	return c.Tx.QueryRow(ctx, sql, args...)
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.n++
	return c.Tx.Query(ctx, sql, args...)
}

// The batch of all tenants waits for each query that a tenant's commands make, also those of a tenant that has no CRM.
func TestApply_ARunOfCommandsReadsOnceWhatHoldsForItsTenant(t *testing.T) {
	r := newRig(t)
	var events []event.Recorded
	for range 50 {
		events = append(events, r.note("l1", "x"))
	}
	err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		c := &counting{Tx: tx}
		err := r.h.Apply(t.Context(), c, consumer.Run{TenantID: tenant, Generation: 1, Events: events})
		if c.n > len(events)+5 {
			t.Errorf("%d queries for %d commands, want one each and a few", c.n, len(events))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestApply_WhatChangesWithinARunCountsFromThereOn(t *testing.T) {
	r := newRig(t)
	setting := func(typ string, data map[string]any) event.Recorded {
		return r.event(tenant, typ, "tenant/"+tenant, data)
	}
	off := r.upsert("l1")
	connect := setting("tenant.crm_connected", map[string]any{"adapter": "gohighlevel", "location": "loc", "token": "secret://t@1", "mode": "send"})
	sent := r.upsert("l2")
	record := setting("tenant.effects_mode_set", map[string]any{"kind": "*", "mode": "record"})
	recorded := r.upsert("l3")
	err := pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		return r.h.Apply(t.Context(), tx, consumer.Run{TenantID: tenant, Generation: 1, Events: []event.Recorded{off, connect, sent, record, recorded}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]crm.Status{off.ID: crm.Off, sent.ID: crm.Pending, recorded.ID: crm.Recorded} {
		if got := r.get(id).Status; got != want {
			t.Errorf("a command is %s, want %s", got, want)
		}
	}
}
