package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
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
		set, problems := ruleset.CompileFor(l.Semantics, files)
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

// Publish publishes a bundle that replaces the tenant's set. previous is the version in force (Listing.Version). The bundle must
// have passed ruleset.Validate; what does not even compile is refused here as ruleset.InvalidError. The event's id comes from
// version and texts: publishing the same again is one event.
func Publish(ctx context.Context, p *control.Publisher, tenant string, files []ruleset.File, previous int64, by string) (event.Event, error) {
	if _, problems := ruleset.Compile(files); problems.Err() != nil {
		return event.Event{}, problems.Err()
	}
	version := previous + 1
	id := event.DerivedID(tenant, typePublished, strconv.FormatInt(version, 10), ruleset.Hash(files))
	e, err := p.Publish(ctx, tenant, typePublished, "rules/"+tenant, id, ruleset.PublishedData(files, version, by), control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("publish rules: %w", err)
	}
	return e, nil
}

// Reset brings a tripped rule back, once its event is seen in the log.
func Reset(ctx context.Context, p *control.Publisher, tenant, rule, by, reason string) (event.Event, error) {
	data := map[string]any{"rule": rule}
	if by != "" {
		data["by"] = by
	}
	if reason != "" {
		data["reason"] = reason
	}
	e, err := p.Publish(ctx, tenant, typeReset, "rule/"+rule, "", data, control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("reset rule: %w", err)
	}
	return e, nil
}

// Rerun asks for a rule to be run over what it missed from a sequence through another, at most 500 events. It takes effect once its event
// is seen in the log; neuronx.rule_reruns says then what became of it.
func Rerun(ctx context.Context, p *control.Publisher, tenant, rule string, from, through int64, by, reason string) (event.Event, error) {
	data := map[string]any{"rule": rule, "from_sequence": from, "through_sequence": through}
	if by != "" {
		data["by"] = by
	}
	if reason != "" {
		data["reason"] = reason
	}
	e, err := p.Publish(ctx, tenant, typeRerun, "rule/"+rule, "", data, control.WithSource("cli"))
	if err != nil {
		return e, fmt.Errorf("run rule over what it missed: %w", err)
	}
	return e, nil
}
