package cli

import (
	"context"

	"github.com/neuronx/engine/services/gohighlevel/effect"
	"github.com/neuronx/engine/services/gohighlevel/ledger"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/operate/effects"
	"github.com/neuronx/engine/services/neuronx/operate/status"
)

// noteWhyPending says of each tenant with a listed effect that is pending why all wait, if its CRM connection is refused: most of its
// effects were never tried, and have no error of their own.
func (c *cli) noteWhyPending(ctx context.Context, rows []effects.Effect) error {
	pending := map[string]bool{}
	for _, r := range rows {
		if r.Status == string(effect.Pending) {
			pending[r.Tenant] = true
		}
	}
	if len(pending) == 0 {
		return nil
	}
	pool, err := c.env.Pool(ctx)
	if err != nil {
		return err
	}
	paused, err := ledger.ListPaused(ctx, pool, status.MaxPaused)
	if err != nil {
		return operate.Fail("list effects", err)
	}
	for _, p := range paused {
		if pending[p.Tenant] {
			c.note("%s; %s", status.PausedWhat(p), status.PausedNext(p))
		}
	}
	return nil
}
