package reset_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/embedded"
	"github.com/neuronx/engine/pkg/kafka/reset"
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
	if _, err := kafka.Provision(ctx, cfg, kafka.ProvisionOptions{Partitions: 1, Laptop: true}); err != nil {
		fmt.Println(err)
		return
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer admin.Close()

	rows, warnings, err := reset.Plan(ctx, admin, reset.Spec{Group: "neuronx-projector", Topics: []string{"neuronx.events"}, ToEarliest: true})
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
