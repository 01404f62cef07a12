package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/e2e/load"
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/embedded"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// Partitions of every topic of a test cluster.
const Partitions = 6

// Options of a cluster.
type Options struct {
	Seed    Seed   // a bug on purpose
	Bin     string // folder of bin/ for the programs, so that runs side by side do not replace each other's; empty: e2e
	Ingests int    // instances of ingest, each with both roles; 0: 2
	Memory  int64  // bytes that each process may have, as its container would tell it by GOMEMLIMIT; 0: no limit
	Broker  string // of the test's own; empty: that of NEURONX_TEST_KAFKA_BROKERS
	Data    string // folder for Postgres; empty: one in the cluster's
	Secure  bool   // on the Kafka with passwords and rights: every process under the user that is declared for it
}

// Seed plants a bug of e2e/seeds in one program, such as neuronx-rules.
type Seed struct{ Bug, Program string }

// Cluster is a running engine.
type Cluster struct {
	Dir      string
	Kafka    kafka.Config
	Postgres *embedded.Server
	Registry *registry.Client
	Keys     *event.Keyring
	Control  *control.Publisher
	Ops      *pgxpool.Pool // as neuronx_ops
	Admin    *pgxpool.Pool // as superuser: only the checker and the owner's acts use it

	RegistryURL, CRMURL string
	Secrets             string   // folder of the tenants' secrets
	HTTPURLs            []string // of the HTTP endpoints
	Processes           map[string]*Process
	secure              bool
	memory              int64
	postgresDir         string
	order               []string
	bin                 string            // folder of bin/ that they are in
	programs            map[string]string // where they are, by name
	env                 []string          // of the operators' program
	admin               string            // URL of Dev's admin port, else empty

	metricsMu sync.Mutex
	metrics   map[string]*prometheus.Registry // of Dev's services
}

// AdminURL is the URL of Dev's admin port, else empty.
func (c *Cluster) AdminURL() string { return c.admin }

// WithAdmins adds flags that name the admin port of each service to the arguments of a command.
func (c *Cluster) WithAdmins(args ...string) []string {
	for _, name := range c.Services() {
		args = append(args, "--admin", "http://"+c.Processes[name].Admin)
	}
	return args
}

// Services are the names of the processes that faults are aimed at, in the order in which they start.
func (c *Cluster) Services() []string {
	var out []string
	for _, n := range c.order {
		if n != "registry" && n != "standin" {
			out = append(out, n)
		}
	}
	return out
}

