// Package embedded runs a Kafka-compatible broker inside the process.
package embedded

import (
	"errors"
	"log/slog"
)

// Options of an embedded broker.
type Options struct {
	DataDir string // empty: in memory
	Addr    string // host:port to listen on; port 0 or empty: any
	Log     *slog.Logger
}

// Cluster is a running embedded broker.
type Cluster struct{}

// Start starts a broker and loads what DataDir holds.
func Start(opt Options) (*Cluster, error) { return nil, errors.New("embedded: not built yet") }

// Brokers lists the addresses to connect to.
func (c *Cluster) Brokers() []string { return nil }

// Close stops the broker and writes its data.
func (c *Cluster) Close() error { return nil }
