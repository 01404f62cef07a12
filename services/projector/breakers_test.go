package projector

import (
	"context"
	"fmt"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/tenant"
	"github.com/neuronx/engine/schemas/breakers"
)

func TestBreakers_StallNoTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.kafka = kafkatest.Start(t)
	names := map[string]string{} // case by tenant
	for i, c := range breakers.Cases() {
		name := fmt.Sprintf("t-%d", i)
		id := f.schemas.ids[c.Type]
		body, err := f.schemas.byID[id].EncodeMap(c.Data)
		if err != nil {
			continue // what no encoder writes is in no log
		}
		created := f.event(name, "tenant.created", map[string]any{"name": c.Name})
		bad := f.event(name, "lead.lost", map[string]any{"lead_id": "replaced"})
		bad.Type, bad.Subject, bad.Value = c.Type, c.Subject, event.Frame(id, body)
		if !c.Time.IsZero() {
			bad.Time = c.Time
		}
		f.log[len(f.log)-1] = bad
		f.produce(created, bad, f.event(name, "lead.created", map[string]any{"lead_id": "after"}))
		names[name] = c.Name
	}
	f.start()
	kafkatest.WaitFor(t, "every tenant at its third event in both feeds", func(ctx context.Context) bool {
		rows, err := listRows(ctx, f.admin, "", "")
		if err != nil {
			return false
		}
		live := 0
		for _, r := range rows {
			if r.State == consumer.Stalled {
				t.Fatalf("%s: %s is stalled in feed %s after %d: %s", names[r.TenantID], r.TenantID, r.Feed(), r.Sequence, r.Reason)
			}
			if r.State == consumer.Live && r.Sequence == 3 {
				live++
			}
		}
		return live == 2*len(names)
	})
	f.want()
	var after, left int
	err := f.admin.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM read.leads WHERE lead_id = 'after'), (SELECT sum(events) FROM projection.untouched)`).Scan(&after, &left)
	if err != nil || after != len(names) || left < 10 {
		t.Errorf("%d of %d tenants have the lead that came after; %d events were left out, %v", after, len(names), left, err)
	}
	snap, err := tenant.FromPool(f.db.Pool(t, postgres.RoleIngest)).Load(context.Background())
	if err != nil || len(snap) != len(names) {
		t.Errorf("the directory reads %d of %d tenants, %v", len(snap), len(names), err)
	}
}
