package control

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/schemas"
)

// catalogue is the embedded schemas, all under id 7.
type catalogue map[string]*avro.Schema

func (c catalogue) ByType(_ context.Context, typ string) (int32, *avro.Schema, error) {
	if s := c[typ]; s != nil {
		return 7, s, nil
	}
	return 0, nil, registry.ErrUnknown
}

type producer func(ctx context.Context, recs ...*kafka.Record) error

func (p producer) Produce(ctx context.Context, recs ...*kafka.Record) error { return p(ctx, recs...) }

func publisher(t *testing.T, p producer) *Publisher {
	t.Helper()
	files, err := schemas.Files()
	if err != nil {
		t.Fatal(err)
	}
	c := catalogue{}
	for _, f := range files {
		s, err := avro.Parse(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		c[s.EventType()] = s
	}
	return &Publisher{producer: p, keys: event.NewKeyring(), schemas: c, source: defaultSource, now: time.Now}
}

func TestPublish_EventIsSignedAndReadable(t *testing.T) {
	var rec *kafka.Record
	p := publisher(t, func(_ context.Context, recs ...*kafka.Record) error { rec = recs[0]; return nil })
	sent, err := p.Publish(context.Background(), "acme", "tenant.suspended", "tenant/acme", "e1", map[string]any{"reason": "unpaid"}, WithSource("cli"), WithCausation("c"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := kafka.ParseRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.keys.Verify(&e); !ok || err != nil {
		t.Errorf("not signed: %v", err)
	}
	if rec.Topic != kafka.TopicIngress || e.TenantID != "acme" || e.ID != "e1" || e.Source != "/neuronx/cli" || e.CausationID != "c" || sent.ID != "e1" {
		t.Errorf("%+v", e)
	}
	_, body, err := event.Unframe(e.Value)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := p.schemas.(catalogue)["tenant.suspended"].Decode(body); err != nil || data["reason"] != "unpaid" {
		t.Errorf("%v %v", data, err)
	}
}

func TestPublish_NothingIsSentThatCannotBeAdmitted(t *testing.T) {
	p := publisher(t, func(context.Context, ...*kafka.Record) error { t.Error("produced"); return nil })
	for name, fn := range map[string]func() error{
		"unknown type": func() error { _, err := p.Publish(context.Background(), "acme", "no.such", "", "", nil); return err },
		"unknown field": func() error {
			_, err := p.Publish(context.Background(), "acme", "tenant.suspended", "", "", map[string]any{"x": 1})
			return err
		},
		"bad tenant": func() error {
			_, err := p.Publish(context.Background(), "No", "tenant.suspended", "", "", nil)
			return err
		},
	} {
		if fn() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPublish_ALateAcknowledgementIsUnknown(t *testing.T) {
	p := publisher(t, func(ctx context.Context, _ ...*kafka.Record) error { <-ctx.Done(); return ctx.Err() })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e, err := p.Publish(ctx, "acme", "tenant.suspended", "tenant/acme", "", nil)
	if !errors.Is(err, ErrUnknown) || e.ID == "" {
		t.Errorf("%v %q: the caller needs the id to publish it again", err, e.ID)
	}
}

// WithTime sets when it happened; without it, now.
func WithTime(t time.Time) Option { return func(e *event.Event) { e.Time = t.UTC() } }

// WithCorrelation sets ce_correlationid.
func WithCorrelation(id string) Option { return func(e *event.Event) { e.CorrelationID = id } }

// WithCausation sets ce_causationid, the id of the event that caused this one.
func WithCausation(id string) Option { return func(e *event.Event) { e.CausationID = id } }

// WithTrace sets the W3C traceparent.
func WithTrace(parent string) Option { return func(e *event.Event) { e.TraceParent = parent } }