// Start wipes the Kafka, builds the services, starts everything and waits until all is ready.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	at, err := kafka.Config{ClientID: "e2e", Brokers: []string{o.Broker}}, error(nil)
	if o.Broker == "" {
		at, err = broker(o.Secure)
	}
	must(t, err)
	if o.Ingests == 0 {
		o.Ingests = 2
	}
	c := &Cluster{Dir: t.TempDir(), Kafka: at, secure: o.Secure, memory: o.Memory, Keys: event.NewKeyring(), Processes: map[string]*Process{}}
	must(t, os.Chmod(c.Dir, 0o755))
	c.bin = cmp.Or(o.Bin, "e2e")
	c.programs = build(t, c.bin, o.Seed)
	must(t, wipe(ctx, c.Kafka, false))
	if c.postgresDir = o.Data; o.Data == "" {
		c.postgresDir = filepath.Join(c.Dir, "postgres")
	}
	c.Postgres, err = embedded.Start(ctx, embedded.Options{DataDir: c.postgresDir})
	must(t, err)
	t.Cleanup(func() {
		_ = c.Postgres.Stop()
		_ = embedded.Remove(context.Background(), c.postgresDir) // the server's user may have it elsewhere
	})
	_, err = provision.Run(ctx, provision.Options{
		Kafka: c.Kafka, Topics: topology.Options{Partitions: Partitions, ReplicationFactor: c.replicas(), Laptop: c.replicas() < 3},
		AdminURL: app.Secret(c.Postgres.AdminURL()), Passwords: c.Postgres.Passwords(), Execute: true,
	})
	must(t, err)
	if c.secure {
		_, err = provision.Run(ctx, provision.Options{
			Kafka: c.Kafka, Topics: topology.Options{Partitions: Partitions, ReplicationFactor: 1, Laptop: true}, Secrets: c.Dir, Users: true, Execute: true,
		})
		must(t, err)
	}
	keys, err := json.Marshal(c.Keys)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(c.Dir, "keys.json"), keys, 0o600))
	c.Secrets = filepath.Join(c.Dir, "secrets")
	must(t, os.MkdirAll(c.Secrets, 0o700))
	c.declare(t, o)
	t.Cleanup(func() { c.stop(t) })
	must(t, c.Processes["registry"].Start())
	c.Registry, err = registry.NewClient(c.RegistryURL, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		_, err := provision.Schemas(ctx, c.Registry, true)
		return err
	}))
	for _, n := range c.order[1:] {
		must(t, c.Processes[n].Start())
	}
	for _, n := range c.order[1:] {
		must(t, c.Processes[n].Ready(ctx))
	}
	producer, err := kafka.NewProducer(c.Kafka, 0, nil)
	must(t, err)
	t.Cleanup(producer.Close)
	c.Control = control.New(producer, c.Keys, c.Registry)
	c.env = append(c.kafkaEnv("neuronx_ops"), "NEURONX_POSTGRES_URL="+c.Postgres.URL("neuronx_ops"),
		"NEURONX_SCHEMA_REGISTRY_URL="+c.RegistryURL, "NEURONX_SIGNING_KEYS_FILE="+filepath.Join(c.Dir, "keys.json"),
		"NEURONX_SECRETS_DIR="+c.Secrets, "NEURONX_HTTP_URL="+c.HTTPURLs[0])
	c.Ops = pool(t, c.Postgres.URL("neuronx_ops"))
	c.Admin = pool(t, c.Postgres.AdminURL(), postgres.AllowSuperuser())
	return c
}

