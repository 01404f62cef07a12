package cluster

import (
	"testing"

	"github.com/neuronx/engine/pkg/kafka"
)

// SecureKafka is the Kafka with passwords and rights, as its administrator, for tests that start no process of the engine.
func SecureKafka(t *testing.T) kafka.Config {
	t.Helper()
	cfg, err := broker(true)
	Must(t, err)
	return cfg
}
