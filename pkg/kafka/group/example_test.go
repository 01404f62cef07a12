package group_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/embedded"
	"github.com/neuronx/engine/pkg/kafka/group"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// cluster starts a Kafka in this process, with the engine's topics.
func cluster(ctx context.Context) (kafka.Config, *embedded.Cluster, error) {
	c, err := embedded.Start(embedded.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return kafka.Config{}, nil, err
	}
	cfg := kafka.Config{Brokers: c.Brokers(), ClientID: "example"}
	_, err = topology.Provision(ctx, cfg, topology.Options{Partitions: 4, Laptop: true})
	return cfg, c, err
}

// Consume as a member of a group. What handle returned nil for is committed; a nil batch is a tick.
func ExampleConsumer() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cfg, c, err := cluster(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	p, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for n := range 3 {
		e := event.Event{TenantID: "acme", ID: fmt.Sprintf("lead-%d", n), Source: "/my/form", Type: "lead.created"}
		if err := p.Produce(ctx, kafka.ToRecord("neuronx.ingress", &e)); err != nil {
			fmt.Println(err)
			return
		}
	}

	g, err := group.New(group.Config{Config: cfg, Group: "example", Topics: []string{"neuronx.ingress"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := 0
	err = g.Run(ctx, func(_ context.Context, batch []*kafka.Record) error {
		for _, rec := range batch {
			e, err := kafka.ParseRecord(rec)
			if err != nil {
				return err
			}
			fmt.Println(e.TenantID, e.ID)
			seen++
		}
		if seen == 3 {
			stop() // Run commits this batch, and returns
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// acme lead-0
	// acme lead-1
	// acme lead-2
	// <nil>
}
