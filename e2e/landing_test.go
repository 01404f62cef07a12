//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/services/ingest/landing"
	"github.com/neuronx/engine/services/ingest/sequencer"
	"github.com/neuronx/engine/services/neuronx/cli"
	"github.com/neuronx/engine/services/neuronx/provision"
)

// secure is a door on a real Kafka with passwords and rights: sequencer and forwarder run as the user that is declared for them.
type secure struct {
	t       *testing.T
	brokers []string
	admin   kafka.Config
	reg     *registry.Client
}

func (s *secure) as(user, password string) kafka.Config {
	return kafka.Config{Brokers: s.brokers, ClientID: "e2e-" + user, Security: app.KafkaSecurity{Username: user, Password: app.Secret(password)}}
}

func startSecure(t *testing.T) *secure {
	t.Helper()
	need := func(name string) string {
		v := os.Getenv(name)
		if v == "" {
			t.Fatalf("%s is not set: this test needs a real Kafka with SASL and an authorizer, and its administrator (PLAIN)", name)
		}
		return v
	}
	s := &secure{t: t, brokers: strings.Split(need("NEURONX_TEST_KAFKA_SASL_BROKERS"), ",")}
	user, password := need("NEURONX_TEST_KAFKA_SASL_USERNAME"), need("NEURONX_TEST_KAFKA_SASL_PASSWORD")
	s.admin = s.as(user, password)
	s.admin.Security.Mechanism = app.SASLPlain
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	s.must(cluster.Wipe(ctx, s.admin))
	dir := t.TempDir()
	_, err := provision.Run(ctx, provision.Options{
		Kafka: s.admin, Topics: topology.Options{Partitions: cluster.Partitions, ReplicationFactor: 1, Laptop: true}, Secrets: dir, Users: true, Execute: true,
	})
	s.must(err)
	secret, err := os.ReadFile(filepath.Join(dir, "neuronx_ingest.kafka-password"))
	s.must(err)
	keys := event.NewKeyring()
	text, err := json.Marshal(keys)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(dir, "keys.json"), text, 0o600))

	run, stop := context.WithCancel(context.Background())
	g := app.NewGroup()
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server := registry.NewServer(s.admin, log)
	web := httptest.NewServer(server)
	g.Add("registry", server.Run)
	s.reg, err = registry.NewClient(web.URL, slog.New(slog.DiscardHandler))
	s.must(err)
	ingest := s.as("neuronx_ingest", strings.TrimSpace(string(secret)))
	rt := app.NewRuntime("ingest", "0", log, prometheus.NewRegistry())
	g.Add("sequencer", func(ctx context.Context) error {
		return sequencer.Run(ctx, rt, sequencer.Config{Kafka: ingest, Keys: keys, Schemas: s.reg})
	})
	g.Add("landing", func(ctx context.Context) error {
		return landing.Run(ctx, rt, landing.Config{Kafka: ingest, Sign: keys.Sign, TrimEvery: time.Second, Discover: time.Second})
	})
	go func() { ended <- g.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		web.Close()
	})
	s.must(cluster.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		_, err := provision.Schemas(ctx, s.reg, true)
		return err
	}))
	s.must(cluster.Eventually(ctx, time.Minute, func(context.Context) error { return rt.Ready.Err() }))
	t.Chdir(dir)
	for k, v := range map[string]string{
		"KAFKA_BROKERS": strings.Join(s.brokers, ","), "KAFKA_SASL_USERNAME": user, "KAFKA_SASL_PASSWORD": password, "KAFKA_SASL_MECHANISM": app.SASLPlain,
		"SCHEMA_REGISTRY_URL": web.URL, "SIGNING_KEYS_FILE": filepath.Join(dir, "keys.json"),
	} {
		t.Setenv("NEURONX_"+k, v)
	}
	return s
}

func (s *secure) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// cli runs the operators' tool as the administrator.
func (s *secure) cli(args ...string) (stdout string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Main(context.Background(), append(args, "-o", "json"), strings.NewReader(""), &out, &errs); code != 0 {
		s.t.Fatalf("neuronx %s: exit %d\n%s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// access gives a tenant its own access and returns its password, "" when it has one already.
func (s *secure) access(tenant string, more ...string) string {
	s.t.Helper()
	text := s.cli(append([]string{"tenant", "kafka-access", tenant, "--execute"}, more...)...)
	if text == "" {
		return ""
	}
	var got struct{ Topic, Username, Password string }
	s.must(json.Unmarshal([]byte(text), &got))
	if got.Topic != kafka.LandingTopic(tenant) || got.Username != kafka.LandingUser(tenant) {
		s.t.Errorf("%s", text)
	}
	return got.Password
}

// leads makes records of new leads.
func (s *secure) leads(topic, key, prefix string, n int) []*kafka.Record {
	s.t.Helper()
	id, schema, err := s.reg.ByType(context.Background(), "lead.created")
	s.must(err)
	out := make([]*kafka.Record, n)
	for i := range out {
		body, err := schema.EncodeMap(map[string]any{"lead_id": fmt.Sprintf("%s-%d", prefix, i)})
		s.must(err)
		out[i] = &kafka.Record{Topic: topic, Value: event.Frame(id, body), Headers: []kafka.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "%s-%d", prefix, i)}}}
		if key != "" {
			out[i].Key = []byte(key)
		}
	}
	return out
}

