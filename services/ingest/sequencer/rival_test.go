package sequencer

import (
	"context"
	"testing"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// A broker that was killed while it wrote a join down knows the process by an older member id, and refuses it as fenced.
func TestSequencer_GoesOnWhereTheGroupFencedItForAMemberThatIsNotThere(t *testing.T) {
	cfg, c := kafkatest.StartCluster(t)
	keys := event.NewKeyring()
	p := start(t, testConfig(cfg, keys, "0"))
	send(t, cfg, sequencertest.Created(keys, "acme"))
	waitLogged(t, cfg, 1)
	fenced := kafkatest.FenceOnce(c)
	kafkatest.WaitFor(t, "the group to fence it", func(context.Context) bool { return fenced() > 0 })
	send(t, cfg, sequencertest.Lead("acme", "1"))
	checkLog(t, waitLogged(t, cfg, 2))
	select {
	case <-p.done:
		t.Fatalf("it ended: %v", p.err)
	default:
	}
}