func pool(t testing.TB, url string, opts ...postgres.Option) *pgxpool.Pool {
	t.Helper()
	p, err := postgres.Open(context.Background(), url, opts...)
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

// declare writes down every process with its settings; ports are free ones.
func (c *Cluster) declare(t testing.TB, o Options) {
	t.Helper()
	addr := freeAddr(t)
	c.RegistryURL = "http://" + addr
	c.add("registry", "registry", []string{addr, strings.Join(c.Kafka.Brokers, ",")}, c.KafkaAdminEnv()...)
	crm := freeAddr(t)
	c.CRMURL = "http://" + crm
	service := func(name, program, role string, args ...string) { c.Service(t, name, program, role, args...) }
	service("standin", "standin", "ops", "--crm-addr", crm)
	for i := range o.Ingests {
		addr := freeAddr(t)
		c.HTTPURLs = append(c.HTTPURLs, "http://"+addr)
		service(fmt.Sprintf("ingest-%d", i), "ingest", "ingest", c.laptop("--http", addr, "--slot", fmt.Sprint(i))...)
	}
	service("rules", "rules", "rules", c.laptop()...)
	service("projector", "projector", "projector", c.laptop()...)
	service("archiver", "archiver", "archiver", c.laptop()...)
	service("gohighlevel", "gohighlevel", "gohighlevel", c.laptop("--ghl-base-url", c.CRMURL, "--crm-timeout", "5s")...)
}

// replicas of every topic: three where there are three brokers.
func (c *Cluster) replicas() int16 {
	if len(c.Kafka.Brokers) < 3 {
		return 1
	}
	return 3
}

// laptop adds the flag that accepts topics with one replica where they have one.
func (c *Cluster) laptop(args ...string) []string {
	if c.replicas() == 1 {
		args = append(args, "--laptop")
	}
	return args
}

func (c *Cluster) add(name, program string, args []string, env ...string) *Process {
	p := &Process{Name: name, path: c.programs[program], args: args, env: env, log: filepath.Join(c.Dir, name+".log")}
	c.Processes[name] = p
	c.order = append(c.order, name)
	return p
}

// kafkaEnv is how a process under a declared user reaches Kafka.
func (c *Cluster) kafkaEnv(user string) []string {
	env := []string{"NEURONX_KAFKA_BROKERS=" + strings.Join(c.Kafka.Brokers, ",")}
	if c.secure {
		env = append(env, "NEURONX_KAFKA_SASL_USERNAME="+user, "NEURONX_KAFKA_SASL_PASSWORD_FILE="+filepath.Join(c.Dir, user+".kafka-password"))
	}
	return env
}

// KafkaAdminEnv is how a process reaches Kafka as its administrator.
func (c *Cluster) KafkaAdminEnv() []string {
	if !c.secure {
		return nil
	}
	return []string{"NEURONX_KAFKA_SASL_USERNAME=" + c.Kafka.Security.Username, "NEURONX_KAFKA_SASL_PASSWORD=" + c.Kafka.Security.Password.Reveal(),
		"NEURONX_KAFKA_SASL_MECHANISM=" + c.Kafka.Security.Mechanism}
}

// Service declares one more process of a program, with the settings that all have. It is not started, but ended with the cluster.
func (c *Cluster) Service(t testing.TB, name, program, role string, args ...string) *Process {
	t.Helper()
	admin := freeAddr(t)
	args = append(args, "--admin-addr", admin, "--log-level", "info")
	p := c.add(name, "neuronx-"+program, args, append(c.kafkaEnv("neuronx_"+role), "NEURONX_POSTGRES_URL="+c.Postgres.URL("neuronx_"+role),
		"NEURONX_SCHEMA_REGISTRY_URL="+c.RegistryURL, "NEURONX_SIGNING_KEYS_FILE="+filepath.Join(c.Dir, "keys.json"),
		"NEURONX_SECRETS_DIR="+filepath.Join(c.Dir, "secrets"))...)
	if c.memory > 0 {
		p.env = append(p.env, fmt.Sprintf("GOMEMLIMIT=%d", c.memory*9/10)) // room for what is not Go's heap
	}
	p.Admin = admin
	return p
}

// stop ends every process; one that does not end by itself fails the test.
func (c *Cluster) stop(t testing.TB) {
	for i := len(c.order) - 1; i >= 0; i-- {
		p := c.Processes[c.order[i]]
		if err := p.Term(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s:\n%s", p.Name, p.Tail(12))
		}
	}
}

// Command is the operators' program with settings for the cluster, ready to run.
func (c *Cluster) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.programs["neuronx"], args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.Dir
	return cmd
}

// CLI runs the operators' program against the cluster.
func (c *Cluster) CLI(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	cmd := c.Command(ctx, args...)
	var out, errs writer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return string(out), string(errs), cmd.ProcessState.ExitCode()
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }

// Tenants makes tenants named prefix-0 … and returns them with their keys; the first `connected` of them get a CRM location each.
func (c *Cluster) Tenants(t testing.TB, prefix string, n, connected int) []load.Tenant {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := make([]load.Tenant, n)
	for i := range out {
		out[i] = c.tenant(t, ctx, fmt.Sprintf("%s-%d", prefix, i), i < connected)
	}
	must(t, Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var have int
		err := c.Ops.QueryRow(ctx, `SELECT count(DISTINCT tenant_id) FROM neuronx.api_keys JOIN neuronx.rule_bundles USING (tenant_id)
			WHERE tenant_id LIKE $1 || '-%'`, prefix).Scan(&have)
		if err == nil && have < n {
			err = fmt.Errorf("%d of %d tenants have their key and their rules", have, n)
		}
		return err
	}))
	return out
}

// Eventually asks until the answer is nil or the time is up, and then returns the last answer.
func Eventually(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
