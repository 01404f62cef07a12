package httpin

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

func TestBudget_NeverGivesMoreThanTheLimitOrTheShare(t *testing.T) {
	const limit, share = 1 << 20, 1 << 18
	b := newBudget(limit, share)
	tenants := []string{"a", "b", "c", "d", "e", "f"}
	held := map[string]int64{}
	var leases []*lease
	refused := map[shortage]int{}
	for range 50_000 {
		if len(leases) < 40 || rand.IntN(2) == 0 {
			l := &lease{of: b, tenant: tenants[rand.IntN(len(tenants))]}
			n := rand.Int64N(share / 2)
			if p := l.take(n); p == nil {
				leases = append(leases, l)
				held[l.tenant] += n
			} else {
				refused[map[int]shortage{http.StatusTooManyRequests: overShare, http.StatusServiceUnavailable: overLimit}[p.Status]]++
			}
		} else {
			i := rand.IntN(len(leases))
			held[leases[i].tenant] -= leases[i].holds
			leases[i].keep(0)
			leases = append(leases[:i], leases[i+1:]...)
		}
		var sum int64
		for tenant, n := range held {
			if n > share {
				t.Fatalf("%s holds %d of %d", tenant, n, share)
			}
			sum += n
		}
		if sum > limit || b.reserved() != sum {
			t.Fatalf("%d reserved, %d held, limit %d", b.reserved(), sum, limit)
		}
	}
	if refused[overShare] == 0 || refused[overLimit] == 0 {
		t.Errorf("not every bound was met: %v", refused)
	}
	for _, l := range leases {
		l.keep(0)
	}
	if b.reserved() != 0 || len(b.tenants) != 0 {
		t.Errorf("%d bytes, %d tenants are left", b.reserved(), len(b.tenants))
	}
}

func TestBudget_OneRequestAloneMayHoldMoreThanTheShare(t *testing.T) {
	b := newBudget(1000, 100)
	alone := &lease{of: b, tenant: "a"}
	if p := alone.take(90); p != nil {
		t.Fatal(p)
	}
	if p := alone.take(500); p != nil {
		t.Errorf("the only request of a tenant is refused: %v", p)
	}
	second := &lease{of: b, tenant: "a"}
	if p := second.take(1); p == nil || p.Status != http.StatusTooManyRequests || p.retryAfter == 0 {
		t.Errorf("a second request at the same time: %v", p)
	}
	if p := alone.take(300); p == nil || p.Status != http.StatusRequestEntityTooLarge || p.retryAfter != 0 {
		t.Errorf("one request takes what is kept for others: %v", p)
	}
	other := &lease{of: b, tenant: "b"}
	if p := other.take(300); p == nil || p.Status != http.StatusServiceUnavailable || p.retryAfter == 0 {
		t.Errorf("another takes what is kept for small ones: %v", p)
	}
}

func TestBudget_KeepsRoomForTenantsThatHoldLittle(t *testing.T) {
	b := newBudget(64_000, 16_000)
	for _, tenant := range []string{"a", "b", "c", "d", "e"} {
		for l := (&lease{of: b, tenant: tenant}); l.take(1000) == nil; l = (&lease{of: b, tenant: tenant}) {
		}
	}
	small := &lease{of: b, tenant: "z"}
	if p := small.take(1000); p != nil {
		t.Errorf("tenants that send much keep out one that sends little: %v, %d of %d reserved", p, b.reserved(), b.limit)
	}
	if p := small.take(1); p == nil {
		t.Error("what is kept for small requests is given to a larger one")
	}
}

func TestGate_OneTenantLeavesHalfOfWhatMayWaitForKafkaToOthers(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AckTimeout = time.Millisecond })
	f.producer.silent = true
	batch := batchOf(maxBatchItems, good)
	for range maxWaitingRecords / maxBatchItems {
		f.call("POST", "/v1/events", f.keys["acme"], batch, "Content-Type", mediaBatch)
	}
	if n := len(f.producer.taken()); n != maxWaitingRecords/2 {
		t.Errorf("%d records of one tenant wait", n)
	}
	f.call("POST", "/v1/events", f.keys["globex"], batch, "Content-Type", mediaBatch)
	if n := len(f.producer.taken()); n != maxWaitingRecords/2+maxBatchItems {
		t.Errorf("%d records wait: another tenant is kept out", n)
	}
	for _, acknowledge := range f.producer.waiting {
		acknowledge()
	}
	if f.gate.records.reserved() != 0 || f.gate.bytes.reserved() != 0 {
		t.Errorf("%d records, %d bytes still wait", f.gate.records.reserved(), f.gate.bytes.reserved())
	}
}
