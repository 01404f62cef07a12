package landing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is a broker with forwarders.
type environment struct {
	t    *testing.T
	cfg  kafka.Config
	keys *event.Keyring
	c    *kafkatest.Cluster
	log  logtest.Buffer
}

func start(t *testing.T, tenants ...string) *environment {
	t.Helper()
	w := &environment{t: t, keys: event.NewKeyring()}
	w.cfg, w.c = kafkatest.StartCluster(t)
	for _, tenant := range tenants {
		w.topic(tenant)
	}
	return w
}

func (w *environment) topic(tenant string) {
	w.t.Helper()
	if err := w.c.CreateTopic(kafka.LandingTopic(tenant), 1, map[string]string{"message.timestamp.type": "LogAppendTime"}); err != nil {
		w.t.Fatal(err)
	}
}

// forward runs a forwarder until stop is called.
func (w *environment) forward(slot string, change func(*Config)) (m *metrics, stop func()) {
	w.t.Helper()
	reg := prometheus.NewRegistry()
	rt := &app.Runtime{Name: "ingest", Slot: slot, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Metrics: reg, Ready: app.NewReadiness()}
	cfg := Config{Kafka: w.cfg, Slot: slot, Sign: w.keys.Sign, Discover: 50 * time.Millisecond, SessionTimeout: 2 * time.Second, Pace: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, rt, cfg) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				w.t.Errorf("the forwarder ended with %v", err)
			}
		}
	}
	w.t.Cleanup(stop)
	return newMetrics(reg), stop
}

// send puts numbered records into a tenant's landing topic.
func (w *environment) send(tenant string, from, n int) {
	w.t.Helper()
	recs := make([]*kafka.Record, n)
	for i := range recs {
		recs[i] = &kafka.Record{Topic: kafka.LandingTopic(tenant), Value: event.Frame(1, []byte{1}),
			Headers: []kafka.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "%s-%d", tenant, from+i)}}}
	}
	kafkatest.Produce(w.t, w.cfg, recs...)
}

// ingress returns the ids that a tenant has there, in order.
func (w *environment) ingress(tenant string) []string {
	var out []string
	for _, r := range kafkatest.Consume(w.t, w.cfg, kafka.TopicIngress) {
		if id, _ := kafka.Header(r, "ce_id"); string(r.Key) == tenant {
			out = append(out, id)
		}
	}
	return out
}

func ids(tenant string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d", tenant, i)
	}
	return out
}

// arrives waits until a tenant's records 0 to n-1 are in ingress, and fails if they are not there once and in order.
func (w *environment) arrives(tenant string, n int) {
	w.t.Helper()
	kafkatest.WaitFor(w.t, fmt.Sprintf("%d records of %s", n, tenant), func(context.Context) bool { return len(w.ingress(tenant)) >= n })
	if got := w.ingress(tenant); !slices.Equal(got, ids(tenant, n)) {
		w.t.Errorf("%s has %d records in ingress, want %d once and in order", tenant, len(got), n)
	}
}

func TestRun_ForwardsEachTopicInOrderAndLearnsNewOnes(t *testing.T) {
	w := start(t, "acme", "beta")
	w.send("acme", 0, 300)
	m, _ := w.forward("0", nil)
	w.send("beta", 0, 5)
	w.arrives("acme", 300)
	w.arrives("beta", 5)
	w.topic("late")
	w.send("late", 0, 7)
	w.arrives("late", 7)
	for _, r := range kafkatest.Consume(t, w.cfg, kafka.TopicIngress) {
		e, err := kafka.ParseRecord(r)
		ok, verr := w.keys.Verify(&e)
		if err != nil || !ok || verr != nil || r.Partition != kafka.PartitionFor(r.Key, kafkatest.Partitions) {
			t.Fatalf("%s-%d: %v, %v %v", r.Topic, r.Partition, err, ok, verr)
		}
	}
	if n := testutil.ToFloat64(m.records.WithLabelValues(forwarded, "")); n != 312 {
		t.Errorf("%v records counted, want 312", n)
	}
}

