package cli

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/safetext"
)

// cli is one run of the tool.
type cli struct {
	out, err io.Writer
	in       io.Reader
	getenv   func(string) (string, bool)
	now      func() time.Time
	http     *http.Client

	format  string
	wide    bool           // -o wide: tables are not cut to the terminal
	cmd     *cobra.Command // that runs
	envFile string
	quiet   bool
	timeout time.Duration

	settings    map[string]*string // by environment name
	fileEnv     map[string]string
	secretFiles map[string]string // what the files of <NAME>_FILE hold

	wantTenant  string // the tenant of the command line, which pool looks up once
	tenantKnown bool
	asked       map[string]error // whether anybody listens, by setting

	closers []func()
}

// Names of the settings, as DESIGN and dev.env have them.
const (
	envBrokers = "NEURONX_KAFKA_BROKERS"

	envKafkaTLS       = "NEURONX_KAFKA_TLS"
	envKafkaCA        = "NEURONX_KAFKA_TLS_CA_FILE"
	envKafkaCert      = "NEURONX_KAFKA_TLS_CERT_FILE"
	envKafkaKey       = "NEURONX_KAFKA_TLS_KEY_FILE"
	envKafkaMechanism = "NEURONX_KAFKA_SASL_MECHANISM"
	envKafkaUser      = "NEURONX_KAFKA_SASL_USERNAME"
	envKafkaPassword  = "NEURONX_KAFKA_SASL_PASSWORD" //nolint:gosec // a name, not a password

	envPostgres  = "NEURONX_POSTGRES_URL"
	envAdmin     = "NEURONX_POSTGRES_ADMIN_URL"
	envRegistry  = "NEURONX_SCHEMA_REGISTRY_URL"
	envKeys      = "NEURONX_SIGNING_KEYS_FILE"
	envSecrets   = "NEURONX_SECRETS_DIR"
	envHTTP      = "NEURONX_HTTP_URL"
	envAdminURL  = "NEURONX_ADMIN_URL"
	envAPIKey    = "NEURONX_API_KEY"
	envDemoKey   = "NEURONX_DEMO_API_KEY"
	defaultEnv   = ".neuronx/dev.env"
	defaultLimit = 100
)

// Main runs the tool and returns its exit code. extra are commands of other
// packages (`neuronx dev`).
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, extra ...*cobra.Command) int {
	c := &cli{
		out: stdout, err: stderr, in: stdin, getenv: os.LookupEnv, now: time.Now,
		http: &http.Client{Timeout: 60 * time.Second}, settings: map[string]*string{},
	}
	return c.run(ctx, args, extra...)
}

// Root returns the tree of commands without running it, so that documents can be held against it.
func Root(extra ...*cobra.Command) *cobra.Command {
	c := &cli{out: io.Discard, err: io.Discard, getenv: os.LookupEnv, now: time.Now, settings: map[string]*string{}}
	return c.root(extra...)
}

func (c *cli) run(ctx context.Context, args []string, extra ...*cobra.Command) int {
	defer c.close()
	c.out, c.err = safetext.NewWriter(c.out), safetext.NewWriter(c.err) // nothing is written but through these two
	root := c.root(extra...)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return report(c.err, c.format, err)
	}
	return exitOK
}

func (c *cli) close() {
	for i := len(c.closers) - 1; i >= 0; i-- {
		c.closers[i]()
	}
}

// setting declares a flag whose default is the environment, then the env file.
func (c *cli) setting(fs *pflag.FlagSet, flag, env, help string) {
	c.settings[env] = fs.String(flag, "", help+" ["+env+"]")
}

// value is a setting's value: flag, environment, the file that <NAME>_FILE names (secrets only, as the services have it), env
// file.
func (c *cli) value(env string) string {
	if p := c.settings[env]; p != nil && *p != "" {
		return *p
	}
	if v, ok := c.getenv(env); ok {
		return v
	}
	if c.secretFiles == nil && c.loadSecretFiles() != nil {
		return "" // before a command runs, its error is told
	}
	if v, ok := c.secretFiles[env]; ok {
		return v
	}
	return c.fileEnv[env]
}

// need is value, or an error that says how to set it.
func (c *cli) need(env, what string) (string, error) {
	if v := c.value(env); v != "" {
		return v, nil
	}
	what += " is not configured"
	if c.fileEnv == nil { // dev leaves the file while it runs
		what = "no engine runs in this folder, and " + what
	}
	return "", (&Error{Exit: exitUsage, What: what, Code: event.CodeInvalidConfig}).
		next("%s, which writes %s; from another folder add --env-file <its folder>/%s; or set and export %s", start, defaultEnv, defaultEnv, env)
}

