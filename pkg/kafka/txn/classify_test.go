package txn

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/neuronx/engine/pkg/kafka"
)

// Another process is to blame only while the broker can't have given up on the transaction itself.
func TestClassify_BlamesAnotherProcessOnlyWhileTheTransactionIsYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		young, old := kafka.TxnTimeout-time.Second-time.Nanosecond, kafka.TxnTimeout-time.Second
		for _, x := range []struct {
			err    error
			age    time.Duration
			fenced bool
		}{
			{kerr.ProducerFenced, 0, true},
			{kerr.InvalidProducerEpoch, young, true},
			{kerr.ProducerFenced, young, true},
			{kerr.InvalidProducerEpoch, old, false},
			{kerr.ProducerFenced, old, false},
			{kerr.FencedInstanceID, 0, true},
			{kerr.FencedInstanceID, old, true}, // its instance id is another's, however old the transaction is
			{kerr.NotCoordinator, 0, false},
		} {
			s := &Session{cfg: Config{TransactionalID: "tx", InstanceID: "one"}, began: time.Now().Add(-x.age)}
			got := s.classify(fmt.Errorf("end: %w", x.err))
			if !errors.Is(got, x.err) || errors.Is(got, ErrFenced) != x.fenced {
				t.Errorf("%v after %s: %v", x.err, x.age, got)
			}
		}
		if err := new(Session).classify(nil); err != nil {
			t.Errorf("no error: %v", err)
		}
	})
}
