package httpin

import (
	"maps"
	"testing"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver"
)

func TestRecords_ReadWhatTheArchiverWroteAndHowFarItIs(t *testing.T) {
	db := postgrestest.New(t, consumer.Migrations(), archiver.Migrations())
	admin := db.Pool(t, "")
	for _, sql := range []string{
		`SELECT neuronx.ensure_tenant('acme')`,
		`INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id,
			schema_id, log_id, log_partition, log_offset, hash, payload)
			VALUES ('acme', 7, 99, 'both', 'lead.created', '', '/s', '2026-01-02T03:04:05Z', '', '', 1, 'log', 2, 5, sha256(''), '')`,
		`INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type, source, subject, deriver, deriver_number,
			recorded_at, letter_partition, letter_offset, headers, hash)
			VALUES ('neuronx.ingress', 2, 3, 'acme', 'conflict', 'why', 'both', 'lead.created', '/s', '', '', 0, '2026-01-01T00:00:00Z', 2, 1, '', sha256(''))`,
		`INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset) VALUES
			('neuronx.archiver', 1, 'neuronx.events', 2, gen_random_uuid(), 6), ('neuronx.archiver', 1, 'neuronx.deadletter', 2, gen_random_uuid(), 2),
			('neuronx.archiver', 1, 'neuronx.events', 3, gen_random_uuid(), 77), ('neuronx.projector', 1, 'neuronx.events', 2, gen_random_uuid(), 88)`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%.60s: %v", sql, err)
		}
	}
	pool := db.Pool(t, postgres.RoleIngest)
	f := NewFinder(pool)
	next, err := f.Archived(t.Context(), 2)
	if err != nil || !maps.Equal(next, map[string]int64{kafka.TopicEvents: 6, kafka.TopicDeadLetter: 2}) {
		t.Errorf("%v, %v", next, err)
	}
	if none, err := f.Archived(t.Context(), 5); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	fates, err := f.Find(t.Context(), "acme", "both", "")
	if err != nil || len(fates) != 2 || fates[0].Status != "refused" || fates[0].Code != "conflict" || fates[1].Status != "admitted" ||
		fates[1].Sequence != "7" || fates[1].Position != "99" || !*fates[0].Archived || !*fates[1].Archived {
		t.Errorf("%+v, %v", fates, err)
	}
	if other, err := f.Find(t.Context(), "globex", "both", ""); err != nil || len(other) != 0 {
		t.Errorf("another tenant sees %+v, %v", other, err)
	}
	for source, want := range map[string]int{"/s": 2, "/other": 0} {
		if of, err := f.Find(t.Context(), "acme", "both", source); err != nil || len(of) != want || want > 0 && (of[0].Source != source || of[1].Source != source) {
			t.Errorf("%s: %+v, %v", source, of, err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM neuronx.partition_progress WHERE consumer <> 'neuronx.archiver'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("neuronx_ingest sees %d rows of other consumers, %v", n, err)
	}
}
