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

// What every other test waits for must not come true while a record is before the door that nobody has judged.
func TestSettled_IsNotWhileARecordIsBeforeTheDoor(t *testing.T) {
	ctx := context.Background()
	r := &refused{t: t, c: cluster.Start(t, cluster.Options{Doors: 1})}
	id := r.c.Tenants(t, "settled", 1, 0)[0].ID
	var err error
	r.producer, err = kafka.NewProducer(r.c.Kafka, 0, nil)
	noError(t, err)
	defer r.producer.Close()
	noError(t, r.c.Settled(ctx, time.Minute))

	door := r.c.Processes["ingest-0"]
	door.Signal(syscall.SIGSTOP)
	r.send(id, "waits", "lead.created", map[string]any{"lead_id": "1"}, false)
	if err := r.c.Settled(ctx, 2*time.Second); err == nil || !strings.Contains(err.Error(), "has not taken 1 records") {
		t.Errorf("settled with a record before the door: %v", err)
	}
	door.Signal(syscall.SIGCONT)
	noError(t, r.c.Settled(ctx, time.Minute))
	log, err := r.c.Log(ctx)
	noError(t, err)
	if !slices.ContainsFunc(log, func(e event.Recorded) bool { return e.ID == "waits" }) {
		t.Error("settled, and the event is not in the log")
	}
}
