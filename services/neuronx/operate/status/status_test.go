package status

import (
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/crm/ledger"
)

func TestStatus_JudgesWhatIsWrong(t *testing.T) {
	o := Overview{
		Processes: []Process{{URL: "http://a", Answers: true, Ready: true}, {URL: "http://b", Detail: "connection refused"}},
		Groups:    []Group{{Group: "neuronx.rules", Members: 0, Lag: 7}, {Group: "neuronx.projector", Members: 1, Lag: 7}},
		Stalled:   []Stalled{{Consumer: "neuronx.rules", Tenant: "acme"}, {Consumer: "neuronx.archiver", Tenant: "acme"}}, // one tenant
	}
	o.judge()
	if got := strings.Join(o.Wrong, "; "); got != "http://b does not answer: connection refused; nobody reads as neuronx.rules; 1 stalled tenant" {
		t.Error(got)
	}
	if next := o.Stalled[0].Next(); next != "neuronx stalled retry --consumer rules --tenant acme" {
		t.Error(next)
	}
	control := Stalled{Consumer: "neuronx.projector.control", Tenant: "acme"}
	if next := control.Next(); next != "neuronx stalled retry --consumer projector --feed control --tenant acme" {
		t.Error(next)
	}
	fine := Overview{Processes: []Process{{Answers: true, Ready: true}}, Groups: []Group{{Group: "x", Members: 0, Lag: 0}}}
	if fine.judge(); len(fine.Wrong) > 0 {
		t.Error(fine.Wrong)
	}
}

func TestStatus_PointsAtStalledListWhenTenantsAreStalled(t *testing.T) {
	stalled := []Stalled{{Consumer: "neuronx.rules", Tenant: "acme"}}
	for _, x := range []struct {
		o    Overview
		want string
	}{
		{Overview{Stalled: stalled}, "neuronx stalled list"},
		{Overview{Stalled: stalled, Groups: []Group{{Group: "x", Lag: 1}}}, "neuronx stalled list, then neuronx doctor"},
		{Overview{Stalled: stalled, Problems: []string{"Kafka is away"}}, "neuronx stalled list, then neuronx doctor"},
		{Overview{Groups: []Group{{Group: "x", Lag: 1}}}, "neuronx doctor"},
	} {
		x.o.judge()
		if got := x.o.next(); got != x.want {
			t.Errorf("%+v: next: %s, want %s", x.o, got, x.want)
		}
	}
}

func TestPausedNext_ConnectsAgainAsTheTenantIsConnected(t *testing.T) {
	p := ledger.Paused{Tenant: "acme", Location: "loc", Token: "secret://a@1", Mode: "send"}
	if got := PausedNext(p); !strings.HasPrefix(got, "neuronx crm connect acme --location loc --token ") || !strings.HasSuffix(got, ", now secret://a@1> --mode send --execute") {
		t.Error(got)
	}
	grant := p
	grant.Token = "secret://loc@grant"
	if got := PausedNext(grant); !strings.HasPrefix(got, "neuronx crm status --tenant acme") || strings.Contains(got, "--token") {
		t.Error(got)
	}
	p.BaseURL = "https://crm.example.com"
	if got := PausedNext(p); !strings.HasSuffix(got, " --mode send --base-url https://crm.example.com --execute") {
		t.Error(got)
	}
	if got := PausedNext(ledger.Paused{Tenant: "acme"}); got != "neuronx crm connect acme" {
		t.Error(got)
	}
}
