//go:build synctests

package sequencer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

// TestSimulation_AnOffsetOfOursNextToTheState is about transactions whose markers were lost, so that their offset and their state did not end
// alike. Behind the state's, the group's offset is only late: the state is the truth. Ahead of it, the state may have lost its end.
func TestSimulation_AnOffsetOfOursNextToTheState(t *testing.T) {
	for name, by := range map[string]int64{"behind": -1, "ahead": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := kafkatest.StartVirtual(t, 1, 1)
				cfg, keys := v.Config(v.Link(nil)), event.NewKeyring()
				adm, err := admin.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				r := start(t, testConfig(cfg, keys, "0"))
				send(t, cfg, sequencertest.Created(keys, "a"), sequencertest.Lead("a", "1"))
				waitLogged(t, cfg, 2)
				r.halt()
				tp := kafka.TopicPartition{Topic: kafka.TopicIngress}
				truth := committed(t, adm)[tp]
				mark := strings.Replace(truth.Metadata, fmt.Sprintf(":%d:", truth.Offset), fmt.Sprintf(":%d:", truth.Offset+by), 1) // ours, of that transaction
				kafkatest.WaitFor(t, "the offset to be taken", func(ctx context.Context) bool {
					return adm.Commit(ctx, kafka.GroupSequencer, map[kafka.TopicPartition]kafka.Committed{tp: {Offset: truth.Offset + by, Metadata: mark}}) == nil
				})
				r = start(t, testConfig(cfg, keys, "0"))
				send(t, cfg, sequencertest.Lead("a", "2"))
				time.Sleep(openTxnWait + 10*time.Second)
				after := logged(t, cfg)
				checkLog(t, after)
				switch err := r.ready.Err(); {
				case by < 0 && (err != nil || total(after) != 3 || committed(t, adm)[tp].Offset != truth.Offset+1):
					t.Errorf("%d events, the group's offset is %+v, ready: %v", total(after), committed(t, adm)[tp], err)
				case by > 0 && (err == nil || !strings.Contains(err.Error(), stopOffset) || total(after) != 2):
					t.Errorf("%d events, ready: %v", total(after), err)
				}
				r.halt()
				adm.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}
