package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/neuronx/provision"
)

func TestControl_SaysWhatTheTablesLackInsteadOfAnsweringFromThem(t *testing.T) {
	t.Chdir(t.TempDir())
	broker := kafkatest.Start(t)
	db := postgrestest.New(t, provision.Migrations()...)
	admin := db.Pool(t, "")
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	exec(`INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		SELECT 'neuronx.projector', 1, 'neuronx.events', n, gen_random_uuid(), 0 FROM generate_series(0, $1) n`, kafkatest.Partitions-1)
	exec(`INSERT INTO projection.active (tenant_id, feed, generation) VALUES ('acme', 'control', 1)`)
	exec(`INSERT INTO projection.tenants (tenant_id, generation, id, status, sequence) VALUES ('acme', 1, 'acme', 'active', 1)`)
	exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence) VALUES ('neuronx.projector.control', 1, 'acme', $1, 1)`, partition)
	env := map[string]string{operate.EnvPostgres: db.URL(postgres.RoleOps), operate.EnvBrokers: strings.Join(broker.Brokers, ",")}
	resume := func(want ...string) {
		t.Helper()
		_, out, errs := try(t, env, "tenant", "resume", "acme")
		for _, w := range want {
			if !strings.Contains(out+errs, w) {
				t.Errorf("no %q in %s%s", w, out, errs)
			}
		}
	}
	resume("already active")
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	produce := func(tenant string, sequence int64) {
		t.Helper()
		e := event.Recorded{Event: event.Event{TenantID: tenant, ID: fmt.Sprintf("%s-%d", tenant, sequence), Source: "/t", Type: "tenant.suspended", Time: at, Value: event.Frame(1, []byte{0})},
			Sequence: sequence, Position: event.PositionAt(at.UnixMilli()) + sequence, RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"}
		kafkatest.Produce(t, broker, kafka.RecordedToRecord(&e))
	}
	produce("acme", 1) // applied already
	resume("already active")
	produce("acme", 2)
	resume("not up to date", "the log has more", "dry run")
	exec(`UPDATE neuronx.progress SET sequence = 2`)
	resume("already active")
	exec(`UPDATE neuronx.progress SET state = 'stalled', reason = 'out of luck'`)
	resume("not up to date", "stalled at sequence 3: out of luck")

	// A command that is recorded and not applied says what it waits for.
	var errs strings.Builder
	c := tool(env, io.Discard, &errs)
	c.env.Timeout = 300 * time.Millisecond
	cmd := c.key()
	cmd.SetContext(context.Background())
	err := c.env.Applied(cmd.Context(), operate.Done{Tenant: "acme", Sequence: "3"})
	if code := report(&errs, formatTable, err); code != exitPartial || !strings.Contains(errs.String(), "out of luck") || !strings.Contains(errs.String(), "neuronx stalled retry --consumer projector --feed control --tenant acme") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	exec(`UPDATE neuronx.progress SET state = 'live', sequence = 3`)
	if err := c.env.Applied(cmd.Context(), operate.Done{Tenant: "acme", Sequence: "3"}); err != nil {
		t.Errorf("applied: %v", err)
	}
}
