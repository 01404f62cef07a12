package ingest

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
)

// Roles of the service.
const (
	RoleHTTP      = "http"
	RoleSequencer = "sequencer"
)

// Config of the ingest service.
type Config struct {
	app.Settings
	Roles    []string
	HTTPAddr string
	// Listener replaces HTTPAddr when the caller has bound the port already (dev, tests). Run closes it.
	Listener net.Listener

	AckTimeout time.Duration // how long a request waits for Kafka; 0: 10 s
	TenantRate float64       // events a second and tenant at the HTTP role; 0: no limit
	Laptop     bool          // accept one replica a topic
}

// Default is the configuration before flags.
func Default() Config {
	return Config{Roles: []string{RoleHTTP, RoleSequencer}, HTTPAddr: ":8080", AckTimeout: 10 * time.Second}
}

func (c *Config) bind(fs *pflag.FlagSet) {
	c.Bind(fs, app.KafkaBrokers, app.PostgresURL, app.RegistryURL, app.SigningKeysFile)
	fs.StringSliceVar(&c.Roles, "roles", c.Roles, "roles to run: http, sequencer")
	fs.StringVar(&c.HTTPAddr, "http", c.HTTPAddr, "address of the HTTP role")
	fs.DurationVar(&c.AckTimeout, "ack-timeout", c.AckTimeout, "how long an HTTP request waits for Kafka")
	fs.Float64Var(&c.TenantRate, "tenant-rate", c.TenantRate, "events a second and tenant at the HTTP role before 429; 0: no limit")
	fs.BoolVar(&c.Laptop, "laptop", c.Laptop, "accept topics with one replica: one broker, no safety")
}

// Validate names everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	bad := func(detail, next string) {
		errs = append(errs, event.Refuse(event.CodeInvalidConfig, "%s", detail).Hint(next))
	}
	if len(c.Roles) == 0 {
		bad("--roles is empty", "http, sequencer or both")
	}
	for _, r := range c.Roles {
		if r != RoleHTTP && r != RoleSequencer {
			bad("--roles has an unknown role "+r, "http, sequencer or both")
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
	if c.TenantRate < 0 {
		bad("--tenant-rate is negative", "0 is no limit")
	}
	return errors.Join(append(errs, c.Require(needs...))...)
}

func (c *Config) has(role string) bool { return slices.Contains(c.Roles, role) }
