//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/hanging"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// TestAccess_EveryEngineUserSeesAHangingTransactionAndOnlyAnAdministratorEndsIt: the sequencer's user has to say that one is there, though
// it may neither read how it has to end nor end it.
func TestAccess_EveryEngineUserSeesAHangingTransactionAndOnlyAnAdministratorEndsIt(t *testing.T) {
	cluster.Turn(t, cluster.Secured)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cfg := cluster.SecureKafka(t)
	_, err := topology.Provision(ctx, cfg, topology.Options{Partitions: cluster.Partitions, Laptop: true})
	cluster.Must(t, err)
	passwords := map[string]app.Secret{"neuronx_ingest": "of ingest", "neuronx_ops": "of ops"}
	_, err = topology.ProvisionUsers(ctx, cfg, passwords, true)
	cluster.Must(t, err)
	tp := kafka.TopicPartition{Topic: kafka.TopicReceipts, Partition: 1}
	id := fmt.Sprintf("neuronx.sequencer.r%x", rand.Uint32())
	kafkatest.LeaveHanging(t, cfg, kafkatest.Hanging{ID: id, Partitions: []kafka.TopicPartition{tp}, Committed: true})

	find := func(cfg kafka.Config) (*admin.Client, hanging.Txn) {
		t.Helper()
		a, err := admin.New(cfg)
		cluster.Must(t, err)
		t.Cleanup(a.Close)
		var found []hanging.Txn
		cluster.Must(t, cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
			var err error
			if found, err = hanging.Find(ctx, a, tp); err == nil && len(found) != 1 {
				err = fmt.Errorf("found %+v", found)
			}
			return err
		}))
		return a, found[0]
	}
	as := func(user string) kafka.Config {
		return kafka.Config{Brokers: cfg.Brokers, ClientID: "e2e-" + user, Security: app.KafkaSecurity{Username: user, Password: passwords[user]}}
	}
	for user, want := range map[string]hanging.Outcome{"neuronx_ingest": hanging.Unknown, "neuronx_ops": hanging.Commit} {
		a, txn := find(as(user))
		if txn.Outcome != want || txn.TransactionalID != id {
			t.Errorf("%s finds %+v, want the outcome %s", user, txn, want)
		}
		if err := hanging.End(ctx, a, txn); err == nil {
			t.Errorf("%s ended it", user)
		}
		txn.Outcome = hanging.Commit // as if it had read how it has to end
		if err := hanging.End(ctx, a, txn); !errors.Is(err, hanging.ErrMayNotEnd) {
			t.Errorf("%s ends it: %v", user, err)
		}
	}
	a, txn := find(cfg)
	cluster.Must(t, hanging.End(ctx, a, txn))
	records := 0
	cluster.Must(t, read.Range(ctx, cfg, tp.Topic, tp.Partition, txn.StartOffset, txn.StartOffset+1, func(*kafka.Record) error {
		records++
		return nil
	}))
	if records != 1 {
		t.Errorf("%d records can be read committed", records)
	}
}
