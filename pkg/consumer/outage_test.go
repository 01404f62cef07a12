package consumer_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry/registrytest"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
)

// outage is a whole service, with Postgres behind a proxy and Kafka behind a link.
type outage struct {
	*fixture
	proxy    *postgrestest.Proxy
	link     *kafkatest.Link
	rt       *app.Runtime
	settings consumer.Settings
	done     chan error
	stop     func()
}

func newOutage(t *testing.T) *outage {
	o := &outage{fixture: newFixture(t), done: make(chan error, 1), link: kafkatest.NewLink(nil)}
	url, _ := registrytest.Start(t, o.kafka)
	keys, err := json.Marshal(event.NewKeyring())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, through := postgrestest.NewProxy(t, o.db.URL(postgres.RoleProjector))
	o.proxy = proxy
	o.settings = consumer.Settings{Laptop: true, Settings: app.Settings{
		KafkaBrokers: o.kafka.Brokers, PostgresURL: app.Secret(through), RegistryURL: url, SigningKeysFile: file,
	}}
	return o
}

// serve runs the service until the test ends.
func (o *outage) serve() {
	o.rt = app.NewRuntime("projector", "0", o.log, prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	o.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-o.done; err != nil {
				o.t.Errorf("ended with %v", err)
			}
		})
	}
	o.t.Cleanup(o.stop)
	go func() {
		o.done <- func() error {
			base, err := consumer.Open(ctx, o.rt, o.settings)
			if err != nil {
				return ignoreCanceled(ctx, err)
			}
			defer base.Close()
			cfg := base.Config("rebuild")
			cfg.Archive, cfg.PollEvery = o.archive, 0
			if o.link != nil {
				cfg.Kafka.Dialer = o.link.Dial
			}
			c, err := consumer.New(cfg, &recorder{})
			if err != nil {
				return err
			}
			return base.Serve(ctx, c, nil)
		}()
	}()
}

func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (o *outage) ready(why string) {
	o.t.Helper()
	kafkatest.WaitFor(o.t, "it is ready "+why, func(context.Context) bool { o.alive(); return o.rt.Ready.Err() == nil })
}

// alive fails the test when the service has ended.
func (o *outage) alive() {
	o.t.Helper()
	select {
	case err := <-o.done:
		o.done <- nil
		o.t.Fatalf("the service ended instead of waiting: %v", err)
	default:
	}
}

// notReady waits until readiness names what is waited for.
func (o *outage) notReady(words ...string) {
	o.t.Helper()
	last := ""
	kafkatest.WaitFor(o.t, "readiness says "+strings.Join(words, ", "), func(context.Context) bool {
		o.alive()
		err := o.rt.Ready.Err()
		if err == nil {
			return false
		}
		last = err.Error()
		for _, w := range words {
			if !strings.Contains(last, w) {
				return false
			}
		}
		return true
	})
	if strings.Contains(last, "password") {
		o.t.Errorf("readiness tells too much: %s", last)
	}
}

func TestService_WaitsForPostgresAwayStalledAndFullAndAppliesEachEventOnce(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	o.proxy.Away()
	o.serve()
	o.notReady("postgres: ", ", since ")
	o.write(o.next("acme", 5)...)
	o.proxy.Back()
	o.await("acme", 1, 5, consumer.Live)
	o.ready("after Postgres came")

	o.proxy.Away()
	o.write(o.next("acme", 5)...)
	o.notReady("postgres: ", ", since ")
	o.proxy.Back()
	o.await("acme", 1, 10, consumer.Live)
	o.ready("after Postgres came back")

	o.proxy.Stall()
	o.write(o.next("acme", 5)...)
	o.notReady("postgres: ", ", since ") // which activity noticed first, and so its words, depends on timing
	o.proxy.Back()
	o.await("acme", 1, 15, consumer.Live)
	o.ready("after Postgres answered")

	o.exec(`CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER full_disk BEFORE INSERT ON public.applied FOR EACH ROW EXECUTE FUNCTION public.full()`)
	o.write(o.next("acme", 5)...)
	o.notReady("postgres: the disk of Postgres is full: ", "No space left on device", "retried")
	o.exec(`DROP TRIGGER full_disk ON public.applied`)
	o.await("acme", 1, 20, consumer.Live)
	o.ready("after there was room")
	o.wantApplied("acme", 1, 20)
}

func TestService_ComesBackWhenKafkaWasAwayForLongerThanItsSessionAndAppliesEachEventOnce(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	adm, err := admin.New(o.kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	o.serve()
	o.write(o.next("acme", 5)...)
	o.await("acme", 1, 5, consumer.Live)
	o.link.Block(o.kafka.Brokers[0])
	o.write(o.next("acme", 5)...)
	kafkatest.WaitFor(t, "the group has put the member out", func(ctx context.Context) bool {
		g, err := adm.DescribeGroup(ctx, kafka.GroupProjector)
		return err == nil && len(g.Members) == 0
	})
	o.alive()
	o.link.Unblock(o.kafka.Brokers[0])
	o.await("acme", 1, 10, consumer.Live)
	o.wantApplied("acme", 1, 10)
}

func TestService_SaysThatKafkaOrTheRegistryIsAway(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	cfg, cluster := kafkatest.StartCluster(t)
	o.settings.KafkaBrokers = cfg.Brokers
	o.serve()
	o.ready("at first")
	cluster.Close()
	o.notReady("kafka: ", ", since ")
	o.stop()

	o = newOutage(t)
	o.settings.RegistryURL = "http://127.0.0.1:1"
	o.serve()
	o.notReady("registry: schema registry unavailable", "refused")
	o.write(o.next("acme", 5)...)
	o.await("acme", 1, 5, consumer.Live) // nothing of it was needed
}

func TestOpen_WaitsForABrokerThatIsNotThereAndSaysSo(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	o.settings.KafkaBrokers = []string{"127.0.0.1:1"}
	o.serve()
	o.notReady("kafka: ", "refused", ", since ")
	o.stop()
}

func TestOpen_EndsAtOnceForWhatWaitingCantMend(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	open := func(s consumer.Settings) string {
		ctx, cancel := context.WithTimeout(t.Context(), kafkatest.Patience)
		defer cancel()
		b, err := consumer.Open(ctx, app.NewRuntime("projector", "0", slog.New(slog.DiscardHandler), prometheus.NewRegistry()), s)
		if err == nil {
			b.Close()
			return ""
		}
		return err.Error()
	}
	wrong := o.settings
	wrong.PostgresURL = app.Secret(strings.Replace(o.db.URL(postgres.RoleProjector), "@", "wrong@", 1))
	if got := open(wrong); !strings.Contains(got, "does not accept the password") || strings.Contains(got, "wrong@") {
		t.Error(got)
	}
	empty, _ := kafkatest.StartEmpty(t)
	wrong = o.settings
	wrong.KafkaBrokers = empty.Brokers
	if got := open(wrong); !strings.Contains(got, "neuronx provision --execute") {
		t.Error(got)
	}
	wrong = o.settings
	wrong.PostgresURL = app.Secret(o.db.URL(postgres.RoleArchiver))
	if got := open(wrong); !strings.Contains(got, "the role neuronx_archiver at Postgres is another service's: this one needs neuronx_projector") {
		t.Error(got)
	}
	wrong = o.settings
	wrong.PostgresURL = app.Secret(postgrestest.New(t).URL(postgres.RoleProjector))
	if got := open(wrong); !strings.Contains(got, "the database lacks") || !strings.Contains(got, "neuronx provision --execute") {
		t.Error(got)
	}
}
