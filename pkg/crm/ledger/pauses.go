package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
)

// Every stands for all tenants, adapters or kinds in a Scope.
const Every = "*"

// Scope is what a pause is about: each field is one name, or Every.
type Scope struct {
	Tenant  string `json:"tenant_id"`
	Adapter string `json:"adapter"`
	Kind    string `json:"kind"`
}

// Pause is an order of an operator that no request is sent. What waits under it stays pending, and expires as always.
type Pause struct {
	Scope
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	Since  time.Time `json:"since"`
}

// Text says who paused it and why.
func (p Pause) Text() string {
	by := ""
	if p.By != "" {
		by = " by " + p.By
	}
	return "paused" + by + ": " + p.Reason
}

const pauseColumns = `tenant_id, adapter, kind, reason, paused_by, since`

func scanPause(row pgx.CollectableRow) (p Pause, err error) {
	err = row.Scan(&p.Tenant, &p.Adapter, &p.Kind, &p.Reason, &p.By, &p.Since)
	return p, err
}

// Pauses lists the pauses in force for a tenant's effects in this adapter, those of all kinds first.
func (l Ledger) Pauses(ctx context.Context, q Querier, tenant string) ([]Pause, error) {
	rows, err := q.Query(ctx, `SELECT `+pauseColumns+` FROM neuronx.effect_pauses
		WHERE ended_at IS NULL AND tenant_id IN ($1, '*') AND adapter IN ($2, '*') ORDER BY kind <> '*', since`, tenant, l.Adapter)
	return postgres.Collect(rows, err, "read what operators paused", scanPause)
}

// PauseOf returns the first of some pauses that covers a kind.
func PauseOf(pauses []Pause, kind string) (Pause, bool) {
	for _, p := range pauses {
		if p.Kind == Every || p.Kind == kind {
			return p, true
		}
	}
	return Pause{}, false
}

// ListPauses lists up to limit pauses in force, the oldest first.
func ListPauses(ctx context.Context, q Querier, limit int) ([]Pause, error) {
	rows, err := q.Query(ctx, `SELECT `+pauseColumns+` FROM neuronx.effect_pauses WHERE ended_at IS NULL ORDER BY since, id LIMIT $1`, limit)
	return postgres.Collect(rows, err, "list what operators paused", scanPause)
}

// SetPause pauses a scope from now on. It returns the pause in force, and whether it is new: one that was set before stays as it was.
func SetPause(ctx context.Context, q Querier, s Scope, by, reason string) (Pause, bool, error) {
	tag, err := q.Exec(ctx, `INSERT INTO neuronx.effect_pauses (tenant_id, adapter, kind, reason, paused_by) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (tenant_id, adapter, kind) WHERE ended_at IS NULL DO NOTHING`, s.Tenant, s.Adapter, s.Kind, clean(reason), clean(by))
	if err != nil {
		return Pause{}, false, fmt.Errorf("pause effects: %w", err)
	}
	p, err := pauseOf(ctx, q, s)
	if err != nil {
		return Pause{}, false, fmt.Errorf("pause effects: %w", err)
	}
	return p, tag.RowsAffected() == 1, nil
}

// EndPause ends the pause of exactly this scope; false: there is none. Others that cover a part of it stay.
func EndPause(ctx context.Context, q Querier, s Scope, by, reason string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE neuronx.effect_pauses SET ended_at = now(), ended_by = $4, ended_why = $5
		WHERE ended_at IS NULL AND tenant_id = $1 AND adapter = $2 AND kind = $3`, s.Tenant, s.Adapter, s.Kind, clean(by), clean(reason))
	if err != nil {
		return false, fmt.Errorf("end a pause: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

func pauseOf(ctx context.Context, q Querier, s Scope) (Pause, error) {
	rows, err := q.Query(ctx, `SELECT `+pauseColumns+` FROM neuronx.effect_pauses WHERE ended_at IS NULL AND tenant_id = $1 AND adapter = $2 AND kind = $3`, s.Tenant, s.Adapter, s.Kind)
	if err != nil {
		return Pause{}, err
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanPause)
	if errors.Is(err, pgx.ErrNoRows) {
		return Pause{}, errors.New("it was ended at the same time")
	}
	return p, err
}
