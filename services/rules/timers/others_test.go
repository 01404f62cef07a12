package timers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/rules/timers"
)

// neighbours are tenants of the partition of one.
func neighbours(of string, n int) (out []string) {
	for i := 0; len(out) < n; i++ {
		if name := fmt.Sprintf("%s-%d", of, i); samePartition(name, of) {
			out = append(out, name)
		}
	}
	return out
}

// herd arms many timers of a tenant, all due at the same time.
func (r *rig) herd(tenant string, n int, due time.Time) {
	r.t.Helper()
	r.exec(`INSERT INTO neuronx.timers (tenant_id, id, partition, instance, workflow, token, task, due, held_until, armed_sequence)
		SELECT $1, 'h-' || g, $2, 'i-1', 'nurture', 1, 'wait', $3, $3, 7 FROM generate_series(1, $4) AS g`,
		tenant, kafka.PartitionFor([]byte(tenant), partitions), due, n)
}

// The rules of a tenant that is set aside do not read its firings back until an operator has mended it.
func TestPass_LetsWhatStalledTenantsHaveOnItsWayHoldBackNobody(t *testing.T) {
	r := newRig(t)
	stalled := neighbours("stalled", timers.MostPerPartition/timers.MostPerTenant)
	for _, tenant := range stalled {
		r.herd(tenant, timers.MostPerTenant+1, r.now.Add(-time.Hour))
		r.tenants[tenant] = r.now
	}
	r.pass()
	for _, tenant := range stalled {
		if got := len(r.waiting(tenant)); got != timers.MostPerTenant {
			t.Fatalf("%s has %d on its way, want %d", tenant, got, timers.MostPerTenant)
		}
		delete(r.tenants, tenant)
	}
	r.arm("stalled", 0)
	r.pass()
	if got := len(r.waiting("stalled")); got != 1 {
		t.Errorf("%d firings of a tenant whose partition has much on its way of tenants that are set aside, want 1", got)
	}
	for _, tenant := range stalled {
		if got := len(r.waiting(tenant)); got != timers.MostPerTenant {
			t.Errorf("%s fired while it is set aside: %d on its way", tenant, got)
		}
		r.tenants[tenant] = r.now
	}
	r.exec(`DELETE FROM neuronx.timers WHERE state = 'firing'`) // they were read back
	r.pass()
	if got := len(r.waiting(stalled[0])); got != timers.MostPerTenant+1 {
		t.Errorf("a tenant that goes on has fired %d in all, want %d", got, timers.MostPerTenant+1)
	}
}

// More tenants than a pass looks for have more timers that are due than one look finds, and may fire none.
func TestPass_LetsNoNumberOfSuspendedTenantsStandBeforeOthers(t *testing.T) {
	r := newRig(t)
	for i, tenant := range neighbours("suspended", 10) {
		r.herd(tenant, timers.MostPerPartition, r.now.Add(-time.Duration(20-i)*time.Hour))
	}
	r.arm("suspended", 0)
	r.pass()
	r.pass()
	if got := len(r.waiting("suspended")); got != 1 {
		t.Errorf("%d firings of the tenant behind the suspended ones, want 1", got)
	}
}

func TestPass_LetsATenantThatFailsHoldBackNobody(t *testing.T) {
	r := newRig(t)
	const bad = "bad"
	good := neighbours(bad, 1)[0]
	r.arm(bad, 0)
	r.arm(good, 30*time.Second) // due later
	r.exec(`UPDATE neuronx.timers SET task = repeat('x', 3000000) WHERE tenant_id = $1`, bad)
	r.pass()
	if got := len(r.waiting(good)); got != 1 {
		t.Errorf("%d firings of the other tenant, want 1", got)
	}
	if got := r.waiting(bad); len(got) > 0 {
		t.Fatalf("no event is that large, and it fired %v", got)
	}
	r.exec(`UPDATE neuronx.timers SET task = 'wait' WHERE tenant_id = $1`, bad)
	r.now = r.now.Add(10 * time.Second) // longer than it is held back
	r.pass()
	if got := len(r.waiting(bad)); got != 1 {
		t.Errorf("%d firings of the tenant after what failed was mended, want 1", got)
	}
}

func TestSweep_LetsNoStalledTenantHideLostFirings(t *testing.T) {
	r := newRig(t)
	for _, tenant := range neighbours("lost", 3) {
		r.herd(tenant, timers.MostPerTenant, r.now.Add(-time.Hour))
	}
	r.exec(`UPDATE neuronx.timers SET state = 'firing', fired_at = now() - interval '30 minutes'`)
	r.arm("lost", 0)
	r.exec(`UPDATE neuronx.timers SET state = 'firing', fired_at = now() - interval '6 minutes' WHERE tenant_id = 'lost'`)
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.state("lost", "t-000"); got != "armed 1" {
		t.Errorf("the lost one is %s, want armed 1", got)
	}
}
