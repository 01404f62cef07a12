package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/workflowstore"
)

// firing says which timers of workflows may fire: those of the partitions that the loop owns, once their log was read to its end, up to where the rules
// have applied it.
type firing struct {
	pool       *pgxpool.Pool
	partitions int32
	owned      func() []int32
	gate       *timers.Gate
	frontier   *timers.Frontier
}

// newFiring makes it for a loop, whose assignments it is told of from then on. clock is the one that timers are due by; nil: the machine's.
func newFiring(at timers.Positions, loop *consumer.Config, partitions int32, clock *timers.Clock) *firing {
	f := &firing{pool: loop.Pool, partitions: partitions, gate: timers.NewGate(at, loop.Log), frontier: timers.NewFrontier(at, clock)}
	loop.Assigned = f.gate.Closed
	return f
}

func (f *firing) open(ctx context.Context) []int32 { return f.gate.Open(ctx, f.owned()) }

// through leaves out tenants that catch up or are set aside, whose events are applied outside the loop, later than its offset says, and those that are
// suspended: the facts that would end their instances are refused, so nobody may be messaged because none came.
func (f *firing) through(ctx context.Context, tenants []string) (map[string]time.Time, error) {
	var of []int32
	for _, tenant := range tenants {
		of = append(of, kafka.PartitionFor([]byte(tenant), f.partitions))
	}
	slices.Sort(of)
	if err := f.frontier.Look(ctx, slices.Compact(of)...); err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, tenant := range tenants {
		if t, known := f.frontier.Through(kafka.PartitionFor([]byte(tenant), f.partitions)); known {
			out[tenant] = t
		}
	}
	for _, state := range []consumer.State{consumer.CatchingUp, consumer.Stalled} {
		rows, err := consumer.Rows(ctx, f.pool, kafka.GroupRules, "", state)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			delete(out, r.TenantID)
		}
	}
	suspended, err := workflowstore.Suspended(ctx, f.pool, tenants)
	for _, tenant := range suspended {
		delete(out, tenant)
	}
	return out, err
}

// refusedTimer takes in a dead letter of a firing, which is armed again; false: it is none of ours.
func (h *handler) refusedTimer(ctx context.Context, tx pgx.Tx, l *consumer.DeadLetter) (bool, error) {
	if h.firings == nil {
		return false, nil
	}
	own, err := h.firings.Refused(ctx, tx, &l.Event)
	if err != nil && !errors.Is(err, outbox.ErrConflict) || !own {
		return false, err
	}
	h.log.Warn("the firing of a timer was refused; it is fired again later", "tenant", l.Event.TenantID, "code", l.Code, "detail", l.Detail, "event", l.Event.ID)
	r, err := h.timers.Refused(ctx, tx, &l.Event, l.Code)
	if err != nil || r == nil || r.Times%timers.GiveUpAfter != 0 {
		return true, err
	}
	schemas := Schemas{}
	if err := fillSchemas(ctx, h.registry, schemas, []string{typeTimerRefused}); err != nil {
		return true, err
	}
	if schemas[typeTimerRefused].Avro == nil {
		return true, consumer.Transient(fmt.Errorf("no schema of %s: run neuronx schemas push", typeTimerRefused))
	}
	e, err := timerRefused(l.Event, l.Code, *r, schemas[typeTimerRefused])
	if err != nil {
		return true, err
	}
	h.log.Error("the firings of a timer are refused again and again; its instance is told, and stands in an incident", "tenant", e.TenantID, "instance", r.Instance,
		"task", r.Task, "code", l.Code, "times", r.Times)
	return true, h.box.Add(ctx, tx, &e)
}

// timerRefused makes engine.timer.refused from the dead letter of a firing. Its id comes from the timer and how often it was refused.
func timerRefused(refused event.Event, code string, r timers.Refusal, schema Schema) (event.Event, error) {
	body, err := schema.Avro.EncodeMap(map[string]any{"timer_id": r.Timer, "instance_id": r.Instance, "task": r.Task, "code": code, "times": r.Times, "event_id": refused.ID})
	if err != nil {
		return event.Event{}, fmt.Errorf("encode %s: %w", typeTimerRefused, err)
	}
	return event.Event{
		TenantID: refused.TenantID, ID: timerRefusedID(refused.TenantID, r.Timer, r.Times), Source: Source, Type: typeTimerRefused, Subject: refused.Subject,
		Time: refused.Time, ContentType: event.ContentTypeAvro, CorrelationID: refused.CorrelationID, CausationID: cmp.Or(refused.CausationID, refused.ID),
		Origin: refused.EffectiveOrigin(), Value: event.Frame(schema.ID, body),
	}, nil
}

func timerRefusedID(tenant, timer string, times int64) string {
	return event.DerivedID(tenant, Deriver, "timer refused", timer, strconv.FormatInt(times, 10))
}
