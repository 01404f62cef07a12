//go:build e2e

package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// What every other test waits for must not come true while ingress holds a record that is not judged.
func TestWaitIdle_WaitsForARecordThatIsNotJudged(t *testing.T) {
	broker := cluster.Turn(t, cluster.Any)
	ctx := context.Background()
	r := &refused{t: t, c: cluster.Start(t, cluster.Options{Ingests: 1, Broker: broker})}
	id := r.c.Tenants(t, "idle", 1, 0)[0].ID
	var err error
	r.producer, err = kafka.NewProducer(r.c.Kafka, 0, nil)
	noError(t, err)
	defer r.producer.Close()
	noError(t, r.c.WaitIdle(ctx, time.Minute))

	ingest := r.c.Processes["ingest-0"]
	ingest.Signal(syscall.SIGSTOP)
	r.send(id, "waits", "lead.created", map[string]any{"lead_id": "1"}, false)
	if err := r.c.WaitIdle(ctx, 2*time.Second); err == nil || !strings.Contains(err.Error(), "has not taken 1 records") {
		t.Errorf("idle with an unjudged record in ingress: %v", err)
	}
	ingest.Signal(syscall.SIGCONT)
	noError(t, r.c.WaitIdle(ctx, time.Minute))
	log, err := r.c.Log(ctx)
	noError(t, err)
	if !slices.ContainsFunc(log, func(e event.Recorded) bool { return e.ID == "waits" }) {
		t.Error("idle, and the event is not in the log")
	}
}
