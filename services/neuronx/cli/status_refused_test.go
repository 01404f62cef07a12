package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/neuronx/engine/services/neuronx/operate/status"
)

func TestStatus_SaysWhoseRequestsWereRefusedAndWhichRulesAreInTrouble(t *testing.T) {
	var out bytes.Buffer
	c := tool(nil, &out, io.Discard)
	err := c.showStatus(status.Overview{
		Refused: []status.Refused{{Tenant: "greedy", Reason: "tenant_memory_full", Requests: 460}},
		Rules:   []status.RuleTrouble{{Tenant: "dear", Rule: "b", OverBudget: 7, LastBudget: "event_cost", Others: 1}, {Tenant: "off", Rule: "d", Tripped: "failures", Others: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"460 requests of greedy at HTTP: tenant_memory_full; neuronx tenant suspend greedy",
		"b of dear: cut on 7 events, last by its event_cost; neuronx rules publish <cheaper rules> --tenant dear; 1 other rule off, cut or failing: neuronx rules health --tenant dear",
		"d of off: off: failures; neuronx rules reset d --tenant off; 1 other rule off, cut or failing: neuronx rules health --tenant off",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
}