func (s *secure) produce(cfg kafka.Config, recs []*kafka.Record) error {
	s.t.Helper()
	p, err := kafka.NewProducer(cfg, 0, nil)
	s.must(err)
	defer p.Abort()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.Produce(ctx, recs...)
}

// count reads the committed records of a topic and counts those of a tenant whose id begins so, by id.
func (s *secure) count(ctx context.Context, topic, tenant, prefix string) (map[string]int, []*kafka.Record) {
	s.t.Helper()
	a, err := admin.New(s.admin)
	s.must(err)
	defer a.Close()
	ends, err := a.EndOffsets(ctx, admin.ReadCommitted, topic)
	s.must(err)
	ids, recs := map[string]int{}, []*kafka.Record(nil)
	for tp, end := range ends {
		s.must(read.Range(ctx, s.admin, topic, tp.Partition, 0, end, func(r *kafka.Record) error {
			if id, _ := kafka.Header(r, "ce_id"); string(r.Key) == tenant && strings.HasPrefix(id, prefix) {
				ids[id]++
				recs = append(recs, r)
			}
			return nil
		}))
	}
	return ids, recs
}

// arrive waits until n events are in the log, each once.
func (s *secure) arrive(tenant, prefix string, n int) {
	s.t.Helper()
	s.must(cluster.Eventually(context.Background(), time.Minute, func(ctx context.Context) error {
		ids, recs := s.count(ctx, kafka.TopicEvents, tenant, prefix)
		if len(recs) > len(ids) {
			s.t.Fatalf("%d events of %s are in the log more than once", len(recs)-len(ids), tenant)
		}
		if len(ids) != n {
			return fmt.Errorf("%d of %d events of %s are in the log", len(ids), n, tenant)
		}
		return nil
	}))
}

func TestLanding_UnderItsOwnCredentialsATenantReachesTheLogAndNothingElse(t *testing.T) {
	s := startSecure(t)
	for _, tenant := range []string{"acme", "beta"} {
		s.cli("tenant", "create", tenant, "--execute")
	}
	acme, beta := kafka.LandingTopic("acme"), kafka.LandingTopic("beta")
	mine := s.as(kafka.LandingUser("acme"), s.access("acme", "--rate", "4194304"))
	s.access("beta")
	if again := s.access("acme"); again != "" {
		t.Error("a second run gives another password")
	}
	s.must(s.produce(mine, s.leads(acme, "", "first", 50)))
	s.arrive("acme", "first", 50)

	for _, topic := range []string{beta, kafka.TopicIngress, kafka.TopicEvents} {
		if err := s.produce(mine, s.leads(topic, "acme", "spoof", 1)); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("a tenant writes %s: %v", topic, err)
		}
	}
	s.must(s.produce(mine, s.leads(acme, "beta", "another", 1)))
	s.must(cluster.Eventually(context.Background(), 30*time.Second, func(ctx context.Context) error {
		_, recs := s.count(ctx, kafka.TopicDeadLetter, "acme", "another")
		if len(recs) != 1 {
			return fmt.Errorf("%d dead letters", len(recs))
		}
		if code, _ := kafka.Header(recs[0], "nx_error_code"); code != string(event.CodeTenantMismatch) {
			t.Errorf("refused as %s", code)
		}
		return nil
	}))

	s.openTransaction(beta, mine)

	s.cli("tenant", "kafka-access", "acme", "--revoke", "--execute")
	if err := s.produce(mine, s.leads(acme, "", "late", 1)); err == nil {
		t.Error("a revoked user writes on")
	}
}

// openTransaction leaves a transaction open in one landing topic: what comes after it there waits, all others go on.
func (s *secure) openTransaction(topic string, other kafka.Config) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	open, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.TransactionalID("foreign"), kgo.TransactionTimeout(5*time.Minute),
		kgo.SASL(plain.Auth{User: s.admin.Security.Username, Pass: s.admin.Security.Password.Reveal()}.AsMechanism()))
	s.must(err)
	defer open.Close()
	s.must(open.BeginTransaction())
	s.must(open.ProduceSync(ctx, s.leads(topic, "", "open", 1)...).FirstErr())
	s.must(s.produce(s.admin, s.leads(topic, "", "behind", 3)))
	s.must(s.produce(other, s.leads(kafka.LandingTopic("acme"), "", "beside", 20)))
	s.arrive("acme", "beside", 20)
	if ids, _ := s.count(ctx, kafka.TopicEvents, "beta", "behind"); len(ids) != 0 {
		s.t.Errorf("%d records behind an open transaction were forwarded: it does not hold the topic up, so the test shows nothing", len(ids))
	}
	s.must(open.EndTransaction(ctx, kgo.TryAbort))
	s.arrive("beta", "behind", 3)
	if ids, _ := s.count(ctx, kafka.TopicEvents, "beta", "open"); len(ids) != 0 {
		s.t.Error("a record of an aborted transaction was forwarded")
	}
}
