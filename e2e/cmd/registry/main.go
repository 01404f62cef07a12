// Command registry serves the embedded schema registry as a process of its own, so that the end-to-end tests can take it away.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: registry LISTEN BROKER,...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, brokers string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := registry.NewServer(kafka.Config{Brokers: strings.Split(brokers, ","), ClientID: "registry", Security: app.KafkaSecurity{
		Username: os.Getenv("NEURONX_KAFKA_SASL_USERNAME"), Password: app.Secret(os.Getenv("NEURONX_KAFKA_SASL_PASSWORD")), Mechanism: os.Getenv("NEURONX_KAFKA_SASL_MECHANISM"),
	}}, slog.Default())
	g := app.NewGroup()
	g.Add("store", srv.Run)
	g.Add("http", func(ctx context.Context) error { return app.Serve(ctx, l, srv) })
	return g.Run(ctx)
}
