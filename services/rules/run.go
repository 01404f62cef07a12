package rules

import (
	"context"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/rules/timers"
	"github.com/neuronx/engine/services/rules/workflowstore/view"
)

// Run reads the log and derives events until ctx ends (then it returns nil) or something is broken for good. It creates nothing:
// what is missing is an error that names the command that makes it.
//
//	Postgres, Kafka, registry checked ─▶ ready ─┬─▶ consumer loop ─▶ handler ─▶ outbox rows
//	                                            ├─▶ sender of the partitions that the loop owns ─▶ ingress
//	                                            └─▶ timers of these partitions ─▶ outbox rows of their own ─▶ their sender ─▶ ingress
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	base, err := consumer.Open(ctx, rt, cfg, outbox.Migrations(), Migrations())
	if err != nil {
		return err
	}
	defer base.Close()
	m := newMetrics(rt.Metrics)
	box := outbox.New(Deriver, base.Keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	reader := archive.NewReader(base.Pool)
	loop := base.Config("compare")
	loop.Archive, loop.DeadLetters = reader, true
	clock := timers.NewClock(nil)
	fire := newFiring(&timers.Log{Admin: base.Admin, Kafka: base.Kafka, Pool: base.Pool}, &loop, base.Partitions, clock)
	h := newHandler(box, base.Schemas, rt.Log, m)
	h.archive, h.partitions = reader, base.Partitions
	h.firings = outbox.New(timers.Deriver, base.Keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	c, err := consumer.New(loop, &service{
		handler: h,
		shadow:  &shadow{pool: base.Pool, archive: reader, registry: base.Schemas, log: rt.Log, metrics: m},
	})
	if err != nil {
		return err
	}
	sender := box.NewSender(outbox.SenderConfig{Pool: base.Pool, Producer: base.Producer, Owned: c.Owned, Partitions: base.Partitions,
		Report: base.Reporter("reading the outbox")})
	fire.owned = c.Owned
	h.timers = timers.New(timers.Config{Pool: base.Pool, Box: h.firings, Schemas: base.Schemas, Open: fire.open, Through: fire.through, Clock: clock, Log: rt.Log, Metrics: rt.Metrics,
		Report: base.Reporter("firing timers")})
	fired := h.firings.NewSender(outbox.SenderConfig{Pool: base.Pool, Producer: base.Producer, Owned: c.Owned, Partitions: base.Partitions,
		Report: base.Reporter("reading the outbox of timers")})
	return base.Serve(ctx, c, func(g *app.Group) {
		g.Add("outbox sender", sender.Run)
		g.Add("timers", h.timers.Run)
		g.Add("sender of timers", fired.Run)
		g.Add("retention of workflows", func(ctx context.Context) error { return pruneWorkflows(ctx, base.Pool, rt.Log) })
		g.Add("tripped rules", newTripped(base.Pool, rt.Log, rt.Metrics).run)
		g.Add("workflows in trouble", view.NewGauges(base.Pool, rt.Log, rt.Metrics).Run)
	})
}

// service is what the consumer drives: the handler for the log, the shadow for an operator's reset.
type service struct {
	*handler
	*shadow
}

var (
	_ consumer.Preparer          = (*service)(nil)
	_ consumer.Observer          = (*service)(nil)
	_ consumer.DeadLetterHandler = (*service)(nil)
	_ consumer.ResetHandler      = (*service)(nil)
)
