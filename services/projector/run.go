package projector

import (
	"context"
	"fmt"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/projector/fold"
)

// Run projects until ctx ends (then it returns nil) or something is broken for good. It creates nothing: what is missing is an error
// that names the command that makes it.
//
//	Postgres, Kafka, registry checked ──> ready ──┬─> consumer loop ──> Projector of feed control, Projector of feed main
//	                                              ├─> generations for tables of another definition
//	                                              └─> purge of retired generations
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	specs, err := fold.Declared()
	if err != nil {
		return fmt.Errorf("read projections: %w", err)
	}
	base, err := consumer.Open(ctx, rt, cfg, Migrations())
	if err != nil {
		return err
	}
	defer base.Close()
	m, err := newMetrics(rt.Metrics, specs)
	if err != nil {
		return err
	}
	main := newProjector(base.Pool, consumer.FeedMain, specs, base.Schemas, m, rt.Log)
	control := newProjector(base.Pool, FeedControl, specs, base.Schemas, m, rt.Log)
	loop := base.Config("rebuild")
	loop.Archive = archive.NewReader(base.Pool)
	loop.Feeds = []consumer.Feed{{Name: FeedControl, Handler: control}}
	c, err := consumer.New(loop, main)
	if err != nil {
		return err
	}
	return base.Serve(ctx, c, func(g *app.Group) {
		g.Add("redeclare", func(ctx context.Context) error { return main.redeclare(ctx, c.Owned) })
		g.Add("redeclare-control", func(ctx context.Context) error { return control.redeclare(ctx, c.Owned) })
		g.Add("purge", main.purge)
		g.Add("purge-control", control.purge)
	})
}
