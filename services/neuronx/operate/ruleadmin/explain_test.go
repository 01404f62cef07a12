package ruleadmin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/rules"
	"github.com/neuronx/engine/services/rules/explain"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// endless is an archive that never answers.
type endless struct{}

func (endless) Events(ctx context.Context, _ string, _ int64, _ int) ([]event.Recorded, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// What takes too long to be worked out again is left out; what is on record is told in the time that is left.
func TestRefoldWithin_LeavesTimeToTellTheRecord(t *testing.T) {
	c, err := ruleset.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := explain.NewRefold("acme", c.(rules.Registry), nil, false)
		began := time.Now()
		if applied, whole, err := refoldWithin(ctx, endless{}, f, "acme", 9, nil); applied != 0 || whole || err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("%d, %v, %v after %s", applied, whole, err, time.Since(began))
		}
		cancel()
		if _, _, err := refoldWithin(ctx, endless{}, f, "acme", 9, nil); err == nil {
			t.Error("the end of the caller's own time is no error")
		}
	})
}
