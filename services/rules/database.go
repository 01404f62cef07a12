package rules

import (
	"context"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/rules/ruleset"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// database is the environment of the live service: states from Postgres, schemas as of now.
type database struct {
	*handler
	q      querier
	states map[[2]string]State
	known  Schemas // of this batch: one look-up a type
	fetch  fetcher

	kept     *workflowstore.Batch
	compiler *compiler
	older    map[string]*ruleset.Set // bundles that instances run by, by tenant and sequence
}

func (d *database) missed(ctx context.Context, tenant, rule string, from, through int64, limit int) ([]int64, error) {
	return loadMissed(ctx, d.q, tenant, rule, from, through, limit)
}

func (d *database) event(ctx context.Context, tenant string, sequence int64) (*event.Recorded, error) {
	d.fetch.archive = d.handler.archive
	return d.fetch.event(ctx, tenant, sequence)
}

// preload reads the states that the batch's events will most likely need, in one query.
func (d *database) preload(ctx context.Context, runs []consumer.Run, bundles map[string]*bundle) error {
	var tenants, subjects []string
	listed := map[[2]string]bool{}
	for _, run := range runs {
		b := bundles[run.TenantID]
		if b == nil || b.Set == nil {
			continue
		}
		for i := range run.Events {
			r := &run.Events[i]
			key := [2]string{r.TenantID, r.Subject}
			if !listed[key] && hears(b.Set, r.Type) {
				listed[key] = true
				tenants, subjects = append(tenants, r.TenantID), append(subjects, r.Subject)
			}
		}
	}
	d.states = map[[2]string]State{}
	if len(tenants) == 0 {
		return nil
	}
	var err error
	d.states, err = loadStates(ctx, d.q, tenants, subjects)
	return err
}

func (d *database) state(ctx context.Context, tenant, subject string) (State, error) {
	key := [2]string{tenant, subject}
	if s, ok := d.states[key]; ok {
		return s, nil
	}
	more, err := loadStates(ctx, d.q, []string{tenant}, []string{subject})
	if err != nil {
		return nil, err
	}
	d.states[key] = more[key]
	return more[key], nil
}

func (d *database) decode(ctx context.Context, r *event.Recorded, semantics int64) (map[string]any, error) {
	return decode(ctx, d.decoder, r, semantics)
}

// decode gives an event's data in the form that a version of semantics sees: before the third, decimals are texts, and what a record of
// another writer lacks is absent instead of null.
func decode(ctx context.Context, d *consumer.Decoder, r *event.Recorded, semantics int64) (map[string]any, error) {
	if semantics < 3 {
		return d.Decode(ctx, r)
	}
	return d.DecodeWhole(ctx, r, func(digits string) any { return expr.Decimal(digits) })
}

func (d *database) schemas(ctx context.Context, types []string) (Schemas, error) {
	if d.known == nil {
		d.known = Schemas{}
	}
	return d.known, fillSchemas(ctx, d.registry, d.known, types)
}
