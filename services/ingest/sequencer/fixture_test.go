package sequencer

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
	"github.com/neuronx/engine/services/ingest/sequencer/sequencertest"
)

func TestMain(m *testing.M) {
	if code, child := runChild(); child {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// process is one sequencer of a test.
type process struct {
	stop   context.CancelFunc
	done   chan struct{}
	err    error
	reg    *prometheus.Registry
	ready  *app.Readiness
	stopMu sync.Once
}

func start(t testing.TB, cfg Config) *process {
	t.Helper()
	level := slog.LevelWarn
	if os.Getenv("NEURONX_TEST_LOG") != "" {
		level = slog.LevelInfo
	}
	return startLogged(t, cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
}

func startLogged(t testing.TB, cfg Config, log *slog.Logger) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &process{stop: cancel, done: make(chan struct{}), reg: prometheus.NewRegistry(), ready: app.NewReadiness()}
	rt := &app.Runtime{Name: "ingest", Log: log, Metrics: r.reg, Ready: r.ready}
	go func() {
		defer close(r.done)
		r.err = Run(ctx, rt, cfg)
	}()
	t.Cleanup(r.halt)
	return r
}

func (r *process) halt() {
	r.stopMu.Do(r.stop)
	<-r.done
}

func testConfig(cfg kafka.Config, keys *event.Keyring, slot string) Config {
	cfg.ClientID = "sequencer-" + slot
	return Config{Kafka: cfg, Slot: slot, Keys: keys, Schemas: sequencertest.Schemas, SessionTimeout: 3 * time.Second}
}

func send(t testing.TB, cfg kafka.Config, events ...*event.Event) {
	t.Helper()
	recs := make([]*kafka.Record, len(events))
	for i, e := range events {
		recs[i] = kafka.ToRecord(kafka.TopicIngress, e)
	}
	kafkatest.Produce(t, cfg, recs...)
}

// logged returns the log by tenant, in order.
func logged(t testing.TB, cfg kafka.Config) map[string][]event.Recorded {
	t.Helper()
	out := map[string][]event.Recorded{}
	for _, r := range kafkatest.Consume(t, cfg, kafka.TopicEvents) {
		e, err := kafka.ParseRecorded(r)
		if err != nil {
			t.Fatal(err)
		}
		out[e.TenantID] = append(out[e.TenantID], e)
	}
	return out
}

func total(m map[string][]event.Recorded) int {
	n := 0
	for _, es := range m {
		n += len(es)
	}
	return n
}

func waitLogged(t testing.TB, cfg kafka.Config, n int) map[string][]event.Recorded {
	t.Helper()
	var out map[string][]event.Recorded
	kafkatest.WaitFor(t, fmt.Sprintf("%d events in the log", n), func(context.Context) bool {
		out = logged(t, cfg)
		return total(out) >= n
	})
	return out
}

// checkLog is the first checker: per tenant sequence 1..n, position rising, each id once.
func checkLog(t testing.TB, log map[string][]event.Recorded) {
	t.Helper()
	for tenant, es := range log {
		ids := map[string]bool{}
		last := int64(0)
		for i, e := range es {
			if e.Sequence != int64(i+1) {
				t.Fatalf("tenant %s: event %d has sequence %d (offset %d)", tenant, i+1, e.Sequence, e.Offset)
			}
			if e.Position <= last {
				t.Fatalf("tenant %s: position does not rise at sequence %d", tenant, e.Sequence)
			}
			if ids[e.ID] {
				t.Fatalf("tenant %s: event %s is there twice", tenant, e.ID)
			}
			ids[e.ID], last = true, e.Position
		}
	}
}

func emptyState() *admission.State { return admission.NewState([16]byte{1}, 0, uuid.Nil.String(), 0) }

// ingressRecord is an event as it is read from ingress.
func ingressRecord(e *event.Event, offset int64) *kafka.Record {
	r := kafka.ToRecord(kafka.TopicIngress, e)
	r.Offset, r.Timestamp = offset, time.UnixMilli(sequencertest.Now)
	return r
}

// staging is a session of one partition that only stages.
func staging(p *partition, schemas *schemaCache, records int) *session {
	return &session{reader: &read.TopicReader{}, parts: map[int32]*partition{0: p}, memory: keys.NewMemory(1 << 30), sequencer: &sequencer{
		partitions: 1, schemas: schemas, log: slog.New(slog.DiscardHandler), m: newMetrics(prometheus.NewRegistry()), ready: app.NewReadiness(),
		cfg: Config{MaxRecords: records, MaxDuration: time.Minute, Keys: event.NewKeyring(), Now: func() time.Time { return time.UnixMilli(sequencertest.Now) }},
	}}
}
