package archiver

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// Each kind of damage by itself, then all together: the audit counts rows, each once, whatever is wrong with them.
func TestAudit_CountsEveryRowThatIsNotTheLogs(t *testing.T) {
	r := newRig(t)
	r.log(run("acme", 1, 60).Events...)
	for n := range 4 {
		r.letter(n)
	}
	stop := r.start()
	r.waitCount("all events", 60, countEvents)
	r.waitCount("dead letters", 4, countLetters)
	stop()
	p := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	nobody := ""
	for n := 0; nobody == ""; n++ { // a tenant of the same partition
		if id := fmt.Sprint("nobody-", n); kafka.PartitionFor([]byte(id), kafkatest.Partitions) == p {
			nobody = id
		}
	}
	audit := func(topic string, from int64) consumer.ResetReport {
		t.Helper()
		a := newArchiver(r.pool, r.kafka, &fakeSchemas{schema: parsed(t)}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
		report := &consumer.ResetReport{}
		if err := a.Reset(t.Context(), consumer.Reset{Topic: topic, Partition: p, From: from, To: 0, Report: report}); err != nil {
			t.Fatal(err)
		}
		return *report
	}
	if got := audit(kafka.TopicEvents, 60); got != (consumer.ResetReport{Examined: 60}) {
		t.Fatalf("an archive that is right: %+v", got)
	}
	const columns = `position, event_id, event_type, subject, source, occurred_at, recorded_at, correlation_id, causation_id, schema_id, log_id, log_partition, log_offset, hash, payload, data`
	copied := func(tenant string, sequence int) string {
		return fmt.Sprintf(`INSERT INTO neuronx.tenant_events (tenant_id, sequence, %s) SELECT '%s', %d, %s FROM neuronx.tenant_events WHERE tenant_id = 'acme' AND sequence = 9`, columns, tenant, sequence, columns)
	}
	all := int64(0)
	for _, tc := range []struct {
		what, sql string
		want      int64
	}{
		{"bytes", `UPDATE neuronx.tenant_events SET payload = set_byte(payload, 3, 0) WHERE sequence = 17`, 1},
		{"bytes with their hash", `UPDATE neuronx.tenant_events SET payload = 'x', hash = sha256('x') WHERE sequence = 18`, 1},
		{"hash", `UPDATE neuronx.tenant_events SET hash = sha256('') WHERE sequence = 50`, 1},
		{"a column", `UPDATE neuronx.tenant_events SET subject = 'lead/other' WHERE sequence = 51`, 1},
		{"a time", `UPDATE neuronx.tenant_events SET recorded_at = recorded_at + interval '1 microsecond' WHERE sequence = 52`, 1},
		{"data", `UPDATE neuronx.tenant_events SET data = data || '{"lead_id":"other"}' WHERE sequence = 53`, 1},
		{"a missing row", `DELETE FROM neuronx.tenant_events WHERE sequence = 40`, 1},
		{"missing rows", `DELETE FROM neuronx.tenant_events WHERE sequence BETWEEN 1 AND 3`, 3},
		{"two rows in each other's place", `UPDATE neuronx.tenant_events t SET payload = o.payload, hash = o.hash, event_id = o.event_id, data = o.data
			FROM neuronx.tenant_events o WHERE t.sequence IN (30, 31) AND o.sequence = 61 - t.sequence`, 2},
		{"a row too many", copied("acme", 61), 1},
		{"and further ones", copied("acme", 70) + ";" + copied("acme", 71), 2},
		{"a tenant that is in no log", `SELECT neuronx.ensure_tenant('` + nobody + `');` + copied(nobody, 1) + ";" + copied(nobody, 2), 2},
	} {
		if _, err := r.admin.Exec(t.Context(), tc.sql); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		all += tc.want
		if got := audit(kafka.TopicEvents, 60); got.Differences != all || got.Examined != 60 || got.Detail == "" || got.NotCounted != "" || got.Told == "" || strings.Contains(got.Told, "acme") {
			t.Errorf("%s: %+v, want %d differences in all", tc.what, got, all)
		}
	}
	// Data that was not rendered when it was archived is no difference, and it is said that it was not compared.
	if _, err := r.admin.Exec(t.Context(), `UPDATE neuronx.tenant_events SET data = NULL WHERE sequence IN (10, 11)`); err != nil {
		t.Fatal(err)
	}
	if got := audit(kafka.TopicEvents, 60); got.Differences != all || !strings.HasPrefix(got.NotCounted, "2 rows were archived without rendered data") {
		t.Errorf("without data: %+v", got)
	}

	const letter = `INSERT INTO neuronx.dead_letters SELECT (x).* FROM (SELECT jsonb_populate_record(d, '{"topic":"neuronx.ingress","partition":%d,"offset":%d,"letter_offset":%d}') AS x
		FROM neuronx.dead_letters d WHERE letter_offset = 2) y`
	for i, tc := range []struct {
		what, sql string
		want      int64
	}{
		{"none", `SELECT`, 0},
		{"bytes", `UPDATE neuronx.dead_letters SET value = 'x' WHERE letter_offset = 1`, 1},
		{"a missing letter", `DELETE FROM neuronx.dead_letters WHERE letter_offset = 3`, 2},
		{"another one in its place", fmt.Sprintf(letter, 7, 1, 3), 2},
		{"two for one location", fmt.Sprintf(letter, 7, 2, 0), 3},
		{"beyond what was read", fmt.Sprintf(letter, 7, 3, 99), 4},
		{"of the Kafka before", `UPDATE neuronx.dead_letters SET topic = 'neuronx.ingress@before-12345678' WHERE letter_offset = 99`, 3},
	} {
		if _, err := r.admin.Exec(t.Context(), tc.sql); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		if got := audit(kafka.TopicDeadLetter, 4); got.Differences != tc.want || got.Examined != 4 {
			t.Errorf("letters, %d, %s: %+v, want %d", i, tc.what, got, tc.want)
		}
	}
}
