package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
)

// ErrUnknown says that the wait for the acknowledgement ended first: the event
// may be in the log or not. Publishing it again under the same id is safe.
var ErrUnknown = errors.New("it is not known whether the event was stored; publish it again with the same id")

// defaultSource is the ce_source of events whose publisher did not name itself.
const defaultSource = "/neuronx/control"

// Catalogue finds the newest schema of an event type. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// Producer stores records with acks=all. *kafka.Producer is one.
type Producer interface {
	Produce(ctx context.Context, recs ...*kafka.Record) error
}

// Publisher publishes events signed by the engine. It is safe for concurrent
// use.
type Publisher struct {
	producer Producer
	keys     *event.Keyring
	schemas  Catalogue
	source   string
	now      func() time.Time
}

// New makes a publisher with the source /neuronx/control.
func New(producer *kafka.Producer, keys *event.Keyring, reg *registry.Client) *Publisher {
	return &Publisher{producer: producer, keys: keys, schemas: reg, source: defaultSource, now: time.Now}
}

// Option changes an event before it is signed.
type Option func(*event.Event)

// WithSource sets ce_source, /neuronx/<name>.
func WithSource(name string) Option {
	return func(e *event.Event) { e.Source = "/neuronx/" + name }
}

// Build makes the signed event without sending it. data holds the fields of the
// type's schema in the forms that avro.Schema.EncodeMap takes. An empty id
// becomes a UUIDv7 (RFC 9562).
func (p *Publisher) Build(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...Option) (event.Event, error) {
	if id == "" {
		v7, err := uuid.NewV7()
		if err != nil {
			return event.Event{}, fmt.Errorf("make an event id: %w", err)
		}
		id = v7.String()
	}
	schemaID, schema, err := p.schemas.ByType(ctx, typ)
	if err != nil {
		return event.Event{}, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		return event.Event{}, fmt.Errorf("encode %s: %w", typ, err)
	}
	e := event.Event{
		TenantID: tenant,
		ID:       id,
		Source:   p.source,
		Type:     typ,
		Subject:  subject,
		Time:     p.now().UTC().Truncate(time.Microsecond),
		Origin:   event.OriginLive,
		Value:    event.Frame(schemaID, body),
	}
	for _, opt := range opts {
		opt(&e)
	}
	if err := e.CheckAttributes(); err != nil {
		return event.Event{}, fmt.Errorf("publish %s: %w", typ, err)
	}
	p.keys.Sign(&e)
	return e, nil
}

// Publish builds, signs and produces an event to neuronx.ingress and waits for
// every in-sync replica. When ctx ends first the error is ErrUnknown.
func (p *Publisher) Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...Option) (event.Event, error) {
	e, err := p.Build(ctx, tenant, typ, subject, id, data, opts...)
	if err != nil {
		return event.Event{}, err
	}
	if err := p.producer.Produce(ctx, kafka.ToRecord(kafka.TopicIngress, &e)); err != nil {
		if ctx.Err() != nil {
			return e, fmt.Errorf("publish %s %s: %w", typ, e.ID, ErrUnknown)
		}
		return e, fmt.Errorf("publish %s: %w", typ, err)
	}
	return e, nil
}