func TestRun_ATransactionThatFailsAnywhereForwardsNothingTwice(t *testing.T) {
	for _, fault := range []kafkatest.TxnFault{kafkatest.EndTxnUnknown, kafkatest.EndTxnTimedOut, kafkatest.OffsetsRefused, kafkatest.OffsetsUnknown} {
		t.Run(string(fault), func(t *testing.T) {
			w := start(t, "acme")
			hits := kafkatest.FailTxn(w.c, fault, 2)
			w.forward("0", nil)
			for i := range 5 {
				w.send("acme", 10*i, 10)
			}
			w.arrives("acme", 50)
			if hits() == 0 {
				t.Error("the fault did not happen")
			}
		})
	}
}

func TestRun_DyingBetweenProduceAndCommitForwardsOnce(t *testing.T) {
	w := start(t, "acme")
	var deaths atomic.Int32
	w.forward("0", func(c *Config) {
		c.BeforeCommit = func() error {
			if deaths.Add(1) <= 3 {
				return errors.New("killed here")
			}
			return nil
		}
	})
	w.send("acme", 0, 20)
	w.arrives("acme", 20)
	if deaths.Load() < 4 {
		t.Errorf("%d deaths", deaths.Load())
	}
}

func TestRun_TwoForwardersShareTheTopicsAndOneTakesOver(t *testing.T) {
	tenants := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	w := start(t, tenants...)
	_, stop := w.forward("0", nil)
	m, _ := w.forward("1", nil)
	for _, tenant := range tenants {
		w.send(tenant, 0, 20)
	}
	for _, tenant := range tenants {
		w.arrives(tenant, 20)
	}
	kafkatest.WaitFor(t, "the second one to have a share", func(ctx context.Context) bool {
		for _, tenant := range tenants {
			w.send(tenant, w.sent(ctx, tenant), 1) // numbered by what was sent: what is on its way is not sent twice
		}
		return testutil.ToFloat64(m.records.WithLabelValues(forwarded, "")) > 0
	})
	stop()
	for _, tenant := range tenants {
		var n int
		kafkatest.WaitFor(t, "what was sent meanwhile", func(ctx context.Context) bool { n = w.sent(ctx, tenant); return len(w.ingress(tenant)) >= n })
		w.send(tenant, n, 5)
		w.arrives(tenant, n+5)
	}
}

// sent is how many records a landing topic took.
func (w *environment) sent(ctx context.Context, tenant string) int {
	a, err := admin.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	defer a.Close()
	ends, err := a.EndOffsets(ctx, admin.ReadUncommitted, kafka.LandingTopic(tenant))
	if err != nil {
		w.t.Fatal(err)
	}
	return int(ends[kafka.TopicPartition{Topic: kafka.LandingTopic(tenant)}])
}

func TestRun_ARateHoldsUpOneTenantOnly(t *testing.T) {
	w := start(t, "slow", "free")
	m, _ := w.forward("0", func(c *Config) {
		c.Rates = func(tenant string) Limits {
			if tenant == "slow" {
				return Limits{Events: 20}
			}
			return Limits{}
		}
	})
	w.send("slow", 0, 500)
	w.send("free", 0, 500)
	w.arrives("free", 500)
	if n := len(w.ingress("slow")); n > 200 {
		t.Errorf("%d of the slow tenant's 500 are through at 20 a second", n)
	}
	kafkatest.WaitFor(t, "the throttle to show", func(context.Context) bool { return testutil.ToFloat64(m.throttled) == 1 })
}

