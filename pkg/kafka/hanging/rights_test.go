package hanging

import (
	"context"
	"testing"

	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

// A service's user has no right to the coordinator's log. The transaction that it found must still be told.
func TestTxnOutcome_IsUnknownToAUserThatMayNotReadTheCoordinatorsLog(t *testing.T) {
	cfg, as := kafkatest.StartSecure(t)
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	root, err := admin.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.SetPassword(ctx, "neuronx_ingest", "word"); err != nil {
		t.Fatal(err)
	}
	a, err := admin.New(as("neuronx_ingest", "word"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if got, err := txnOutcome(ctx, a, Txn{TransactionalID: "neuronx.sequencer.0"}); got != Unknown || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
