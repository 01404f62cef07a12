package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/checker"
)

// Topic writes leads to Kafka itself, each to the topic that To names for its tenant.
type Topic struct {
	Brokers []string
	To      func(tenant string) string
	Encode  func(data map[string]string) ([]byte, error) // the framed body
}

// Run writes until ctx ends and waits a minute for the last acknowledgements.
func (t Topic) Run(ctx context.Context, f Feed) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	return f.run(ctx, &written{topic: t, client: client, out: make(chan Outcome, 1<<14)}, time.Minute)
}

type written struct {
	topic  Topic
	client *kgo.Client
	out    chan Outcome
}

func (w *written) Send(ctx context.Context, leads []Lead) error {
	for _, l := range leads {
		value, err := w.topic.Encode(l.Data)
		if err != nil {
			return fmt.Errorf("encode %s: %w", l.ID, err)
		}
		header := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }
		w.client.Produce(ctx, &kgo.Record{Topic: w.topic.To(l.TenantID), Key: []byte(l.TenantID), Value: value, Headers: []kgo.RecordHeader{
			header("ce_specversion", "1.0"), header("ce_id", l.ID), header("ce_source", l.Source), header("ce_type", l.Type),
			header("ce_subject", l.Subject), header("ce_time", l.Time), header("content-type", "application/avro"),
		}}, func(_ *kgo.Record, err error) {
			o := Outcome{ID: l.ID, Outcome: checker.OK}
			switch {
			case errors.Is(err, kerr.MessageTooLarge):
				o.Outcome = checker.Fail
			case err != nil:
				o.Outcome = checker.Unknown
			}
			w.out <- o
		})
	}
	return nil
}

func (w *written) Outcomes() <-chan Outcome { return w.out }

// Close has nothing to end: the client sends what it has by itself.
func (w *written) Close() error { return nil }
