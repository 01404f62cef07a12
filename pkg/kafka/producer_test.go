package kafka_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

func producer(t *testing.T, cfg kafka.Config, reg prometheus.Registerer) *kafka.Producer {
	t.Helper()
	p, err := kafka.NewProducer(cfg, 0, reg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestProducer_PutsARecordWhereItsKeyBelongsInOrder(t *testing.T) {
	cfg := kafkatest.Start(t)
	reg := prometheus.NewRegistry()
	p := producer(t, cfg, reg)
	var recs []*kafka.Record
	for i := range 100 {
		recs = append(recs, &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: []byte{byte(i)}})
	}
	if err := p.Produce(context.Background(), recs...); err != nil {
		t.Fatal(err)
	}
	got := kafkatest.Consume(t, cfg, kafka.TopicIngress)
	for i, r := range got {
		if r.Partition != kafka.PartitionFor([]byte("acme"), kafkatest.Partitions) || r.Value[0] != byte(i) {
			t.Fatalf("record %d is %d in partition %d", i, r.Value[0], r.Partition)
		}
	}
	if len(got) != 100 {
		t.Fatalf("%d records", len(got))
	}
	producer(t, cfg, reg) // a second producer of the process shares the metrics
	if n, err := testutil.GatherAndCount(reg, "neuronx_produced_records_total"); err != nil || n != 1 {
		t.Fatalf("%d series, %v", n, err)
	}
}

// Giving up waiting must not take the record back, and must not be told as a failure.
func TestProducer_CancellingAbandonsOnlyTheWaiting(t *testing.T) {
	cfg, c := kafkatest.StartCluster(t)
	p := producer(t, cfg, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		once.Do(func() {
			close(arrived)
			c.SleepControl(func() { <-release })
		})
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()
	err := p.Produce(ctx, &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: []byte("v")})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Produce returned %v", err)
	}
	close(release)
	kafkatest.WaitFor(t, "the record to be written", func(context.Context) bool {
		return len(kafkatest.Consume(t, cfg, kafka.TopicIngress)) == 1
	})
	// And the next one of the same idempotent sequence is written too, not swallowed.
	if err := p.Produce(context.Background(), &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: []byte("w")}); err != nil {
		t.Fatal(err)
	}
	if n := len(kafkatest.Consume(t, cfg, kafka.TopicIngress)); n != 2 {
		t.Fatalf("%d records", n)
	}
}

func TestProducer_RefusesWhatIsTooLargeAndWhatItCantHold(t *testing.T) {
	cfg := kafkatest.Start(t)
	p := producer(t, cfg, nil)
	fat := &kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: make([]byte, 1<<20)}
	if err := p.Produce(context.Background(), fat); !errors.Is(err, kafka.ErrTooLarge) {
		t.Fatalf("Produce: %v", err)
	}
	p.ProduceAsync(fat, func(_ *kafka.Record, err error) {
		if !errors.Is(err, kafka.ErrTooLarge) {
			t.Errorf("ProduceAsync: %v", err)
		}
	})

	// A broker that is away: the buffer fills up, then records are refused at once instead of piling up.
	away, err := kafka.NewProducer(kafka.Config{Brokers: []string{"127.0.0.1:1"}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	full := make(chan error, 1)
	for range 200 {
		away.ProduceAsync(&kafka.Record{Topic: kafka.TopicEvents, Value: make([]byte, 1<<20)}, func(_ *kafka.Record, err error) {
			if errors.Is(err, kafka.ErrBufferFull) {
				select {
				case full <- err:
				default:
				}
			}
		})
	}
	select {
	case <-full:
	default:
		t.Fatal("200 MiB were buffered")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := away.Produce(ctx, &kafka.Record{Topic: kafka.TopicEvents, Value: make([]byte, 1<<20)}); !errors.Is(err, kafka.ErrBufferFull) {
		t.Fatalf("Produce: %v", err)
	}
	away.Abort()
}

func TestProducer_ChecksThatRecordsAreStoredAndNotOnlyQuestionsAnswered(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	link := kafkatest.NewLink(func(r kafkatest.Request) kafkatest.Trouble {
		return kafkatest.Trouble{CutBefore: full.Load() && r == kafkatest.ReqProduce}
	})
	cfg := kafkatest.Start(t)
	cfg.Dialer = link.Dial
	p, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	stored := make(chan error, 1)
	produce := func() {
		p.ProduceAsync(&kafka.Record{Topic: kafka.TopicIngress, Key: []byte("acme"), Value: []byte("x")}, func(_ *kafka.Record, err error) { stored <- err })
	}
	produce()
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	produce()
	kafkatest.WaitFor(t, "the producer to say that nothing is stored", func(ctx context.Context) bool {
		err := p.Check(ctx)
		return err != nil && strings.Contains(err.Error(), "1 records wait to be stored")
	})
	full.Store(false)
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
