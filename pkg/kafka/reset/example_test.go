package reset_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/embedded"
	"github.com/neuronx/engine/pkg/kafka/reset"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// A replay is a reset of a group's offsets. Plan says what it would do, Execute does it once all members have stopped.
func ExamplePlan() {
	ctx := context.Background()
	c, err := embedded.Start(embedded.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	cfg := kafka.Config{Brokers: c.Brokers()}
	if _, err := topology.Provision(ctx, cfg, topology.Options{Partitions: 1, Laptop: true}); err != nil {
		fmt.Println(err)
		return
	}
	adm, err := admin.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer adm.Close()

	rows, warnings, err := reset.Plan(ctx, adm, reset.Spec{Group: "neuronx-projector", Topics: []string{"neuronx.events"}, ToEarliest: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(warnings), "warnings; prior offset", rows[0].Prior)
	if err := reset.WriteCSV(os.Stdout, rows); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 warnings; prior offset -1
	// neuronx.events,0,0
}
