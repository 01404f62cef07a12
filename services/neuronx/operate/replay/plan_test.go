package replay

import (
	"errors"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Neither edge can leave the check out: rows that were made elsewhere are refused, too, and nothing is asked of Kafka.
func TestPlanAndExecute_RefuseGroupsWhosePositionIsState(t *testing.T) {
	env := &operate.Env{Value: func(string) string { return "" }, Note: t.Logf}
	for _, group := range []string{kafka.GroupSequencer, kafka.GroupLanding} {
		_, _, planned := Plan(t.Context(), env, reset.Spec{Group: group})
		executed := Execute(t.Context(), env, group, []reset.Row{{Group: group}}, true, func(string) error { t.Error("done"); return nil })
		for verb, err := range map[string]error{"plan": planned, "execute": executed} {
			var e *operate.Error
			if !errors.As(err, &e) || e.Kind != operate.KindUnsafe {
				t.Errorf("%s of %s: %v", verb, group, err)
			}
		}
	}
}
