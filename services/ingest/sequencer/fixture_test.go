package sequencer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
)

func TestMain(m *testing.M) {
	if code, child := runChild(); child {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// catalogue is the embedded schemas under ids from 1, in the order of their paths. It can be switched off.
type catalogue struct {
	byID   map[int32]*avro.Schema
	byType map[string]int32
	mu     sync.Mutex
	down   bool
}

func newCatalogue() *catalogue {
	files, err := schemas.Files()
	if err != nil {
		panic(err)
	}
	slices.SortFunc(files, func(a, b schemas.File) int { return cmp.Compare(a.Path, b.Path) })
	c := &catalogue{byID: map[int32]*avro.Schema{}, byType: map[string]int32{}}
	for i, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			panic(fmt.Errorf("%s: %w", f.Path, err))
		}
		c.byID[int32(i+1)] = s
		c.byType[s.EventType()] = int32(i + 1)
	}
	return c
}

func (c *catalogue) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *catalogue) SchemaByID(_ context.Context, id int32) (*avro.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, registry.ErrUnavailable
	}
	s := c.byID[id]
	if s == nil {
		return nil, registry.ErrUnknown
	}
	return s, nil
}

func (c *catalogue) get(id int32) (Schema, error) {
	s, err := c.SchemaByID(context.Background(), id)
	switch {
	case errors.Is(err, registry.ErrUnknown):
		return nil, errUnknownSchema
	case err != nil:
		return nil, errUnavailable
	}
	return s, nil
}

// value encodes data of a type, framed.
func (c *catalogue) value(typ string, data map[string]any) []byte {
	id := c.byType[typ]
	body, err := c.byID[id].EncodeMap(data)
	if err != nil {
		panic(fmt.Errorf("%s: %w", typ, err))
	}
	return event.Frame(id, body)
}

var testSchemas = newCatalogue()

// made returns an outside event.
func made(tenant, id, typ string, data map[string]any) *event.Event {
	subject := "lead/1"
	if lead, ok := data["lead_id"].(string); ok {
		subject = "lead/" + lead
	}
	return &event.Event{TenantID: tenant, ID: id, Source: "/test", Type: typ, Subject: subject, Time: time.UnixMilli(1_700_000_000_000).UTC(), Value: testSchemas.value(typ, data)}
}

func lead(tenant, id string) *event.Event {
	return made(tenant, id, "lead.created", map[string]any{"lead_id": id})
}

func signed(k *event.Keyring, e *event.Event) *event.Event {
	k.Sign(e)
	return e
}

func created(k *event.Keyring, tenant string) *event.Event {
	e := made(tenant, "created-"+tenant, "tenant.created", map[string]any{"name": tenant})
	e.Subject = "tenant/" + tenant
	return signed(k, e)
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
	return Config{Kafka: cfg, Slot: slot, Keys: keys, Schemas: testSchemas, SessionTimeout: 3 * time.Second}
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
