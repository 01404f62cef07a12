package sequencer

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// Schemas finds a writer's schema by its id; *registry.Client is one. Its errors are registry.ErrUnknown and registry.ErrUnavailable.
type Schemas interface {
	SchemaByID(ctx context.Context, id int32) (*avro.Schema, error)
}

// Publisher publishes events signed by the engine; *control.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, tenant, typ, subject, id string, data map[string]any, opts ...control.Option) (event.Event, error)
}

// Config configures the sequencer. Zero values of the optional settings mean their defaults.
type Config struct {
	Kafka     kafka.Config
	Slot      string         // which of several instances: the transactional id is neuronx.sequencer.<slot>. Default "0"
	Keys      *event.Keyring // verifies events of the engine, signs forwarded records
	Schemas   Schemas
	Publisher Publisher // optional: reports undone resets into the tenants' streams

	// First is asked before a partition of which nothing was ever written gets its first state. ErrOtherLog says that something was, in
	// a Kafka that is lost: the partition is stopped. Any other error is asked again. Nil: it is not known.
	First func(context.Context) error

	MaxRecords     int           // of one transaction, default 10,000: a transaction costs the brokers some 10 ms, however much is in it
	MaxDuration    time.Duration // of judging one transaction's records, default 100 ms; more, up to a second, where commits take longer than that
	Pace           time.Duration // between the end of a transaction and the start of the next at low load, default 8 ms
	SessionTimeout time.Duration // of group membership, default 10 s
	SnapshotEvery  time.Duration // default 10 min
	SnapshotBytes  int           // of deltas since the last snapshot, default 64 MiB
	KeyWindow      time.Duration // how long a key is remembered; the same at every instance. Default 24 h
	KeyMemory      int64         // bytes that the key windows of this process may take. Default DefaultKeyMemory

	Rates admission.Rates // of derived events, see there

	// Now is the clock that append times are held against, and that replaces them where the broker does not stamp. Default
	// time.Now; tests shift it.
	Now func() time.Time
}

// ErrOtherLog is that the topics are not those from which the archive was filled.
var ErrOtherLog = errors.New("the topics were recreated, and the log is lost")

var slotPattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

func (c *Config) setDefaults() {
	if c.Slot == "" {
		c.Slot = "0"
	}
	if c.MaxRecords == 0 {
		c.MaxRecords = 10_000
	}
	if c.MaxDuration == 0 {
		c.MaxDuration = 100 * time.Millisecond
	}
	if c.Pace == 0 {
		c.Pace = 8 * time.Millisecond
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 10 * time.Minute
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 64 << 20
	}
	if c.KeyWindow == 0 {
		c.KeyWindow = keys.DefaultWindow
	}
	if c.KeyMemory == 0 {
		c.KeyMemory = DefaultKeyMemory()
	}
	c.Rates.SetDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Validate names everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Kafka.Brokers) == 0 {
		errs = append(errs, errors.New("no Kafka brokers"))
	}
	if c.Slot != "" && !slotPattern.MatchString(c.Slot) {
		errs = append(errs, errors.New("slot: 1 to 64 letters, digits, dots, hyphens and underscores"))
	}
	if c.Keys == nil {
		errs = append(errs, errors.New("no signing keys"))
	}
	if c.Schemas == nil {
		errs = append(errs, errors.New("no schema registry"))
	}
	if c.MaxRecords < 0 || c.MaxRecords > 10_000 {
		errs = append(errs, errors.New("records of a transaction: 1 to 10,000"))
	}
	if c.KeyWindow < 0 {
		errs = append(errs, errors.New("key window: more than nothing"))
	}
	if c.KeyMemory < 0 {
		errs = append(errs, errors.New("key memory: more than nothing"))
	}
	if detail := c.Rates.Problem(); detail != "" {
		errs = append(errs, errors.New(detail))
	}
	return errors.Join(errs...)
}

// DefaultKeyMemory is a third of the memory that the process may use, in bytes: of GOMEMLIMIT, else of the container's limit, else of
// the machine's. Another third is for garbage that waits for its collection, and one for everything else. Where none of them can be
// read it is 1 GiB.
func DefaultKeyMemory() int64 {
	limit := app.MemoryLimit()
	if limit == 0 {
		return 1 << 30
	}
	return limit / 3
}