// loadEnvFile reads the file that --env-file names; the default may be absent.
func (c *cli) loadEnvFile() error {
	path := c.envFile
	if path == "" {
		path = defaultEnv
	}
	b, err := os.ReadFile(path)
	if err != nil {
		if c.envFile == "" && os.IsNotExist(err) {
			return nil
		}
		return failed("read the env file", err)
	}
	vars, err := parseEnv(string(b))
	if err != nil {
		return failed("read the env file "+path, err)
	}
	for _, env := range secretEnvs {
		if vars[env] == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil {
			err = event.CheckSecretFile(path, info)
		}
		if err != nil {
			return failed("read the env file, which holds "+env, err)
		}
	}
	c.fileEnv = vars
	return nil
}

// parseEnv reads NAME=value lines. Comments, blank lines, a leading "export" and
// quotes around the value are accepted; nothing is expanded.
func parseEnv(text string) (map[string]string, error) {
	out := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, event.Refuse(event.CodeInvalidConfig, "line %d is not NAME=value", i+1)
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		out[name] = value
	}
	return out, nil
}

func (c *cli) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (c *cli) kafka() (kafka.Config, error) {
	v, err := c.need(envBrokers, "Kafka")
	if err != nil {
		return kafka.Config{}, err
	}
	security := app.KafkaSecurity{
		CAFile: c.value(envKafkaCA), CertFile: c.value(envKafkaCert), KeyFile: c.value(envKafkaKey),
		Mechanism: c.value(envKafkaMechanism), Username: c.value(envKafkaUser), Password: app.Secret(c.value(envKafkaPassword)),
	}
	if on := c.value(envKafkaTLS); on != "" {
		if security.TLS, err = strconv.ParseBool(on); err != nil {
			return kafka.Config{}, usage("%s is %q, not true or false", envKafkaTLS, on)
		}
	}
	if err := security.Validate(); err != nil {
		return kafka.Config{}, failed("connect to Kafka", err)
	}
	cfg := kafka.Config{Brokers: strings.Split(v, ","), ClientID: "neuronx-cli", Security: security}
	return cfg, c.listening("Kafka", envBrokers, kafkaAddresses(cfg.Brokers))
}

func (c *cli) admin() (*admin.Client, error) {
	cfg, err := c.kafka()
	if err != nil {
		return nil, err
	}
	a, err := admin.New(cfg)
	if err != nil {
		return nil, failed("connect to Kafka", err)
	}
	c.closers = append(c.closers, a.Close)
	return a, nil
}

func (c *cli) registry() (*registry.Client, error) {
	url, err := c.need(envRegistry, "the schema registry")
	if err != nil {
		return nil, err
	}
	if err := c.urlListening("the schema registry", envRegistry, url); err != nil {
		return nil, err
	}
	r, err := registry.NewClient(url, c.log())
	if err != nil {
		return nil, failed("use the schema registry", err)
	}
	return r, nil
}

// pool connects as the operators' role.
func (c *cli) pool(ctx context.Context) (*pgxpool.Pool, error) {
	url, err := c.need(envPostgres, "Postgres")
	if err != nil {
		return nil, err
	}
	if err := c.postgresListening(envPostgres, url); err != nil {
		return nil, err
	}
	p, err := postgres.Open(ctx, url, postgres.Application("neuronx-cli"), postgres.MaxConns(4))
	if err != nil {
		return nil, failed("connect to Postgres", err).next("`neuronx doctor` looks at every part")
	}
	c.closers = append(c.closers, p.Close)
	if id := c.wantTenant; id != "" && !c.tenantKnown {
		if err := knownTenant(ctx, p, id); err != nil {
			return nil, err
		}
		c.tenantKnown = true
	}
	return p, nil
}

// publisher signs and publishes the engine's own events.
func (c *cli) publisher() (*control.Publisher, error) {
	path, err := c.need(envKeys, "the engine's signing key")
	if err != nil {
		return nil, err
	}
	keys, err := event.LoadKeyring(path)
	if err != nil {
		return nil, failed("read the signing keys", err)
	}
	cfg, err := c.kafka()
	if err != nil {
		return nil, err
	}
	reg, err := c.registry()
	if err != nil {
		return nil, err
	}
	producer, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		return nil, failed("connect to Kafka", err)
	}
	c.closers = append(c.closers, producer.Close)
	return control.New(producer, keys, reg), nil
}

// bounded gives a context that ends after --timeout.
func (c *cli) bounded(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), c.timeout)
}

func (c *cli) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version and the commit", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.format == formatJSON {
				return c.json(app.BuildInfo())
			}
			printf(c.out, "%s\n", app.Version())
			return nil
		},
	}
}
