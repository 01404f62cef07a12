package effects

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/transport"
)

// Config configures an adapter's process.
type Config struct {
	consumer.Settings

	Vendor          string        // prefix of the flags that are about the vendor's API
	BaseURL         string        // the CRM's API
	AllowTenantURL  bool          // honour base_url of a tenant's connection, public addresses only
	Timeout         time.Duration // of one exchange; default 30 s. The lease of an attempt is three times this
	Workers         int           // requests at once; default 16
	KeysetFile      string        // master keyset, which opens grants; "": connections may name files only
	DailyReserve    int           // requests of a day that are left to people; default 1,000
	PollEvery       time.Duration // how often due effects are looked for; default 200 ms
	SweepEvery      time.Duration // how often lost leases are looked for; default 5 s
	ShutdownTimeout time.Duration // how long requests under way may take at the end; default 20 s
}

// Bind declares the flags. The value that BaseURL has by then is the default.
func (c *Config) Bind(fs *pflag.FlagSet) {
	c.Settings.Bind(fs)
	c.Settings.Settings.Bind(fs, app.SecretsDir)
	fs.StringVar(&c.BaseURL, c.Vendor+"-base-url", c.BaseURL, "base URL of the CRM's API")
	fs.BoolVar(&c.AllowTenantURL, c.Vendor+"-allow-tenant-base-url", false, "honour the base_url of a tenant's connection (public addresses only)")
	fs.DurationVar(&c.Timeout, "crm-timeout", 30*time.Second, "time-out of one exchange with the CRM")
	fs.StringVar(&c.KeysetFile, "master-keyset-file", "", "file of the keyset that opens tokens in the database; empty: tokens are read from files only")
	fs.IntVar(&c.Workers, "workers", 16, "requests to the CRM at once")
	fs.IntVar(&c.DailyReserve, "crm-daily-reserve", 1000, "requests of a tenant's day that are left to people")
}

// Validate names all problems at once.
func (c *Config) Validate() error {
	d := c.withDefaults()
	errs := []error{c.Settings.Validate(), c.Require(app.SecretsDir)}
	if err := transport.CheckBaseURL(d.BaseURL); err != nil {
		errs = append(errs, fmt.Errorf("--%s-base-url: %w", c.Vendor, err))
	}
	if c.Timeout < 0 || d.Timeout > 5*time.Minute {
		errs = append(errs, errors.New("--crm-timeout must be over 0 and at most 5m"))
	}
	if c.Workers < 0 || d.Workers > 256 {
		errs = append(errs, errors.New("--workers must be 1 to 256"))
	}
	if c.DailyReserve < 0 {
		errs = append(errs, errors.New("--crm-daily-reserve must not be negative"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Timeout, 30*time.Second)
	def(&c.PollEvery, 200*time.Millisecond)
	def(&c.SweepEvery, 5*time.Second)
	def(&c.ShutdownTimeout, 20*time.Second)
	if c.Workers == 0 {
		c.Workers = 16
	}
	return c
}

// lease is how long an attempt belongs to its worker.
func (c Config) lease() time.Duration { return 3 * c.Timeout }
