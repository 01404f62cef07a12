package sequencer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// Environment of a subprocess of the test binary that is a sequencer.
const (
	childSlot    = "NEURONX_TEST_CHILD_SLOT"
	childBrokers = "NEURONX_TEST_CHILD_BROKERS"
	childKeys    = "NEURONX_TEST_CHILD_KEYS"
)

// runChild runs the process as a sequencer, if it was started as one.
func runChild() (code int, child bool) {
	slot := os.Getenv(childSlot)
	if slot == "" {
		return 0, false
	}
	keys, err := event.ParseKeyring([]byte(os.Getenv(childKeys)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2, true
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	rt := &app.Runtime{Name: "ingest", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: prometheus.NewRegistry(), Ready: app.NewReadiness()}
	cfg := Config{Kafka: kafka.Config{Brokers: strings.Split(os.Getenv(childBrokers), ","), ClientID: "sequencer-" + slot}, Slot: slot, Keys: keys, Schemas: sequencertest.NewCatalogue()}
	if err := Run(ctx, rt, cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}
