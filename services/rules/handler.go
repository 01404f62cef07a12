package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/stream"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/typecheck"
)

// registryClient is what the handler needs of registry.Client.
type registryClient interface {
	consumer.Schemas
	typecheck.Catalogue
}

// handler applies runs of the log. It is used by one goroutine at a time, as the consumer promises, but for Prepare.
type handler struct {
	box      *outbox.Outbox
	registry registryClient
	decoder  *consumer.Decoder
	log      *slog.Logger
	metrics  *metrics
	archive  stream.Source // for events that are run over; nil: none can be
	shared   shared
	within   time.Duration // wall time of one event; 0 is EventDeadline, and loopDeadline while a batch waits

	partitions int32          // of the log: whose owner fires the timers of a tenant
	timers     *timers.Timers // nil: no workflow's timers fire
	firings    *outbox.Outbox // of their deriver; nil with timers
}

func newHandler(box *outbox.Outbox, reg registryClient, log *slog.Logger, m *metrics) *handler {
	return &handler{box: box, registry: reg, decoder: consumer.NewDecoder(reg), log: log, metrics: m}
}

// querier reads: a transaction, or the pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Apply implements consumer.Handler: the whole run, whatever it costs. The consumer prefers ApplyParts.
func (h *handler) Apply(ctx context.Context, tx pgx.Tx, run consumer.Run) error {
	return h.ApplyBatch(ctx, tx, []consumer.Run{run})
}

// ApplyBatch applies all of the runs, or fails.
func (h *handler) ApplyBatch(ctx context.Context, tx pgx.Tx, runs []consumer.Run) error {
	parts, err := h.apply(ctx, tx, runs, unbounded)
	for _, p := range parts {
		err = errors.Join(err, p.Err)
	}
	return err
}

// ApplyParts implements consumer.PartHandler: what Prepare has worked out is written, anything else is applied as far as a batch may wait
// for it.
func (h *handler) ApplyParts(ctx context.Context, tx pgx.Tx, runs []consumer.Run) ([]consumer.Part, error) {
	terms := batchTerms(len(runs))
	if len(runs) == 1 {
		ready, whole := h.shared.take(runs[0])
		if ready != nil {
			err := h.write(ctx, tx, []*fold{ready.fold}, []*fold{ready.fold})
			if err == nil {
				h.shared.wrote(runs[0].TenantID)
			}
			return []consumer.Part{ready.part}, err
		}
		if whole {
			terms = catchUpTerms
		}
	}
	return h.apply(ctx, tx, runs, terms)
}

// apply loads what the runs need, folds each as far as its terms go, and writes what was seen, outbox rows and state.
func (h *handler) apply(ctx context.Context, tx pgx.Tx, runs []consumer.Run, t terms) ([]consumer.Part, error) {
	parts := make([]consumer.Part, len(runs))
	var now []consumer.Run // those of tenants that batches wait for
	var at []int
	for i, run := range runs {
		if t.event > 0 && h.shared.isDear(run.TenantID) {
			parts[i].Later = true
			h.metrics.postponed.Inc()
			continue
		}
		now, at = append(now, run), append(at, i)
	}
	w := &database{handler: h, q: tx}
	folds, err := h.folds(ctx, w, now, t)
	if err != nil {
		return nil, err
	}
	written, held := 0, 0 // folds whose derived events are written, and bytes of those that are not
	for k, f := range folds {
		part := &parts[at[k]]
		*part, err = h.fold(ctx, f, now[k], t, func() error { // with those before it: locks are taken in the order of the runs
			from := written
			written, held = k, 0
			return h.flush(ctx, tx, folds[from:k+1]...)
		})
		if err != nil {
			return nil, err
		}
		if t.event > 0 && (f.dear || t.spent(f)) {
			h.shared.setDear(f.tenant, true)
		}
		if held += f.size; held < flushOutput {
			continue
		}
		if err := h.flush(ctx, tx, folds[written:k+1]...); err != nil {
			return nil, err
		}
		written, held = k+1, 0
	}
	return parts, h.write(ctx, tx, folds, folds[written:])
}

// write writes the state of folds, and what some of them derived.
func (h *handler) write(ctx context.Context, tx pgx.Tx, folds, derived []*fold) error {
	if err := h.flush(ctx, tx, derived...); err != nil {
		return err
	}
	return h.save(ctx, tx, folds)
}

// folds loads what is needed to fold runs.
func (h *handler) folds(ctx context.Context, w *database, runs []consumer.Run, t terms) ([]*fold, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	before := map[string]int64{}
	for _, run := range runs {
		before[run.TenantID] = run.Events[0].Sequence
	}
	c := &compiler{kept: &h.shared, one: t.compileOne, left: t.compileAll, between: t.pause}
	bundles, err := loadBundles(ctx, w.q, c, before)
	if err != nil {
		return nil, err
	}
	health, err := loadHealth(ctx, w.q, slices.Sorted(maps.Keys(before)))
	if err != nil {
		return nil, err
	}
	if err := w.preload(ctx, runs, bundles); err != nil {
		return nil, err
	}
	w.compiler = c
	if t.event > 0 {
		w.batch().Bound(loopFound)
	}
	folds := make([]*fold, len(runs))
	events := map[string][]event.Recorded{}
	for i, run := range runs {
		f := newFold(run.TenantID, w, bundles[run.TenantID], health[run.TenantID])
		f.within, f.most, f.compile = h.within, t.event, c.published
		folds[i] = f
		events[run.TenantID] = run.Events
	}
	return folds, readAhead(ctx, w.batch(), folds, func(tenant string) []event.Recorded { return events[tenant] })
}

