package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

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
	sets     sets
	within   time.Duration // wall time of one event; 0 is EventDeadline
}

func newHandler(box *outbox.Outbox, reg registryClient, log *slog.Logger, m *metrics) *handler {
	return &handler{box: box, registry: reg, decoder: consumer.NewDecoder(reg), log: log, metrics: m}
}

// Shares of a batch. A batch is what all tenants wait for, so it is bounded by what it costs, and what a tenant may spend in it is its share:
// the rest of an expensive tenant's events is applied beside the loop, a share at a time (consumer.PartHandler). Only what an event costs
// beyond an ordinary one counts: a batch full of a busy tenant's ordinary events is applied whole.
const (
	ordinaryCost   = 1_000     // units: a few rules fire and derive an event each
	ordinaryOutput = 4 << 10   // bytes
	compileCost    = 1_000     // units of an expression of a bundle that is compiled
	ordinaryBundle = 200       // expressions; so many are compiled without a charge after a restart
	batchCost      = 500_000   // units of one batch, divided by the tenants in it
	batchOutput    = 8 << 20   // bytes that one batch derives and keeps, divided in the same way
	tenantCost     = EventCost // units of one tenant in one batch at most
	flushOutput    = 1 << 20   // bytes of derived events that are held before they are written
)

// share is what one tenant may spend in a batch.
type share struct {
	cost  uint64
	bytes int
}

func shareOf(tenants int) share {
	n := max(tenants, 1)
	return share{cost: min(tenantCost, batchCost/uint64(n)), bytes: batchOutput / n}
}

// spent reports whether a fold has used up its share. It is asked between two events: each tenant gets one event further in any case.
func (s share) spent(f *fold) bool { return f.cost >= s.cost || f.bytes >= s.bytes }

// Apply implements consumer.Handler: the whole run, whatever it costs. The consumer prefers ApplyParts.
func (h *handler) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	return h.ApplyBatch(ctx, tx, []consumer.Run{run})
}

// ApplyBatch applies all of the runs, or fails.
func (h *handler) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	parts, err := h.apply(ctx, tx, runs, share{cost: math.MaxUint64, bytes: math.MaxInt})
	for _, p := range parts {
		err = errors.Join(err, p.Err)
	}
	return err
}

// ApplyParts implements consumer.PartHandler.
func (h *handler) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	return h.apply(ctx, tx, runs, shareOf(len(runs)))
}

// apply loads what the runs need, folds each as far as its share goes, and writes what was seen, outbox rows and state.
func (h *handler) apply(ctx context.Context, tx pgx.Tx, runs []consumer.Run, each share) ([]consumer.Part, error) {
	before := map[string]int64{}
	for _, run := range runs {
		before[run.TenantID] = run.Events[0].Sequence
	}
	bundles, err := h.loadBundles(ctx, tx, before)
	if err != nil {
		return nil, err
	}
	health, err := loadHealth(ctx, tx, slices.Sorted(maps.Keys(before)))
	if err != nil {
		return nil, err
	}
	w := &database{handler: h, tx: tx}
	if err := w.preload(ctx, runs, bundles); err != nil {
		return nil, err
	}
	// Seen first: a number of ours that stands in the log must be known before new numbers are taken. That holds for the events that are
	// left for later, too: they stand in the log, and are noted once more then.
	if err := h.box.SeenAll(ctx, tx, h.seen(runs)); err != nil && !errors.Is(err, outbox.ErrConflict) {
		return nil, err
	}
	parts := make([]consumer.Part, len(runs))
	folds := make([]*fold, len(runs))
	for i, run := range runs {
		f := newFold(run.TenantID, w, bundles[run.TenantID], health[run.TenantID])
		f.within = h.within
		folds[i] = f
		if b := bundles[run.TenantID]; b != nil && b.compiled {
			f.cost += compileCost * uint64(max(0, b.Set.Expressions()-ordinaryBundle)) // it decides only where this part ends
		}
		if parts[i], err = h.fold(ctx, tx, f, run, each); err != nil {
			return nil, err
		}
		for _, p := range f.published {
			h.sets.keep(p.Set) // also when the transaction is rolled back: the same texts give the same set
		}
	}
	if err := save(ctx, tx, slices.Clone(folds)); err != nil {
		return nil, err
	}
	for _, f := range folds {
		h.metrics.count(f)
	}
	return parts, nil
}

func (h *handler) seen(runs []consumer.Run) (seen []outbox.Mark) {
	for _, run := range runs {
		for i := range run.Events {
			if r := &run.Events[i]; h.box.Own(r) {
				seen = append(seen, outbox.Mark{Tenant: r.TenantID, Number: r.DeriverNumber, EventID: r.ID})
			}
		}
	}
	return seen
}

// fold applies one run as far as its share goes. The error is one for everybody; what is wrong with the tenant alone stands in the part.
func (h *handler) fold(ctx context.Context, tx pgx.Tx, f *fold, run consumer.Run, each share) (part consumer.Part, err error) {
	for i := range run.Events {
		if i > 0 && each.spent(f) {
			h.metrics.postponed.Inc()
			break
		}
		if err := f.apply(ctx, &run.Events[i]); err != nil {
			var slow *TooSlowError
			if !errors.As(err, &slow) {
				return part, err
			}
			h.metrics.slow.Inc()
			h.log.Error("tenant set aside: one evaluation took too long; the others go on", "tenant", run.TenantID, "rule", slow.Rule, "where", slow.Where,
				"sequence", run.Events[i].Sequence, "event", run.Events[i].ID)
			part.Err = err
			break
		}
		part.Applied = i + 1
		if f.size >= flushOutput {
			if err := h.flush(ctx, tx, f); err != nil {
				return part, err
			}
		}
	}
	return part, h.flush(ctx, tx, f)
}

// flush writes the derived events that a fold holds.
func (h *handler) flush(ctx context.Context, tx pgx.Tx, f *fold) error {
	evs := make([]*event.Event, len(f.outputs))
	for i := range f.outputs {
		evs[i] = &f.outputs[i]
	}
	f.outputs, f.size = nil, 0
	return h.box.Add(ctx, tx, evs...)
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
