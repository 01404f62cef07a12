package operate

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/postgres"
)

// Names of the settings, as DESIGN and dev.env have them.
const (
	EnvBrokers = "NEURONX_KAFKA_BROKERS"

	EnvKafkaTLS       = "NEURONX_KAFKA_TLS"
	EnvKafkaCA        = "NEURONX_KAFKA_TLS_CA_FILE"
	EnvKafkaCert      = "NEURONX_KAFKA_TLS_CERT_FILE"
	EnvKafkaKey       = "NEURONX_KAFKA_TLS_KEY_FILE"
	EnvKafkaMechanism = "NEURONX_KAFKA_SASL_MECHANISM"
	EnvKafkaUser      = "NEURONX_KAFKA_SASL_USERNAME"
	EnvKafkaPassword  = "NEURONX_KAFKA_SASL_PASSWORD" //nolint:gosec // a name, not a password

	EnvPostgres = "NEURONX_POSTGRES_URL"
	EnvAdmin    = "NEURONX_POSTGRES_ADMIN_URL"
	EnvRegistry = "NEURONX_SCHEMA_REGISTRY_URL"
	EnvKeys     = "NEURONX_SIGNING_KEYS_FILE"
	EnvSecrets  = "NEURONX_SECRETS_DIR"
	EnvKeyset   = "NEURONX_MASTER_KEYSET_FILE"
	EnvCRM      = "NEURONX_CRM_URL"    // the CRM's API, where it is not the vendor's
	EnvPublic   = "NEURONX_PUBLIC_URL" // under which people reach the adapter's pages of consent
	EnvHTTP     = "NEURONX_HTTP_URL"
	EnvAdminURL = "NEURONX_ADMIN_URL"
	EnvAPIKey   = "NEURONX_API_KEY"
	EnvDemoKey  = "NEURONX_DEMO_API_KEY"
)

// DefaultEnvFile is where `neuronx dev` leaves the settings of its engine, while it runs.
const DefaultEnvFile = ".neuronx/dev.env"

// Env is one operator's session: the settings of the engine that it is about, and connections, which are made when they are
// needed and live until Close. It is not safe for concurrent use.
type Env struct {
	Value    func(name string) string         // a setting; "" where it is not set
	HaveFile bool                             // settings were read from an env file: an engine may run here
	Unfit    error                            // why the settings can't be used together; nil: they can
	Note     func(format string, args ...any) // tells progress; what a caller must know is returned, too
	Log      *slog.Logger                     // for the clients
	HTTP     *http.Client
	Now      func() time.Time
	Timeout  time.Duration // how long a verb waits for the engine
	Tenant   string        // whom the session is about: Pool refuses one that is not there; "" is nobody, or one that need not exist

	pool        *pgxpool.Pool
	admin       *admin.Client
	publisher   *control.Publisher
	tenantKnown bool
	asked       map[string]error // whether anybody listens, by setting
	closers     []func()
}

// Close ends the connections.
func (v *Env) Close() {
	for i := len(v.closers) - 1; i >= 0; i-- {
		v.closers[i]()
	}
	v.closers, v.pool, v.admin, v.publisher = nil, nil, nil, nil
}

// OnClose adds what Close does, last first.
func (v *Env) OnClose(f func()) { v.closers = append(v.closers, f) }

// Need is Value, or an error that says how to set it.
func (v *Env) Need(name, what string) (string, error) {
	if v.Unfit != nil {
		return "", v.Unfit
	}
	if s := v.Value(name); s != "" {
		return s, nil
	}
	what += " is not configured"
	if !v.HaveFile { // dev leaves the file while it runs
		what = "no engine runs in this folder, and " + what
	}
	return "", (&Error{Kind: KindUsage, What: what, Code: event.CodeInvalidConfig}).
		Hint("%s, which writes %s; from another folder add --env-file <its folder>/%s; or set and export %s", Start, DefaultEnvFile, DefaultEnvFile, name)
}

