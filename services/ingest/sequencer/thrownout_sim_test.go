//go:build synctests

package sequencer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func TestSimulation_WhoWasThrownOutInTheMiddleOfARebalanceForgetsWhatItOwned(t *testing.T) {
	for name, late := range map[string]time.Duration{"it reads before it has joined again": 0, "it joins again before it reads": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := kafkatest.StartVirtual(t, 1, simPartitions)
				slot := func(keys *event.Keyring, slot string, l *kafkatest.Link) Config {
					return testConfig(v.Config(l), keys, slot)
				}
				thrownOut(t, v.Config(v.Link(nil)), v.Link, slot, late)
				time.Sleep(time.Minute) // closed clients end a last request
			})
		})
	}
}
