package effects

import (
	"context"
	"time"

	"github.com/neuronx/engine/pkg/crm/ledger"
)

// pausedFor is after how long it is looked again whether an operator's pause has ended.
const pausedFor = 10 * time.Second

// paused asks, right before a request, whether an operator has paused it meanwhile. What can't be asked is not sent.
func (w *worker) paused(ctx context.Context, j *job) bool {
	pauses, err := w.ledger.Pauses(ctx, w.pool, j.effect.TenantID)
	if err != nil {
		return true
	}
	p, paused := ledger.PauseOf(pauses, j.effect.Kind)
	if paused {
		j.paused = p.Text()
	}
	return paused
}
