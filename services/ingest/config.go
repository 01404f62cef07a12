package ingest

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	httpin "github.com/neuronx/engine/services/ingest/http"
	"github.com/neuronx/engine/services/ingest/landing"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
	"github.com/neuronx/engine/services/ingest/sequencer/keys"
)

// Roles of the service.
const (
	RoleHTTP      = "http"
	RoleSequencer = "sequencer"
	RoleLanding   = "landing"
)

// Config of the ingest service.
type Config struct {
	app.Settings
	Roles    []string
	HTTPAddr string
	// Listener replaces HTTPAddr when the caller has bound the port already (dev, tests). Run closes it.
	Listener net.Listener

	AckTimeout time.Duration  // how long a request waits for Kafka; 0: 10 s
	Quotas     httpin.Quotas  // of a tenant at the HTTP role for which nothing else is set
	BodyMemory int64          // bytes that HTTP requests in flight may take; 0: a sixth of the memory limit
	BodyShare  int64          // bytes that those of one tenant may take; 0: a quarter of BodyMemory
	KeyWindow  time.Duration  // how long the sequencer remembers an idempotency key; 0: keys.DefaultWindow
	KeyMemory  int64          // bytes that the sequencer's keys may take; 0: sequencer.DefaultKeyMemory
	Landing    landing.Limits // of each tenant at its landing topic, where nothing else is set; zero: no limit
	Rates      admission.Rates
	Laptop     bool // accept one replica a topic, and a short KeyWindow

	Now func() time.Time // the sequencer's clock; nil: time.Now. Tests shift it
}

// maxKeyWindow bounds what the keys cost: 30 bytes each.
const maxKeyWindow = 7 * 24 * time.Hour

// maxRate of a tenant, events a second. What is not a number is out of range, too.
const maxRate = 1e9

// minKeyMemory is what the windows of some partitions take when there is hardly anything in them.
const minKeyMemory = 1 << 20

// Default is the configuration before flags.
func Default() Config {
	return Config{Roles: []string{RoleHTTP, RoleSequencer, RoleLanding}, HTTPAddr: ":8080", AckTimeout: 10 * time.Second, KeyWindow: keys.DefaultWindow,
		Quotas: httpin.Quotas{Burst: 2 * time.Second}}
}

func (c *Config) bind(fs *pflag.FlagSet) {
	c.Bind(fs, app.KafkaBrokers, app.PostgresURL, app.RegistryURL, app.SigningKeysFile)
	fs.StringSliceVar(&c.Roles, "roles", c.Roles, "roles to run: http, sequencer, landing")
	fs.StringVar(&c.HTTPAddr, "http", c.HTTPAddr, "address of the HTTP role")
	fs.DurationVar(&c.AckTimeout, "ack-timeout", c.AckTimeout, "how long an HTTP request waits for Kafka")
	fs.Float64Var(&c.Quotas.Events, "tenant-rate", c.Quotas.Events, "events a second and tenant at the HTTP role before 429; 0: no limit")
	fs.Float64Var(&c.Quotas.Bytes, "tenant-bytes", c.Quotas.Bytes, "bytes of bodies a second and tenant at the HTTP role before 429; 0: no limit")
	fs.DurationVar(&c.Quotas.Burst, "tenant-burst", c.Quotas.Burst, "how much of its rates a tenant may send at once; never less than a full batch")
	fs.Int64Var(&c.BodyMemory, "body-memory", c.BodyMemory, "bytes that HTTP requests in flight may take (read, decompressed, parsed) before 503; 0: a sixth of the memory limit, 64 MiB to 1 GiB")
	fs.Int64Var(&c.BodyShare, "tenant-body-memory", c.BodyShare, "bytes of --body-memory that one tenant may take before 429; 0: a quarter")
	fs.DurationVar(&c.KeyWindow, "key-window", c.KeyWindow, "how long the sequencer remembers idempotency keys; the same at every instance")
	fs.Int64Var(&c.KeyMemory, "key-memory", c.KeyMemory, "bytes that the sequencer's idempotency keys may take, about 30 a key; 0: a third of the memory limit")
	fs.Float64Var(&c.Landing.Events, "landing-rate", c.Landing.Events, "events a second and tenant that are taken from its landing topic; 0: no limit")
	fs.Float64Var(&c.Landing.Bytes, "landing-bytes", c.Landing.Bytes, "bytes a second and tenant that are taken from its landing topic; 0: no limit")
	fs.DurationVar(&c.Rates.Window, "storm-window", c.Rates.Window, "what the --storm settings are counted over (0: 1h)")
	fs.IntVar(&c.Rates.Rule, "storm-rule", c.Rates.Rule, "events of hop 2 and more that one rule of a tenant may derive, in addition to what its facts allow (0: 1000)")
	fs.IntVar(&c.Rates.Subject, "storm-subject", c.Rates.Subject, "such events about one subject (0: 500)")
	fs.IntVar(&c.Rates.PerFact, "storm-per-fact", c.Rates.PerFact, "what each fact of the tenant allows more (0: 3)")
	fs.IntVar(&c.Rates.Facts, "storm-facts", c.Rates.Facts, "facts about one subject before they trigger nothing (0: 1200)")
	fs.BoolVar(&c.Laptop, "laptop", c.Laptop, "accept topics with one replica, and a --key-window under 24h: no safety")
}

