package logrepair

import (
	"context"
	"errors"
	"time"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// HangingTxn is a transaction that nobody will end, as operators see it.
type HangingTxn struct {
	Topic           string    `json:"topic"`
	Partition       int32     `json:"partition"`
	StartOffset     int64     `json:"start_offset"`
	TransactionalID string    `json:"transactional_id,omitempty"`
	ProducerID      int64     `json:"producer_id"`
	ProducerEpoch   int16     `json:"producer_epoch"`
	LastWrite       time.Time `json:"last_write"`
	Reason          string    `json:"reason"`
	Outcome         string    `json:"outcome"`
	Ended           bool      `json:"ended"`
}

// Hanging is what EndHanging found.
type Hanging struct {
	Found  []HangingTxn
	Hidden []string // what was not looked at, as this Kafka user may not see it or it is missing
	Failed error    // why some of Found were not ended, though they should be; nil: none failed
}

// EndHanging finds hanging transactions on the engine's topics and on its groups' offsets; with execute it ends each as its coordinator had decided.
func EndHanging(ctx context.Context, env *operate.Env, execute bool) (Hanging, error) {
	cfg, err := env.Kafka()
	if err != nil {
		return Hanging{}, err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return Hanging{}, operate.Fail("open Kafka", err)
	}
	defer admin.Close()
	found, looked, err := operate.HangingTxns(ctx, admin)
	if err != nil {
		return Hanging{}, operate.Fail("look for hanging transactions", err).Hint("it needs Read on the topics and Describe on the transactional ids")
	}
	h := Hanging{Found: make([]HangingTxn, 0, len(found)), Hidden: looked.Hidden}
	var failures error
	for _, t := range found {
		r := HangingTxn{Topic: t.Topic, Partition: t.Partition, StartOffset: t.StartOffset, TransactionalID: t.TransactionalID,
			ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, LastWrite: t.LastWrite.UTC(), Reason: t.Reason, Outcome: string(t.Outcome)}
		if execute {
			err := admin.EndHangingTxn(ctx, t)
			failures = errors.Join(failures, err)
			r.Ended = err == nil
		}
		h.Found = append(h.Found, r)
	}
	if failures != nil {
		h.Failed = operate.Fail("end hanging transactions", failures).Hint("run it as a user with Alter on the cluster and Read on __transaction_state; of an unknown outcome, see docs/operations.md")
	}
	return h, nil
}
