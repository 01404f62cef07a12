package archiver

import (
	"context"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
)

// Run archives until ctx ends (then it returns nil) or something is broken for good. It creates nothing: what is missing is an error
// that names the command that makes it.
//
//	Postgres, Kafka, registry checked ──> ready ──> consumer loop ──> Archiver
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	base, err := consumer.Open(ctx, rt, cfg, Migrations())
	if err != nil {
		return err
	}
	defer base.Close()
	loop := base.Config("audit")
	loop.DeadLetters = true
	c, err := consumer.New(loop, newArchiver(base.Pool, base.Kafka, base.Schemas, rt.Log, newMetrics(rt.Metrics)))
	if err != nil {
		return err
	}
	return base.Serve(ctx, c, nil)
}
