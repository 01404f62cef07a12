package outbox

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// handing is a producer that counts what it was handed.
type handing struct {
	*kafka.Producer
	of func(tenant string)
}

func (h handing) ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error)) {
	h.of(string(rec.Key))
	h.Producer.ProduceAsync(rec, done)
}

// confluentinc/confluent-kafka-dotnet#1027: a flush waited without an end for the records of a partition without a leader. The sender waited so for
// each pass: while one partition of ingress stored nothing, what every other tenant derived stayed in the outbox, and the process did not stop
// when it was told to.
func TestSender_APartitionThatStoresNothingHoldsUpNoOtherTenantAndNoStop(t *testing.T) {
	cfg, c := kafkatest.StartCluster(t)
	db := postgrestest.New(t, Migrations())
	pool := db.Pool(t, postgres.RoleRules)
	box := New("rules", event.NewKeyring())
	home := func(tenant string) int32 { return kafka.PartitionFor([]byte(tenant), kafkatest.Partitions) }
	if home("acme") == home("globex") {
		t.Fatal("both tenants are in one partition")
	}
	add := func(tenant string, from, n int) {
		t.Helper()
		mustTx(t, pool, func(tx pgx.Tx) error {
			for i := range n {
				if err := box.Add(t.Context(), tx, derived(tenant, fmt.Sprintf("%s-%d", tenant, from+i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	stored := func(tenant string) (ids []string) {
		for _, r := range kafkatest.Consume(t, cfg, kafka.TopicIngress) {
			if id, _ := kafka.Header(r, "ce_id"); string(r.Key) == tenant {
				ids = append(ids, id)
			}
		}
		return ids
	}
	producer, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var handed atomic.Int64 // of acme
	s := box.NewSender(SenderConfig{
		Pool: pool, Partitions: kafkatest.Partitions, Owned: func() []int32 { return []int32{0, 1, 2, 3, 4, 5} }, Resend: time.Hour,
		Producer: handing{producer, func(tenant string) {
			if tenant == "acme" {
				handed.Add(1)
			}
		}},
	})
	full := kafkatest.TooFewReplicas(c, kafka.TopicIngress, home("acme"))
	defer func() { full() }()
	add("acme", 0, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	kafkatest.WaitFor(t, "the rows whose partition stores nothing to be on their way", func(context.Context) bool { return handed.Load() == 3 })
	for i := range 5 {
		add("globex", i, 1)
		kafkatest.WaitFor(t, "a row of the other tenant", func(context.Context) bool { return len(stored("globex")) > i })
	}
	if n := handed.Load(); n != 3 {
		t.Errorf("3 rows that are on their way were handed to the producer %d times", n)
	}
	full()
	add("acme", 3, 1)
	kafkatest.WaitFor(t, "the rows that were on their way, and the one behind them", func(context.Context) bool { return len(stored("acme")) >= 4 })
	if got := stored("acme"); !slices.Equal(got, []string{"acme-0", "acme-1", "acme-2", "acme-3"}) {
		t.Errorf("stored are %v", got)
	}

	full = kafkatest.TooFewReplicas(c, kafka.TopicIngress, home("acme"))
	add("acme", 4, 1)
	kafkatest.WaitFor(t, "a row to be on its way", func(context.Context) bool { return handed.Load() >= 5 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
