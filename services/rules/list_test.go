package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/services/rules/ruleset"
)

// Listing is what is in force for a tenant, for operators.
type Listing struct {
	TenantID    string       `json:"tenant_id"`
	Version     int64        `json:"version"` // 0: the tenant never published rules
	Hash        string       `json:"hash,omitempty"`
	Semantics   int64        `json:"semantics,omitempty"`
	Sequence    int64        `json:"sequence,omitempty"` // of its rules.published
	PublishedAt time.Time    `json:"published_at,omitzero"`
	PublishedBy string       `json:"published_by,omitempty"`
	Rules       []ListedRule `json:"rules"`
}

// ListedRule is one rule of a Listing.
type ListedRule struct {
	Name      string   `json:"name"`
	File      string   `json:"file"`
	On        []string `json:"on"`
	Emits     []string `json:"emits"`
	Failures  int64    `json:"failures"`             // in a row that count toward a trip
	Tripped   string   `json:"tripped,omitempty"`    // why it is off: failures or storm
	TrippedAt int64    `json:"tripped_at,omitempty"` // sequence at which it took effect

	OverBudget int64  `json:"over_budget,omitempty"` // failures over a budget since the last reset
	LastBudget string `json:"last_budget,omitempty"` // the budget of the last of them
}

// List reads what the rules service has taken into force for a tenant. The pool is one of neuronx_ops or neuronx_rules.
func List(ctx context.Context, pool *pgxpool.Pool, tenant string) (Listing, error) {
	l := Listing{TenantID: tenant, Rules: []ListedRule{}}
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var text []byte
		err := tx.QueryRow(ctx, `SELECT version, hash, semantics, sequence, published_at, published_by, files FROM neuronx.rule_bundles
			WHERE tenant_id = $1 ORDER BY sequence DESC LIMIT 1`, tenant).
			Scan(&l.Version, &l.Hash, &l.Semantics, &l.Sequence, &l.PublishedAt, &l.PublishedBy, &text)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read bundle: %w", err)
		}
		var files []ruleset.File
		if err := json.Unmarshal(text, &files); err != nil {
			return fmt.Errorf("read rule files: %w", err)
		}
		set, problems := ruleset.CompileFor(l.Semantics, files, nil)
		if err := problems.Err(); err != nil {
			return fmt.Errorf("compile the published rules: %w", err)
		}
		health, err := loadHealth(ctx, tx, []string{tenant})
		if err != nil {
			return err
		}
		for _, r := range set.Rules {
			h := health[tenant][r.Name]
			listed := ListedRule{Name: r.Name, File: r.File, On: r.On, Emits: []string{}, Failures: h.Failures, Tripped: h.Tripped, TrippedAt: h.TrippedAt,
				OverBudget: h.OverBudget, LastBudget: h.LastBudget}
			for _, e := range r.Emit {
				listed.Emits = append(listed.Emits, e.Type)
			}
			l.Rules = append(l.Rules, listed)
		}
		return nil
	})
	if err != nil {
		return Listing{}, fmt.Errorf("list rules of %s: %w", tenant, err)
	}
	return l, nil
}