// Kafka is how to reach Kafka; it fails when nobody listens there.
func (v *Env) Kafka() (kafka.Config, error) {
	brokers, err := v.Need(EnvBrokers, "Kafka")
	if err != nil {
		return kafka.Config{}, err
	}
	security := app.KafkaSecurity{
		CAFile: v.Value(EnvKafkaCA), CertFile: v.Value(EnvKafkaCert), KeyFile: v.Value(EnvKafkaKey),
		Mechanism: v.Value(EnvKafkaMechanism), Username: v.Value(EnvKafkaUser), Password: app.Secret(v.Value(EnvKafkaPassword)),
	}
	if on := v.Value(EnvKafkaTLS); on != "" {
		if security.TLS, err = strconv.ParseBool(on); err != nil {
			return kafka.Config{}, Usage("%s is %q, not true or false", EnvKafkaTLS, on)
		}
	}
	if err := security.Validate(); err != nil {
		return kafka.Config{}, Fail("connect to Kafka", err)
	}
	cfg := kafka.Config{Brokers: strings.Split(brokers, ","), ClientID: "neuronx-cli", Security: security}
	return cfg, v.listening("Kafka", EnvBrokers, kafkaAddresses(cfg.Brokers))
}

// Admin is the session's one client of Kafka's administration; the first call opens it.
func (v *Env) Admin() (*admin.Client, error) {
	if v.admin != nil {
		return v.admin, nil
	}
	cfg, err := v.Kafka()
	if err != nil {
		return nil, err
	}
	a, err := admin.New(cfg)
	if err != nil {
		return nil, Fail("connect to Kafka", err)
	}
	v.admin = a
	v.OnClose(a.Close)
	return a, nil
}

// Registry is a client of the schema registry; it fails when nobody listens there.
func (v *Env) Registry() (*registry.Client, error) {
	url, err := v.Need(EnvRegistry, "the schema registry")
	if err != nil {
		return nil, err
	}
	if err := v.URLListening("the schema registry", EnvRegistry, url); err != nil {
		return nil, err
	}
	r, err := registry.NewClient(url, v.Log)
	if err != nil {
		return nil, Fail("use the schema registry", err)
	}
	return r, nil
}

// Pool is the session's one pool of connections to Postgres as the operators' role; the first call connects, and looks up the session's tenant.
func (v *Env) Pool(ctx context.Context) (*pgxpool.Pool, error) {
	if v.pool == nil {
		url, err := v.Need(EnvPostgres, "Postgres")
		if err != nil {
			return nil, err
		}
		if err := v.PostgresListening(EnvPostgres, url); err != nil {
			return nil, err
		}
		if v.pool, err = postgres.Open(ctx, url, postgres.Application("neuronx-cli"), postgres.MaxConns(4)); err != nil {
			return nil, Fail("connect to Postgres", err).Hint("`neuronx doctor` looks at every part")
		}
		v.OnClose(v.pool.Close)
	}
	if v.Tenant != "" && !v.tenantKnown {
		if err := KnownTenant(ctx, v.pool, v.Tenant); err != nil {
			return nil, err
		}
		v.tenantKnown = true
	}
	return v.pool, nil
}

// Keys reads the engine's signing keys.
func (v *Env) Keys() (*event.Keyring, error) {
	path, err := v.Need(EnvKeys, "the engine's signing key")
	if err != nil {
		return nil, err
	}
	keys, err := event.LoadKeyring(path)
	if err != nil {
		return nil, Fail("read the signing keys", err)
	}
	return keys, nil
}

// Publisher signs and publishes the engine's own events. A session has one; the first call makes it.
func (v *Env) Publisher() (*control.Publisher, error) {
	if v.publisher != nil {
		return v.publisher, nil
	}
	keys, err := v.Keys()
	if err != nil {
		return nil, err
	}
	cfg, err := v.Kafka()
	if err != nil {
		return nil, err
	}
	reg, err := v.Registry()
	if err != nil {
		return nil, err
	}
	producer, err := kafka.NewProducer(cfg, 0, nil)
	if err != nil {
		return nil, Fail("connect to Kafka", err)
	}
	v.OnClose(producer.Close)
	v.publisher = control.New(producer, keys, reg)
	return v.publisher, nil
}
