// Package registrytest starts an embedded registry for tests. It is authoritative about nothing, and fails the test
// when the registry does not start.
package registrytest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
)

// Start serves a registry over the topic _schemas of cfg for the time of the test, with files pushed; without files,
// the whole catalogue. It returns the registry's URL and a client.
func Start(t testing.TB, cfg kafka.Config, files ...schemas.File) (url string, client *registry.Client) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	server := registry.NewServer(cfg, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	front := httptest.NewServer(server)
	client, err := registry.NewClient(front.URL, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		front.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	kafkatest.WaitFor(t, "the registry reads its topic", func(context.Context) bool { return server.Ready() == nil })
	if len(files) == 0 {
		if files, err = schemas.Files(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Push(ctx, files, true); err != nil {
		t.Fatal(err)
	}
	return front.URL, client
}
