package projector

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
)

// Config of the projector.
type Config struct {
	app.Settings
	Laptop   bool // accept topics with one replica
	MaxBatch int  // records a transaction; 0: the consumer's default
}

var needs = []app.Setting{app.KafkaBrokers, app.PostgresURL, app.RegistryURL, app.SigningKeysFile}

// Bind declares the flags.
func (c *Config) Bind(fs *pflag.FlagSet) {
	c.Settings.Bind(fs, needs...)
	fs.BoolVar(&c.Laptop, "laptop", c.Laptop, "accept topics with a single replica")
	fs.IntVar(&c.MaxBatch, "max-batch", c.MaxBatch, "records a transaction (0: default)")
}

// Validate names every problem at once.
func (c *Config) Validate() error {
	err := c.Require(needs...)
	if c.MaxBatch < 0 || c.MaxBatch > 100_000 {
		err = errors.Join(err, errors.New("--max-batch must be 0 to 100000"))
	}
	return err
}

// Service is the projector as a process of its own.
func Service() *app.Service {
	var cfg Config
	return &app.Service{
		Name: "projector", DefaultAdmin: ":9093", Flags: cfg.Bind, Validate: cfg.Validate,
		Run: func(ctx context.Context, rt *app.Runtime) error { return Run(ctx, rt, cfg) },
	}
}
