package rules

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/rules/timers"
)

// firing is what fires the timers of workflows: the partitions that the loop owns, once their log was read to its end, up to where the rules have
// applied it.
type firing struct {
	base     *consumer.Base
	owned    func() []int32
	gate     *timers.Gate
	frontier *timers.Frontier
}

func newFiring(base *consumer.Base, rt *app.Runtime, box *outbox.Outbox, owned func() []int32) *timers.Timers {
	at := &timers.Log{Admin: base.Admin, Kafka: base.Kafka, Pool: base.Pool}
	f := &firing{base: base, owned: owned, gate: timers.NewGate(at, rt.Log), frontier: timers.NewFrontier(at, nil)}
	return timers.New(timers.Config{Pool: base.Pool, Box: box, Schemas: base.Schemas, Open: f.open, Through: f.through, Log: rt.Log, Metrics: rt.Metrics,
		Report: base.Reporter("firing timers")})
}

func (f *firing) open(ctx context.Context) []int32 { return f.gate.Open(ctx, f.owned()) }

// through leaves out tenants that catch up or are set aside: their events are applied outside the loop, later than its offset says.
func (f *firing) through(ctx context.Context, tenants []string) (map[string]time.Time, error) {
	var of []int32
	for _, tenant := range tenants {
		of = append(of, kafka.PartitionFor([]byte(tenant), f.base.Partitions))
	}
	slices.Sort(of)
	if err := f.frontier.Look(ctx, slices.Compact(of)...); err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, tenant := range tenants {
		if t, known := f.frontier.Through(kafka.PartitionFor([]byte(tenant), f.base.Partitions)); known {
			out[tenant] = t
		}
	}
	for _, state := range []consumer.State{consumer.CatchingUp, consumer.Stalled} {
		rows, err := consumer.Rows(ctx, f.base.Pool, kafka.GroupRules, "", state)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			delete(out, r.TenantID)
		}
	}
	return out, nil
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
	return true, h.timers.Refused(ctx, tx, &l.Event, l.Code)
}
