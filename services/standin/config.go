package standin

import (
	"errors"
	"fmt"
	"time"
)

// Config configures a stand-in. The zero value with an Addr is useful.
type Config struct {
	Addr    string // listen address, host:port; port 0 = any
	DataDir string // where contacts are kept; "" = in memory only

	Tokens   map[string]string // bearer token → location id
	AnyToken bool              // a token "standin-<location>" makes its location at first sight

	Apps []App // of the marketplace

	Setup []Setup // what locations have at the start, which makes them

	SearchLag     time.Duration // how long search and duplicate check lag behind writes; default 2 s, negative = none
	Burst         int           // requests an interval and location; default 100
	BurstInterval time.Duration // default 10 s
	Daily         int           // requests a UTC day and location; default 200,000

	Ready func(url string) // called once with the base URL when the listener is bound; may be nil
}

// Validate names all problems at once.
func (c *Config) Validate() error {
	var errs []error
	if c.Burst < 0 || c.Daily < 0 || c.BurstInterval < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	for token, loc := range c.Tokens {
		if token == "" || !validLocation(loc) {
			errs = append(errs, fmt.Errorf("location %q: needs a token and 1 to 64 letters, digits, '-' or '_'", loc))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.SearchLag == 0 {
		c.SearchLag = 2 * time.Second
	}
	if c.SearchLag < 0 {
		c.SearchLag = 0
	}
	if c.Burst == 0 {
		c.Burst = 100
	}
	if c.BurstInterval == 0 {
		c.BurstInterval = 10 * time.Second
	}
	if c.Daily == 0 {
		c.Daily = 200_000
	}
	return c
}

func validLocation(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}
