//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// routed gives each lead an owner by a rule that assigns, which the build before does not know.
var routed = []ruleset.File{
	{Name: "team.yaml", Text: `apiVersion: neuronx/v1
kind: Lookup
metadata:
  name: team
spec:
  key: rep
  columns: {rep: string, weight: int}
  rows:
    - {rep: ann, weight: 2}
    - {rep: bob, weight: 1}
  pool: {weight: weight, release: {on: [lead.lost], key: data.lead_id}}
`},
	{Name: "routes.yaml", Text: `apiVersion: neuronx/v1
kind: Rule
metadata:
  name: routes
spec:
  on: [lead.created]
  key: data.lead_id
  assign: {pool: team, as: owner}
  emit:
    - type: lead.assigned
      data: {lead_id: data.lead_id, owner_id: vars.owner}
`},
}

var chased = ruleset.File{Name: "chase.yaml", Text: fmt.Sprintf(chase, 1)}

// Two processes of the rules service are exchanged for those of a newer build, one after the other, while leads come in and timers are due. Half of the
// tenants publish meanwhile what the older build does not know: they wait for the newer one, and nobody has to bring them back. Each output comes once,
// and a reset finds no difference. With NEURONX_TEST_WORKFLOWS=long timers are due between the two exchanges, too, and none fires early; no timer is
// shorter than a minute, so in the short form all of them are disarmed by the newer build.
func TestUpgrade_EachOutputComesOnceWhileTheRulesServiceIsExchanged(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	c := cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker, Seed: cluster.Seed{Bug: "rules_of_the_build_before", Program: "neuronx-rules"}})
	more := c.Service(t, "rules-1", "rules", "rules", "--laptop", "--slot", "1")
	noError(t, more.Start())
	for _, name := range []string{"rules", "rules-1"} { // from their next start on
		c.Plant(t, name, "")
	}
	noError(t, more.Ready(ctx))
	h := herd{tenants: 4, leads: 120, contacted: 1}
	long := os.Getenv("NEURONX_TEST_WORKFLOWS") == "long"
	if long {
		h.contacted = 1000 // nobody
	}
	f := &flock{herd: h, t: t, c: c}
	tenants := c.Tenants(t, "up", h.tenants, 0)
	newer := tenants[2:]
	for _, tenant := range tenants {
		noError(t, c.PublishRules(ctx, tenant.ID, []ruleset.File{chased}, 1))
	}
	leads, routedFrom := 0, 40
	come := func() {
		t.Helper()
		for _, tenant := range tenants {
			publishAbout(t, c, tenant, "lead.created", leads, leads+20, 1)
		}
		leads += 20
	}
	began := time.Now()
	come()
	come()
	for _, tenant := range newer {
		noError(t, c.PublishRules(ctx, tenant.ID, append(slices.Clone(routed), chased), 2))
	}
	come()
	noError(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		for _, tenant := range newer {
			if in, err := c.StalledFor(ctx, tenant.ID); err != nil || !slices.Equal(in, []string{kafka.GroupRules}) {
				return fmt.Errorf("%s is stalled for %v, want the rules: the older build does not know what it published (%w)", tenant.ID, in, err)
			}
		}
		return nil
	}))
	if long {
		rest(ctx, time.Until(began.Add(52*time.Second)))
	}
	for _, name := range []string{"rules-1", "rules"} {
		come()
		p := c.Processes[name]
		noError(t, p.Term())
		noError(t, p.Start())
		noError(t, p.Ready(ctx))
		rest(ctx, 2*time.Second) // both builds run, or timers are due at the new owner
	}
	come()
	if !long {
		for _, tenant := range tenants {
			publishAbout(t, c, tenant, "lead.contacted", 0, leads, 1)
		}
	}
	f.ended(ctx)
	noError(t, c.WaitIdle(ctx, time.Minute))
	for _, tenant := range tenants {
		if in, err := c.StalledFor(ctx, tenant.ID); err != nil || len(in) > 0 {
			t.Errorf("%s is stalled for %v (%v) although both processes are of the newer build", tenant.ID, in, err)
		}
	}
	f.check(ctx)
	log, err := c.Log(ctx)
	noError(t, err)
	owners, dec := map[string]int{}, consumer.NewDecoder(c.Registry)
	for i := range log {
		if r := &log[i]; r.Type == "lead.assigned" {
			data, err := dec.Decode(ctx, r)
			noError(t, err)
			owners[fmt.Sprint(r.TenantID, " ", data["lead_id"])]++
		}
	}
	for _, tenant := range newer {
		for n := routedFrom; n < leads; n++ {
			if got := owners[fmt.Sprint(tenant.ID, " ", n+1)]; got != 1 {
				t.Errorf("lead %d of %s was given away %d times", n+1, tenant.ID, got)
			}
		}
	}
	if want := len(newer) * (leads - routedFrom); len(owners) != want {
		t.Errorf("%d leads have an owner, want %d", len(owners), want)
	}
	f.reset(ctx)
}
