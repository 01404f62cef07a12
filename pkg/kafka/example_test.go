package kafka_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/embedded"
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

// Produce an event to ingress. Produce returns when every in-sync replica has it.
func ExampleProducer() {
	ctx := context.Background()
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

	rec := kafka.ToRecord("neuronx.ingress", &event.Event{TenantID: "acme", ID: "lead-1", Source: "/my/form", Type: "lead.created", Subject: "lead/1"})
	if err := p.Produce(ctx, rec); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("acknowledged at offset", rec.Offset, "of the tenant's partition:", rec.Partition == kafka.PartitionFor([]byte("acme"), 4))
	// Output: acknowledged at offset 0 of the tenant's partition: true
}
