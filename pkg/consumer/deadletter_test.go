package consumer_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
)

type letterBox struct {
	recorder
	mu      sync.Mutex
	letters []consumer.DeadLetter
}

func (b *letterBox) ApplyDeadLetters(_ context.Context, _ pgx.Tx, letters []consumer.DeadLetter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, letters...)
	return nil
}

func (b *letterBox) all() []consumer.DeadLetter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]consumer.DeadLetter(nil), b.letters...)
}

func TestRun_HandsOverDeadLettersOnceWithWhatCanBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	head := func(k, v string) kafka.RecordHeader { return kafka.RecordHeader{Key: k, Value: []byte(v)} }
	kafkatest.Produce(t, f.kafka,
		&kafka.Record{Topic: kafka.TopicDeadLetter, Key: []byte("acme"), Value: []byte("junk"), Headers: []kafka.RecordHeader{
			head("ce_id", "e-1"), head("ce_type", "lead.created"), head("ce_tenantid", "acme"), head("nx_error_code", "storm"),
			head("nx_error_detail", "17 hops"), head("__connect.errors.topic", "neuronx.ingress"), head("__connect.errors.partition", "3"),
			head("__connect.errors.offset", "42"), head("ce_recordedtime", "2026-11-23T10:00:00.5Z")}},
		&kafka.Record{Topic: kafka.TopicDeadLetter, Partition: 0, Key: []byte("Not A Tenant"), Headers: []kafka.RecordHeader{
			head("ce_id", "e-2"), head("ce_hops", "many"), head("ce_type", "NOT A TYPE"), head("ce_tenantid", "acme"), head("nx_error_code", "invalid_attribute")}},
	)
	box := &letterBox{}
	cfg := f.config()
	cfg.DeadLetters = true
	stop := f.start(cfg, box)
	kafkatest.WaitFor(t, "two dead letters", func(context.Context) bool { return len(box.all()) == 2 })
	byCode := map[string]consumer.DeadLetter{}
	for _, l := range box.all() {
		byCode[l.Code] = l
	}
	l := byCode["storm"]
	if l.TenantID != "acme" || l.Event.ID != "e-1" || l.Detail != "17 hops" || l.Topic != "neuronx.ingress" || l.Partition != 3 || l.Offset != 42 ||
		l.RecordedTime.IsZero() || string(l.Value) != "junk" || len(l.Headers) != 9 {
		t.Errorf("got %+v", l)
	}
	// What a refused producer claims about itself counts for nothing.
	if l := byCode["invalid_attribute"]; l.TenantID != "" || l.Event.ID != "e-2" || l.Offset != -1 {
		t.Errorf("got %+v", l)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.start(cfg, box)
	f.write(f.next("acme", 1)...)
	f.await("acme", 1, 1, consumer.Live)
	if got := len(box.all()); got != 2 {
		t.Errorf("%d dead letters after a restart", got)
	}
}

func TestNew_RefusesDeadLettersWithoutAHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cfg := f.config()
	cfg.DeadLetters = true
	if _, err := consumer.New(cfg, &recorder{}); err == nil {
		t.Error("a handler that takes no dead letters was accepted")
	}
}