func (h *handler) save(ctx context.Context, tx pgx.Tx, folds []*fold) error {
	if err := save(ctx, tx, slices.Clone(folds)); err != nil {
		return err
	}
	early, err := saveFlows(ctx, tx, folds)
	if err != nil {
		return err
	}
	if h.timers != nil {
		h.timers.Early(early)
	}
	for _, f := range folds {
		h.metrics.count(f)
	}
	return nil
}

// Observe implements consumer.Observer.
func (h *handler) Observe(events []event.Recorded) {
	for _, box := range h.boxes() {
		box.Observe(events)
	}
	if h.timers != nil {
		h.timers.Observe(events)
	}
}

// boxes are the outboxes whose events are read back here.
func (h *handler) boxes() []*outbox.Outbox {
	if h.firings == nil {
		return []*outbox.Outbox{h.box}
	}
	return []*outbox.Outbox{h.box, h.firings}
}

// seen notes the own events among those that folds applied since it was last called. What they leave for later is noted then: its causes may be
// applied in between, and what they give must find its number free.
func (h *handler) seen(ctx context.Context, tx pgx.Tx, folds []*fold) error {
	for _, box := range h.boxes() {
		var seen []outbox.Mark
		for _, f := range folds {
			for _, r := range f.taken[f.seen:] {
				if box.Own(&r) {
					seen = append(seen, outbox.Mark{Tenant: r.TenantID, Number: r.DeriverNumber, EventID: r.ID})
				}
			}
		}
		if err := box.SeenAll(ctx, tx, seen); err != nil && !errors.Is(err, outbox.ErrConflict) {
			return err
		}
	}
	for _, f := range folds {
		f.seen = len(f.taken)
	}
	return nil
}

// fold applies one run as far as its terms go, and calls flush when it holds much. The error is one for everybody; what is wrong with the tenant
// alone stands in the part.
func (h *handler) fold(ctx context.Context, f *fold, run consumer.Run, t terms, flush func() error) (part consumer.Part, err error) {
	for i := range run.Events {
		if i > 0 && t.spent(f) {
			h.metrics.postponed.Inc()
			break
		}
		err := f.apply(ctx, &run.Events[i])
		var slow *TooSlowError
		switch {
		case errors.Is(err, errLater):
			h.metrics.postponed.Inc()
			part.Later = true
			return part, nil
		case errors.As(err, &slow):
			h.metrics.slow.Inc()
			h.log.Error("tenant set aside: one evaluation took too long; the others go on", "tenant", run.TenantID, "rule", slow.Rule, "where", slow.Where,
				"sequence", run.Events[i].Sequence, "event", run.Events[i].ID)
			part.Err = slow
			return part, nil
		case err != nil:
			return part, err
		}
		part.Applied = i + 1
		f.taken = run.Events[:part.Applied]
		if f.size >= flushOutput {
			if err := flush(); err != nil {
				return part, err
			}
		}
	}
	return part, nil
}

// flush writes what folds derived, but for what stands among the events that they applied: a database that was set back derives again what the log
// has behind the cause, and the sequencer would admit it once more under another number. What stands there is noted first, so that new numbers
// begin behind it.
func (h *handler) flush(ctx context.Context, tx pgx.Tx, folds ...*fold) error {
	if err := h.seen(ctx, tx, folds); err != nil {
		return err
	}
	for _, f := range folds {
		var standing map[string]bool
		if len(f.outputs) > 0 {
			standing = h.standing(f.taken)
		}
		evs := make([]*event.Event, 0, len(f.outputs))
		for i := range f.outputs {
			if !standing[f.outputs[i].ID] {
				evs = append(evs, &f.outputs[i])
			}
		}
		f.outputs, f.size = nil, 0
		if err := h.box.Add(ctx, tx, evs...); err != nil {
			return err
		}
	}
	return nil
}

// standing are the ids of the own events among some.
func (h *handler) standing(events []event.Recorded) map[string]bool {
	ids := map[string]bool{}
	for i := range events {
		if r := &events[i]; h.box.Own(r) {
			ids[r.ID] = true
		}
	}
	return ids
}

// ApplyDeadLetters implements consumer.DeadLetterHandler: own events that were refused have used up their number, and one that was
// refused as a storm is reported, once.
func (h *handler) ApplyDeadLetters(ctx context.Context, tx pgx.Tx, letters []consumer.DeadLetter) error {
	for i := range letters {
		l := &letters[i]
		if own, err := h.refusedTimer(ctx, tx, l); own || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		// A dead letter carries the refused record's attributes as they came; Refused believes only our signature.
		own, err := h.box.Refused(ctx, tx, &l.Event)
		if err != nil && !errors.Is(err, outbox.ErrConflict) {
			return err
		}
		if !own {
			continue
		}
		h.metrics.refused.WithLabelValues(event.Code(l.Code).Label()).Inc()
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
func fillSchemas(ctx context.Context, catalogue typecheck.Catalogue, known Schemas, types []string) error {
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
