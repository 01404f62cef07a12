package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// registryClient is what the handler needs of registry.Client.
type registryClient interface {
	consumer.Schemas
	ruleset.Catalogue
}

// handler applies runs of the log. It is used by one goroutine at a time, as the consumer promises.
type handler struct {
	box      *outbox.Outbox
	registry registryClient
	decoder  *consumer.Decoder
	log      *slog.Logger
	metrics  *metrics
	sets     map[string]*ruleset.Set // by hash
}

func newHandler(box *outbox.Outbox, reg registryClient, log *slog.Logger, m *metrics) *handler {
	return &handler{box: box, registry: reg, decoder: consumer.NewDecoder(reg), log: log, metrics: m, sets: map[string]*ruleset.Set{}}
}

// Apply implements consumer.Handler.
func (h *handler) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	return h.ApplyBatch(ctx, tx, []consumer.Run{run})
}

// ApplyBatch implements consumer.BatchHandler: it loads what the runs need, folds, and writes state, outbox rows and what was seen.
func (h *handler) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	before := map[string]int64{}
	for _, run := range runs {
		before[run.TenantID] = run.Events[0].Sequence
	}
	bundles, err := h.loadBundles(ctx, tx, before)
	if err != nil {
		return err
	}
	health, err := loadHealth(ctx, tx, slices.Sorted(maps.Keys(before)))
	if err != nil {
		return err
	}
	w := &database{handler: h, tx: tx}
	if err := w.preload(ctx, runs, bundles); err != nil {
		return err
	}
	var folds []*fold
	var seen []outbox.Mark
	for _, run := range runs {
		f := newFold(run.TenantID, w, bundles[run.TenantID], health[run.TenantID])
		for i := range run.Events {
			r := &run.Events[i]
			if h.box.Own(r) {
				seen = append(seen, outbox.Mark{Tenant: r.TenantID, Number: r.DeriverNumber, EventID: r.ID})
			}
			if err := f.apply(ctx, r); err != nil {
				return err
			}
		}
		folds = append(folds, f)
	}
	// Seen first: a number of ours that stands in the log must be known before new numbers are taken.
	if err := h.box.SeenAll(ctx, tx, seen); err != nil && !errors.Is(err, outbox.ErrConflict) {
		return err
	}
	if err := save(ctx, tx, folds); err != nil {
		return err
	}
	for _, f := range folds {
		h.metrics.count(f)
		evs := make([]*event.Event, len(f.outputs))
		for i := range f.outputs {
			evs[i] = &f.outputs[i]
		}
		if err := h.box.Add(ctx, tx, evs...); err != nil {
			return err
		}
	}
	return nil
}

// ApplyDeadLetters implements consumer.DeadLetterHandler: own events that were refused have used up their number, and one that was
// refused as a storm is reported, once.
func (h *handler) ApplyDeadLetters(ctx context.Context, tx pgx.Tx, letters []consumer.DeadLetter) error {
	for i := range letters {
		l := &letters[i]
		// A dead letter carries the refused record's attributes as they came; Refused believes only our signature.
		own, err := h.box.Refused(ctx, tx, &l.Event)
		if err != nil && !errors.Is(err, outbox.ErrConflict) {
			return err
		}
		if !own {
			continue
		}
		h.metrics.refused.WithLabelValues(l.Code).Inc()
		h.log.Warn("a derived event was refused", "tenant", l.Event.TenantID, "code", l.Code, "detail", l.Detail, "event", l.Event.ID, "type", l.Event.Type, "path", l.Event.Path)
		if l.Code != string(event.CodeStorm) {
			continue
		}
		h.metrics.storms.Inc()
		if err := h.reportStorm(ctx, tx, l.Event); err != nil {
			return err
		}
	}
	return nil
}

func (h *handler) reportStorm(ctx context.Context, tx pgx.Tx, refused event.Event) error {
	schemas := Schemas{}
	if err := fillSchemas(ctx, h.registry, schemas, []string{typeStorm}); err != nil {
		return err
	}
	schema := schemas[typeStorm]
	if schema.Avro == nil {
		return consumer.Transient(fmt.Errorf("no schema of %s: run neuronx schemas push", typeStorm))
	}
	e, err := storm(refused, schema)
	if errors.Is(err, errNoStorm) || errors.Is(err, errPath) {
		h.log.Error("a derived event was refused as a storm and does not say by which rule it was derived", "tenant", refused.TenantID, "event", refused.ID)
		return nil
	} else if err != nil {
		return err
	}
	first, err := noteStorm(ctx, tx, refused.TenantID, strings.TrimPrefix(e.Subject, "rule/"), refused.ID)
	if err != nil || !first {
		return err
	}
	return h.box.Add(ctx, tx, &e)
}

// fillSchemas looks up the types that known does not have yet. One that no schema has is kept as the zero Schema.
func fillSchemas(ctx context.Context, catalogue ruleset.Catalogue, known Schemas, types []string) error {
	for _, t := range types {
		if _, asked := known[t]; asked {
			continue
		}
		id, s, err := catalogue.ByType(ctx, t)
		switch {
		case errors.Is(err, registry.ErrUnknown):
			known[t] = Schema{}
		case err != nil:
			return consumer.Transient(fmt.Errorf("find the schema of %s: %w", t, err))
		default:
			known[t] = Schema{ID: id, Avro: s}
		}
	}
	return nil
}

// database is the world of the live service: states from Postgres, schemas as of now.
type database struct {
	*handler
	tx     pgx.Tx
	states map[[2]string]State
	known  Schemas // of this batch: one look-up a type
}

// preload reads the states that the batch's events will most likely need, in one query.
func (d *database) preload(ctx context.Context, runs []consumer.Run, bundles map[string]*bundle) error {
	var tenants, subjects []string
	listed := map[[2]string]bool{}
	for _, run := range runs {
		b := bundles[run.TenantID]
		if b == nil {
			continue
		}
		for i := range run.Events {
			r := &run.Events[i]
			key := [2]string{r.TenantID, r.Subject}
			if !listed[key] && len(b.Set.For(r.Type)) > 0 {
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
	d.states, err = loadStates(ctx, d.tx, tenants, subjects)
	return err
}

func (d *database) state(ctx context.Context, tenant, subject string) (State, error) {
	key := [2]string{tenant, subject}
	if s, ok := d.states[key]; ok {
		return s, nil
	}
	more, err := loadStates(ctx, d.tx, []string{tenant}, []string{subject})
	if err != nil {
		return nil, err
	}
	d.states[key] = more[key]
	return more[key], nil
}

func (d *database) decode(ctx context.Context, r *event.Recorded) (map[string]any, error) {
	return d.decoder.Decode(ctx, r)
}

func (d *database) schemas(ctx context.Context, types []string) (Schemas, error) {
	if d.known == nil {
		d.known = Schemas{}
	}
	return d.known, fillSchemas(ctx, d.registry, d.known, types)
}
