package kafka_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/embedded"
)

// cluster starts a Kafka in this process, with the engine's topics.
func cluster(ctx context.Context) (kafka.Config, *embedded.Cluster, error) {
	c, err := embedded.Start(embedded.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return kafka.Config{}, nil, err
	}
	cfg := kafka.Config{Brokers: c.Brokers(), ClientID: "example"}
	_, err = kafka.Provision(ctx, cfg, kafka.ProvisionOptions{Partitions: 4, Laptop: true})
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

// Consume as a member of a group. What handle returned nil for is committed; a nil batch is a tick.
func ExampleGroup() {
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

	g, err := kafka.NewGroup(kafka.GroupConfig{Config: cfg, Group: "example", Topics: []string{"neuronx.ingress"}})
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
