package dev

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/httpguard"
)

// Config of `neuronx dev`. Ports are on 127.0.0.1, that of HTTP unless it is told otherwise; 0 takes a free one.
type Config struct {
	DataDir      string
	HTTP         string   // listen address of the HTTP endpoint
	AllowedHosts []string // host names in addition to the usual ones, at every HTTP port
	Admin        string   // listen address of metrics, health and the services' switches; loopback only
	KafkaPort    int
	PostgresPort int
	RegistryPort int
	CRMPort      int
	Demo         bool
	Reset        bool
	LogLevel     string

	Now func() time.Time // the sequencer's clock; nil: time.Now. Tests shift it

	// Registered sees the metrics registry of each service before the service starts, again each time; may be nil. Tests ask it
	// which metrics exist, also those that have no series yet.
	Registered func(service string, reg *prometheus.Registry)
}

// defaultDataDir is where the tool looks for dev.env.
const defaultDataDir = ".neuronx"

// Bind declares the flags.
func (c *Config) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&c.DataDir, "data-dir", defaultDataDir, "folder of all data, keys and dev.env")
	fs.StringVar(&c.HTTP, "http", "127.0.0.1:8080", "listen address of the HTTP endpoint")
	fs.StringSliceVar(&c.AllowedHosts, "allowed-hosts", nil, "host names, in addition to the usual ones, under which clients reach the HTTP ports; .example.com for all under it, * for every name")
	fs.StringVar(&c.Admin, "admin-addr", "127.0.0.1:9090", "loopback address of /metrics, /readyz and the services' switches")
	fs.IntVar(&c.KafkaPort, "kafka-port", 19092, "port of Kafka, 0 = any")
	fs.IntVar(&c.PostgresPort, "postgres-port", 15432, "port of Postgres, 0 = any")
	fs.IntVar(&c.RegistryPort, "registry-port", 18081, "port of the schema registry, 0 = any")
	fs.IntVar(&c.CRMPort, "crm-port", 18090, "port of the stand-in CRM, 0 = any")
	fs.BoolVar(&c.Demo, "demo", true, "post made-up leads of tenant demo and show them travel")
	fs.BoolVar(&c.Reset, "reset", false, "throw the data of --data-dir away first")
	fs.StringVar(&c.LogLevel, "log-level", "warn", "debug, info, warn or error; logs go to <data-dir>/dev.log")
}

// Validate names every problem at once.
func (c *Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("--data-dir must not be empty"))
	}
	for flag, port := range map[string]int{"kafka-port": c.KafkaPort, "postgres-port": c.PostgresPort, "registry-port": c.RegistryPort, "crm-port": c.CRMPort} {
		if port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("--%s must be 0 to 65535", flag))
		}
	}
	if _, _, err := net.SplitHostPort(c.HTTP); err != nil {
		errs = append(errs, fmt.Errorf("--http %q is no address such as 127.0.0.1:8080", c.HTTP))
	}
	errs = append(errs, httpguard.CheckHosts(c.AllowedHosts))
	host, _, err := net.SplitHostPort(c.Admin)
	if ip := net.ParseIP(host); err != nil || (host != "localhost" && (ip == nil || !ip.IsLoopback())) {
		errs = append(errs, fmt.Errorf("--admin-addr %q must be a loopback address: it can stop services", c.Admin))
	}
	return errors.Join(errs...)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