func TestRun_ATopicThatIsDeletedHoldsUpNoOther(t *testing.T) {
	w := start(t, "acme", "gone")
	var fail atomic.Bool
	w.forward("0", func(c *Config) {
		c.Discover = time.Hour // it stays on the list
		c.BeforeCommit = func() error {
			if fail.CompareAndSwap(true, false) {
				return errors.New("the session ends")
			}
			return nil
		}
	})
	w.send("acme", 0, 10)
	w.send("gone", 0, 10)
	w.arrives("acme", 10)
	w.arrives("gone", 10)
	a, err := admin.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.KAdm().DeleteTopic(t.Context(), kafka.LandingTopic("gone")); err != nil {
		t.Fatal(err)
	}
	fail.Store(true)
	w.send("acme", 10, 10)
	w.arrives("acme", 20)
	if fail.Load() {
		t.Error("no session ended: the topics were not opened again")
	}
}

// redpanda-data/console#2573: where one partition had no leader, ListOffsets told the offsets of no partition. So one tenant's landing topic on brokers
// that are down kept every other from being opened.
func TestRun_ATopicWithoutALeaderHoldsUpNoOther(t *testing.T) {
	w := start(t, "acme", "dark")
	w.send("acme", 0, 10)
	w.send("dark", 0, 10)
	back := kafkatest.Leaderless(w.c, kafka.LandingTopic("dark"), 0)
	defer back()
	m, _ := w.forward("0", nil)
	w.arrives("acme", 10)
	kafkatest.WaitFor(t, "the topic without a leader to be told", func(context.Context) bool { return testutil.ToFloat64(m.stopped) == 1 })
	if n := strings.Count(w.log.String(), `msg="landing topic is not read: it has no leader, or is gone; the others go on" role=landing slot=0 topic=neuronx.ingress.dark`); n != 1 {
		t.Errorf("the log names it %d times", n)
	}
	w.send("acme", 10, 10)
	w.arrives("acme", 20)
	kafkatest.WaitFor(t, "the lag of the others to be told", func(context.Context) bool { return testutil.ToFloat64(m.topics) == 2 })
	back()
	w.arrives("dark", 10)
	kafkatest.WaitFor(t, "the end of it to be told", func(context.Context) bool { return testutil.ToFloat64(m.stopped) == 0 })
}

func TestRun_AResetOfTheGroupDoublesNothingThatAdmissionWouldNotKnow(t *testing.T) {
	w := start(t, "acme")
	ctx := t.Context()
	_, stop := w.forward("0", func(c *Config) { c.TrimEvery = 20 * time.Millisecond })
	w.send("acme", 0, 50)
	w.arrives("acme", 50)
	a, err := admin.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	tp := kafka.TopicPartition{Topic: kafka.LandingTopic("acme")}
	kafkatest.WaitFor(t, "what was forwarded to be trimmed", func(ctx context.Context) bool {
		starts, err := a.StartOffsets(ctx, tp.Topic)
		return err == nil && starts[tp] == 50
	})
	stop()
	w.send("acme", 50, 10)
	for _, to := range []int64{60, 0} { // forward: it would lose ten; back: what was forwarded is gone
		kafkatest.WaitFor(t, "the group to be empty", func(ctx context.Context) bool {
			return a.Commit(ctx, kafka.GroupLanding, map[kafka.TopicPartition]kafka.Committed{tp: {Offset: to, Present: true}}) == nil
		})
		m, stop := w.forward("0", nil)
		w.arrives("acme", 60)
		kafkatest.WaitFor(t, "our own offset to be back", func(ctx context.Context) bool {
			c, err := a.Committed(ctx, kafka.GroupLanding)
			return err == nil && c[tp].Offset == 60 && strings.HasPrefix(c[tp].Metadata, kafka.CommitMark)
		})
		if n := testutil.ToFloat64(m.resets); n != 1 {
			t.Errorf("reset to %d: %v counted", to, n)
		}
		stop()
		if err := a.DeleteRecords(ctx, map[kafka.TopicPartition]int64{tp: 60}); err != nil {
			t.Fatal(err)
		}
	}
}
