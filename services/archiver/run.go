package archiver

import (
	"context"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/services/archiver/deadletter"
)

// Run archives until ctx ends (then it returns nil) or something is broken for good. It creates nothing: what is missing is an error
// that names the command that makes it.
//
//	Postgres, Kafka, registry checked ──> ready ──┬──> consumer loop ──> Archiver
//	                                              ├──> decider: what operators ask about dead letters ──> outbox rows
//	                                              └──> outbox sender of the partitions that the loop owns ──> ingress
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	base, err := consumer.Open(ctx, rt, cfg, outbox.Migrations(), Migrations())
	if err != nil {
		return err
	}
	defer base.Close()
	loop := base.Config("audit")
	loop.DeadLetters = true
	box := outbox.New(deadletter.Deriver, base.Keys, outbox.WithLog(rt.Log), outbox.WithMetrics(rt.Metrics))
	c, err := consumer.New(loop, newArchiver(base.Pool, base.Kafka, base.Schemas, box, rt.Log, newMetrics(rt.Metrics)))
	if err != nil {
		return err
	}
	sender := box.NewSender(outbox.SenderConfig{Pool: base.Pool, Producer: base.Producer, Owned: c.Owned, Partitions: base.Partitions,
		Report: base.Reporter("reading the outbox")})
	decider := &deadletter.Decider{Pool: base.Pool, Box: box, Keys: base.Keys, Schemas: base.Schemas, Log: rt.Log,
		Report: base.Reporter("deciding about dead letters")}
	return base.Serve(ctx, c, func(g *app.Group) {
		g.Add("outbox sender", sender.Run)
		g.Add("dead letter decisions", decider.Run)
	})
}
