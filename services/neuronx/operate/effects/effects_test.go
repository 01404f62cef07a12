package effects

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate"
)

func TestResolve_SaysWhenADecisionChangedNothing(t *testing.T) {
	err := unresolved(operate.Done{Tenant: "acme", Sequence: "7"}, []Effect{{Status: "sending"}})
	if err == nil || !strings.Contains(err.Error(), "recorded as sequence 7 and changed nothing") {
		t.Error(err)
	}
}
