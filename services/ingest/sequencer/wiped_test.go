package sequencer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

func TestRun_NumbersNothingAnewInAKafkaThatWasWiped(t *testing.T) {
	cfg := kafkatest.Start(t)
	keys := event.NewKeyring()
	c := testConfig(cfg, keys, "0")
	var wiped atomic.Bool
	var asked atomic.Int32
	c.First = func(context.Context) error {
		switch {
		case asked.Add(1) <= 2:
			return errors.New("Postgres is away")
		case wiped.Load():
			return fmt.Errorf("neuronx.events: %w", ErrOtherLog)
		}
		return nil
	}
	r := start(t, c)
	send(t, cfg, created(keys, "a"), lead("a", "1"))
	checkLog(t, waitLogged(t, cfg, 2))
	if asked.Load() < 3 {
		t.Errorf("asked %d times", asked.Load())
	}
	r.halt()
	wiped.Store(true)
	kafkatest.Wipe(t, cfg, topology.Options{Partitions: kafkatest.Partitions, Laptop: true})
	send(t, cfg, created(keys, "a"), lead("a", "2"))
	r = start(t, c)
	home := kafka.PartitionFor([]byte("a"), kafkatest.Partitions)
	kafkatest.WaitFor(t, "the partition to be named", func(context.Context) bool {
		err := r.ready.Err()
		return err != nil && strings.Contains(err.Error(), fmt.Sprintf("partition %d", home)) && strings.Contains(err.Error(), "log_torn")
	})
	if n := total(logged(t, cfg)); n != 0 {
		t.Errorf("%d events were numbered again", n)
	}
}
