package operate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
)

// A sequencer of the test's own judges what Act publishes.
func TestAct_PublishesAsThePrincipalAndReturnsTheVerdict(t *testing.T) {
	broker := kafkatest.Start(t)
	url, _ := registrytest.Start(t, broker)
	keys, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{EnvBrokers: strings.Join(broker.Brokers, ","), EnvRegistry: url, EnvKeys: path}
	acknowledged := make(chan struct{}, 1)
	note := func(string, ...any) { acknowledged <- struct{}{} } // Act says that it waits for the sequencer
	env := &Env{Value: func(name string) string { return settings[name] }, Note: note, Log: slog.New(slog.DiscardHandler), HTTP: http.DefaultClient, Now: time.Now, Timeout: kafkatest.Patience}
	t.Cleanup(env.Close)
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
	defer cancel()
	adm, err := admin.New(broker)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	partition := kafka.PartitionFor([]byte("acme"), kafkatest.Partitions)
	var readOne int64 // of ingress
	act := func(judge func(*kafka.Record) *kafka.Record) (Done, error) {
		t.Helper()
		type result struct {
			done Done
			err  error
		}
		results := make(chan result, 1)
		go func() {
			done, err := env.Act(ctx, Principal{Name: "ann", Source: "console"}, "acme", "tenant.suspended", "tenant/acme", "", map[string]any{"reason": nil})
			results <- result{done, err}
		}()
		kafkatest.WaitFor(t, "the event in ingress", func(ctx context.Context) bool {
			ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicIngress)
			return len(results) > 0 || err == nil && ends[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: partition}] > readOne
		})
		if len(results) > 0 {
			t.Fatalf("nothing was judged: %+v", <-results)
		}
		// The event is in ingress before the publisher has heard so; a wait that ends in between ends with another error.
		select {
		case <-acknowledged:
		case got := <-results:
			t.Fatalf("nothing was judged: %+v", got)
		}
		err := read.Range(ctx, broker, kafka.TopicIngress, partition, readOne, readOne+1, func(r *kafka.Record) error {
			kafkatest.Produce(t, broker, judge(r))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		readOne++
		got := <-results
		return got.done, got.err
	}
	var source string
	done, err := act(func(r *kafka.Record) *kafka.Record {
		source, _ = kafka.Header(r, "ce_source")
		id, _ := kafka.Header(r, "ce_id")
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		return kafka.RecordedToRecord(&event.Recorded{Event: event.Event{TenantID: "acme", ID: id, Source: source, Type: "tenant.suspended", Subject: "tenant/acme", Time: at, Value: r.Value},
			Sequence: 7, Position: event.PositionAt(at.UnixMilli()), RecordedTime: at, LogID: "11111111-1111-4111-8111-111111111111"})
	})
	if err != nil || source != "/neuronx/console" || done.Sequence != "7" || done.Tenant != "acme" || done.Subject != "tenant/acme" || done.EventID == "" {
		t.Errorf("from %s: %+v, %v", source, done, err)
	}
	_, err = act(func(r *kafka.Record) *kafka.Record {
		return &kafka.Record{Topic: kafka.TopicDeadLetter, Key: r.Key, Headers: append(r.Headers, kafka.RecordHeader{Key: event.DeadCode, Value: []byte(event.CodeUnknownTenant)})}
	})
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindFailed || e.Code != event.CodeUnknownTenant || !strings.Contains(e.Next, "tenant create") || e.Open {
		t.Errorf("refused: %v", err)
	}
	_, err = act(func(r *kafka.Record) *kafka.Record { // nobody judges it, and the person does not wait
		cancel()
		return &kafka.Record{Topic: kafka.TopicDeadLetter, Key: []byte("other")}
	})
	if !errors.As(err, &e) || e.Kind != KindFailed || !e.Open || !strings.Contains(e.Why, "may still be admitted") {
		t.Errorf("not judged: %+v", err)
	}
}