// Validate names everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	bad := func(detail, next string) {
		errs = append(errs, event.Refuse(event.CodeInvalidConfig, "%s", detail).Hint(next))
	}
	if len(c.Roles) == 0 {
		bad("--roles is empty", "http, sequencer, landing")
	}
	for _, r := range c.Roles {
		if r != RoleHTTP && r != RoleSequencer && r != RoleLanding {
			bad("--roles has an unknown role "+r, "http, sequencer, landing")
		}
	}
	needs := []app.Setting{app.KafkaBrokers, app.RegistryURL, app.SigningKeysFile}
	if c.has(RoleHTTP) {
		needs = append(needs, app.PostgresURL)
		if c.HTTPAddr == "" && c.Listener == nil {
			bad("--http is empty", "such as :8080")
		}
	}
	if c.AckTimeout < 0 || c.AckTimeout > 5*time.Minute {
		bad("--ack-timeout is out of range", "up to 5m")
	}
	if !(c.Quotas.Events >= 0 && c.Quotas.Events <= maxRate) {
		bad("--tenant-rate is out of range", "events a second, up to 1e9; 0 is no limit")
	}
	if !(c.Quotas.Bytes >= 0 && c.Quotas.Bytes <= maxRate*1000) {
		bad("--tenant-bytes is out of range", "bytes a second, up to 1e12; 0 is no limit")
	}
	if c.Quotas.Burst < 0 || c.Quotas.Burst > time.Hour {
		bad("--tenant-burst is out of range", "up to 1h; 0 is 2s")
	}
	if c.BodyMemory != 0 && c.BodyMemory < httpin.MinBodyMemory {
		bad("--body-memory is too small", "at least 67108864 bytes, which the largest batch may take; 0 is a sixth of the memory limit")
	}
	if c.BodyShare < 0 || c.BodyShare > c.bodyMemory() {
		bad("--tenant-body-memory is out of range", "up to --body-memory; 0 is a quarter of it")
	}
	if c.Landing.Events < 0 || c.Landing.Bytes < 0 {
		bad("--landing-rate or --landing-bytes is negative", "0 is no limit")
	}
	if c.KeyWindow != 0 && (c.KeyWindow < time.Second || c.KeyWindow > maxKeyWindow || c.KeyWindow < keys.DefaultWindow && !c.Laptop) {
		bad("--key-window is out of range", "24h to 168h; from 1s with --laptop, where producers may see their retries admitted twice")
	}
	if c.KeyMemory != 0 && c.KeyMemory < minKeyMemory {
		bad("--key-memory is too small", "at least 1048576 bytes; 0 is a third of the memory limit")
	}
	if detail := c.Rates.Problem(); detail != "" {
		bad("--storm: "+detail, "see docs/operations.md")
	}
	return errors.Join(append(errs, c.Require(needs...))...)
}

// maxBodyMemory bounds what is taken of a large machine by default, in bytes.
const maxBodyMemory = 1 << 30

// bodyMemory is what requests in flight may take: by default a sixth of the memory limit, because the sequencer's keys may take a
// third, what waits for Kafka 64 MiB, and the collector some.
func (c *Config) bodyMemory() int64 {
	if c.BodyMemory != 0 {
		return c.BodyMemory
	}
	return min(max(app.MemoryLimit()/6, httpin.MinBodyMemory), maxBodyMemory)
}

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }
