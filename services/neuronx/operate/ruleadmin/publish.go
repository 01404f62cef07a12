package ruleadmin

import (
	"context"
	"fmt"
	"slices"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Publication is what publishing files does or would do.
type Publication struct {
	Tenant   string           `json:"tenant_id"`
	Version  int64            `json:"version"`
	Hash     string           `json:"hash"`
	Sequence string           `json:"sequence,omitempty"` // from which the version is in force; empty: nothing was published
	EventID  string           `json:"event_id,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
	Changes  []ruleset.Change `json:"changes"`
	Tripped  []Tripped        `json:"tripped"` // rules of the new set that are off, and stay so until they are reset
}

// Plan compares files with what is in force: nothing is published. current is the bundle that they would replace; same reports that it is these
// files under these semantics. The same files under newer semantics are another set.
func Plan(ctx context.Context, env *operate.Env, tenant string, files []ruleset.File) (p Publication, current Bundle, same bool, err error) {
	before, current, err := load(ctx, env, tenant, 0)
	if err != nil {
		return p, current, false, err
	}
	p = Publication{Tenant: tenant, Version: current.Version + 1, Hash: ruleset.Hash(files), DryRun: true, Changes: ruleset.Diff(before, files)}
	if p.Tripped, err = tripped(ctx, env, tenant); err != nil {
		return p, current, false, err
	}
	p.Tripped = slices.DeleteFunc(p.Tripped, func(t Tripped) bool {
		return !slices.ContainsFunc(p.Changes, func(ch ruleset.Change) bool { return ch.Rule == t.Rule && ch.Change != ruleset.Removed })
	})
	return p, current, current.Hash == p.Hash && current.Semantics == ruleset.SemanticsOf(files), nil
}

// Publish carries a plan out: it replaces the tenant's whole set of rules, and waits until the rules service has judged it.
func Publish(ctx context.Context, env *operate.Env, who operate.Principal, p *Publication, files []ruleset.File) error {
	d, err := env.ActWith(ctx, who, p.Tenant, func(pub *control.Publisher) (event.Event, error) {
		return rules.Publish(ctx, pub, p.Tenant, files, p.Version-1, who.Name)
	})
	if err != nil {
		return err
	}
	if err := inForce(ctx, env, p.Version, d); err != nil {
		return err
	}
	p.DryRun, p.Sequence, p.EventID = false, d.Sequence, d.EventID
	return nil
}

// inForce waits until the rules service has judged a published bundle: another one may have come first, or this build's rules service
// may read it otherwise than the tool did.
func inForce(ctx context.Context, env *operate.Env, version int64, d operate.Done) error {
	if err := env.TakenBy(ctx, kafka.GroupRules, d); err != nil {
		return err
	}
	used, err := env.Row(ctx, "read the rules in force", []any{new(int)}, `SELECT 1 FROM neuronx.rule_bundles WHERE tenant_id = $1 AND event_id = $2`, d.Tenant, d.EventID)
	if err != nil || used {
		return err
	}
	_, current, err := load(ctx, env, d.Tenant, 0)
	if err != nil {
		return err
	}
	e := operate.Fail(fmt.Sprintf("version %d was refused by the rules service", version), nil)
	if current.Version >= version {
		return e.Because("version %d was published meanwhile", current.Version).
			Hint("look at it with `neuronx rules list --tenant %s`; the same command again replaces it", d.Tenant)
	}
	return e.Because("it can't use it; version %d stays in force", current.Version).Hint("`neuronx events list --tenant %s --type engine.rule.failed` says why", d.Tenant)
}
