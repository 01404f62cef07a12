package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/services/neuronx/operate/status"
	"github.com/neuronx/engine/services/projector"
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

// Every part of what status knows is shown under its label, and what is not known is not shown as nothing.
func TestStatus_ShowsEveryPart(t *testing.T) {
	shown := func(o status.Overview) string {
		t.Helper()
		var out bytes.Buffer
		if err := tool(nil, &out, io.Discard).showStatus(o); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	full := shown(status.Overview{
		Groups: []status.Group{{Group: "neuronx.rules", State: "Stable", Members: 2, Lag: 7}, {Group: "neuronx.archiver", Members: -1, Lag: -1}}, Tenants: map[string]int64{"live": 3},
		Effects: map[string]int64{"done": 4}, DeadLetter: map[string]int64{"invalid_body": 5}, Refused: []status.Refused{{Tenant: "greedy", Reason: "slow_body", Requests: 6}},
		Rules: []status.RuleTrouble{{Tenant: "off", Rule: "d", Tripped: "failures"}}, CRM: []ledger.Paused{{Tenant: "paused", Reason: ledger.PausedAuth}},
		Rebuilds: []projector.Rebuild{{Consumer: "neuronx.projector", Why: "reset r1", Tenants: 2, Building: true}},
		Outbox:   []status.Outbox{{Deriver: "rules", Rows: 8, Oldest: 9}}, Stalled: []status.Stalled{{Consumer: "neuronx.rules", Generation: 1, Tenant: "acme", Sequence: 10, Reason: "poison"}},
	})
	for _, want := range []string{"neuronx.rules Stable 2 7", "neuronx.archiver - ? ?", "tenants: 3 live", "effects: 4 done", "dead letters: 5 invalid_body", "6 requests of greedy at HTTP: slow_body",
		"d of off: off: failures", "paused: the CRM refuses the token", "reset r1", "rules 8 rows, oldest 9 s", "neuronx.rules 1 acme 10 poison"} {
		if !strings.Contains(full, want) {
			t.Errorf("%q is not shown: %s", want, full)
		}
	}
	none := shown(status.Overview{Groups: []status.Group{}, Outbox: []status.Outbox{}, Stalled: []status.Stalled{}, DeadLetter: map[string]int64{}})
	for _, want := range []string{"dead letters: none open", "outbox: empty"} {
		if !strings.Contains(none, want) {
			t.Errorf("%q is not shown: %s", want, none)
		}
	}
	unknown := shown(status.Overview{})
	for _, want := range []string{"groups: not known", "outbox: not known", "stalled: not known"} {
		if !strings.Contains(unknown, want) || strings.Contains(none, want) {
			t.Errorf("%q: %s", want, unknown)
		}
	}
}
