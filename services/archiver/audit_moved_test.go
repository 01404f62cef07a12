package archiver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// numbered is a registry that gave the one schema another number.
type numbered struct {
	id     int32
	schema *avro.Schema
}

func (n *numbered) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	if id != n.id {
		return nil, fmt.Errorf("schema %d: %w", id, registry.ErrUnknown)
	}
	return n.schema, nil
}

// A log that was built from the archive with a new registry holds the same events under another number of the same schema. Where that
// move is noted, and the bytes are otherwise the same, it is no difference; in every other case it is.
func TestAudit_ANumberOfASchemaThatMovedIsNoDifference(t *testing.T) {
	r := newRig(t)
	archived := run("acme", 1, 20)
	applyAll(t, testArchiver(t, r.pool), r.pool, archived)
	p := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	_, err := r.admin.Exec(t.Context(), `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id) VALUES ($1, 1, 'acme', $2, 20, 'e-20', 'log-1')`,
		kafka.GroupArchiver, p)
	if err != nil {
		t.Fatal(err)
	}
	var log []event.Recorded
	for _, e := range archived.Events {
		_, body, err := event.Unframe(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		e.Value = event.Frame(9, body)
		log = append(log, e)
	}
	r.log(log...)
	schema := parsed(t)
	fingerprint := schema.Fingerprint()
	moved := func(id int) string {
		return fmt.Sprintf(`INSERT INTO neuronx.schema_moves (fingerprint, schema_id) VALUES ('\x%x', %d) ON CONFLICT (fingerprint) DO UPDATE SET schema_id = excluded.schema_id`, fingerprint, id)
	}
	for _, tc := range []struct {
		what, sql string
		want      int64
	}{
		{"no move is noted", `SELECT`, 20},
		{"a move to another number is", moved(8), 20},
		{"the move is noted", moved(9), 0},
		{"and a row's bytes and hash are another's", `UPDATE neuronx.tenant_events t SET payload = o.payload, hash = o.hash FROM neuronx.tenant_events o WHERE t.sequence = 4 AND o.sequence = 5`, 1},
		{"and a row's hash is not of its bytes", `UPDATE neuronx.tenant_events SET hash = sha256('') WHERE sequence = 6`, 2},
		{"and a row has an unknown number", `UPDATE neuronx.tenant_events SET schema_id = 8 WHERE sequence = 7`, 3},
	} {
		if _, err := r.admin.Exec(t.Context(), tc.sql); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		a := newArchiver(r.pool, r.kafka, &numbered{9, schema}, testBox(), slog.New(slog.DiscardHandler), newMetrics(nil))
		report := consumer.ResetReport{}
		err := a.Reset(t.Context(), consumer.Reset{Topic: kafka.TopicEvents, Partition: p, From: 20, To: 0, Report: &report})
		if err != nil || report.Examined != 20 || report.Differences != tc.want || tc.want > 0 && !strings.Contains(report.Detail, "acme/") {
			t.Errorf("%s: %+v, %v; want %d differences", tc.what, report, err, tc.want)
		}
	}
}
