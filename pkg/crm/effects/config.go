package effects

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
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
	App             crm.App       // of the CRM's marketplace; without an ID accounts are opened by tokens that people bring
	ConsentAddr     string        // of the pages of consent; "": none here
	PublicURL       string        // under which people reach them
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
	fs.StringVar(&c.App.ID, c.Vendor+"-client-id", "", "id of this engine's app in the CRM's marketplace; empty: accounts are opened by tokens that people bring")
	fs.Var(&c.App.Secret, c.Vendor+"-client-secret", "secret of that app")
	fs.StringVar(&c.App.Consent, c.Vendor+"-consent-url", c.App.Consent, "the CRM's page on which people let the app use an account")
	fs.StringVar(&c.App.Scopes, c.Vendor+"-scopes", c.App.Scopes, "what the app asks for, with blanks between them")
	fs.StringVar(&c.ConsentAddr, "consent-addr", "", "address on which this process serves the pages that a person who consents passes through; empty: not here")
	fs.StringVar(&c.PublicURL, "public-url", "", "https URL under which people reach --consent-addr")
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
	if c.App.ID != "" {
		errs = append(errs, c.checkApp())
	} else if c.ConsentAddr != "" {
		errs = append(errs, fmt.Errorf("--consent-addr needs --%s-client-id", c.Vendor))
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

// checkApp names what an app lacks.
func (c *Config) checkApp() error {
	var errs []error
	need := func(flag, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s is not set, and --%s-client-id needs it", flag, c.Vendor))
		}
	}
	need(c.Vendor+"-client-secret", c.App.Secret.Reveal())
	need("master-keyset-file", c.KeysetFile)
	need("public-url", c.PublicURL)
	need(c.Vendor+"-scopes", c.App.Scopes)
	if err := transport.CheckBaseURL(c.App.Consent); err != nil {
		errs = append(errs, fmt.Errorf("--%s-consent-url: %w", c.Vendor, err))
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "" || u.Path != "" && u.Path != "/" || u.Scheme != "https" && !loopback(u.Hostname())) {
		errs = append(errs, errors.New("--public-url must be https://host[:port]; only on a loopback host may it be http"))
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
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
