package reseed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/kafkatest"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres/postgrestest"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/provision"
	"github.com/neuronx/engine/services/rules"
)

// lost is an installation whose Kafka was recreated.
type lost struct {
	opt  Options
	pool *pgxpool.Pool
}

func newLost(t *testing.T) *lost {
	t.Helper()
	db := postgrestest.New(t, provision.Migrations()...)
	cfg := kafkatest.Start(t)
	server := registry.NewServer(cfg, slog.New(slog.DiscardHandler))
	web := httptest.NewServer(server)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	client, err := registry.NewClient(web.URL, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); web.Close(); stop(); <-ended })
	kafkatest.WaitFor(t, "the schemas", func(ctx context.Context) bool { _, err := provision.Schemas(ctx, client, true); return err == nil })
	return &lost{pool: db.Pool(t, ""), opt: Options{
		Kafka: cfg, AdminURL: app.Secret(db.AdminURL), Registry: client, Keys: event.NewKeyring(), Log: slog.New(slog.DiscardHandler),
		Progress: t.Logf, Execute: true,
	}}
}

func (l *lost) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := l.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// put fills an outbox of a tenant.
func (l *lost) put(t *testing.T, deriver, typ string, data map[string]any, ids ...string) {
	t.Helper()
	id, schema, err := l.opt.Registry.ByType(t.Context(), typ)
	if err != nil {
		t.Fatal(err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		t.Fatal(err)
	}
	var events []*event.Event
	for _, name := range ids {
		events = append(events, &event.Event{TenantID: "ghost", ID: name, Type: typ, Source: "/test", Subject: "lead/1", CausationID: "gone", Value: event.Frame(id, body)})
	}
	if err := pgx.BeginFunc(t.Context(), l.pool, func(tx pgx.Tx) error { return outbox.New(deriver, l.opt.Keys).Add(t.Context(), tx, events...) }); err != nil {
		t.Fatal(err)
	}
}

func TestRun_FreesWhatPointsAtTheLostKafkaAlsoOfTenantsThatWereNeverArchived(t *testing.T) {
	l := newLost(t)
	gone := uuid.New()
	l.exec(t, `INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset) VALUES ($1, 1, $2, 3, $3, 9)`,
		kafka.GroupRules, kafka.TopicEvents, gone)
	l.exec(t, `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id) VALUES ($1, 1, 'ghost', $2, 4, 'e4', 'old')`,
		kafka.GroupRules, kafka.PartitionFor([]byte("ghost"), kafkatest.Partitions))
	l.put(t, rules.Deriver, "lead.qualified", map[string]any{"lead_id": "1"}, "d1", "d2")
	l.put(t, deadletter.Deriver, "engine.dead_letter.dropped",
		map[string]any{"topic": kafka.TopicIngress, "partition": int32(0), "offset": int64(17), "code": "too_large", "refused_id": nil, "by": nil, "reason": "why"}, "dropped-17")

	report, err := Run(t.Context(), l.opt)
	if err != nil {
		t.Fatal(err)
	}
	if report.Done || report.Dropped != 2 || len(report.Lost) != 1 {
		t.Errorf("%+v", report)
	}
	var topic uuid.UUID
	var next, sequence, last int64
	var record []byte
	err = l.pool.QueryRow(t.Context(), `SELECT (SELECT topic_id FROM neuronx.partition_progress), (SELECT next_offset FROM neuronx.partition_progress),
		(SELECT sequence FROM neuronx.progress), (SELECT last FROM neuronx.outbox_numbers WHERE deriver = 'rules'), (SELECT record FROM neuronx.outbox)`).
		Scan(&topic, &next, &sequence, &last, &record)
	if err != nil || topic == gone || next != 0 || sequence != 0 || last != 0 {
		t.Fatalf("topic %s, next %d, sequence %d, last number %d, %v", topic, next, sequence, last, err)
	}
	e, err := outbox.Decode("ghost", record)
	if err != nil {
		t.Fatal(err)
	}
	id, body, err := event.Unframe(e.Value)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := l.opt.Registry.SchemaByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := schema.Decode(body)
	if name, _ := data["topic"].(string); err != nil || !strings.HasPrefix(name, kafka.TopicIngress+"@before-") {
		t.Errorf("a decision that waits names the letter %v of another ingress, %v", data["topic"], err)
	}
	if again, err := Run(t.Context(), l.opt); err != nil || !again.Done {
		t.Errorf("a second run: %+v, %v", again, err)
	}
}

func TestRun_RefusesARoleThatDoesNotSeeEveryRowWhileServicesRunAndALogThatIsNotEmpty(t *testing.T) {
	l := newLost(t)
	refused := func(name, want string) {
		t.Helper()
		var r *Refused
		if _, err := Run(t.Context(), l.opt); !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root := l.opt.AdminURL
	for role, may := range map[string]bool{"reseed_reader": false, "reseed_member": false, "reseed_agent": true} {
		l.exec(t, `DO $$ BEGIN CREATE ROLE `+role+` LOGIN PASSWORD 'test'; EXCEPTION WHEN duplicate_object THEN ALTER ROLE `+role+` PASSWORD 'test'; END $$`)
		t.Cleanup(func() {
			if _, err := l.pool.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
				t.Error(err)
			}
		})
		if role != "reseed_reader" {
			l.exec(t, `GRANT neuronx_owner TO `+role)
		}
		if may {
			l.exec(t, `ALTER ROLE `+role+` BYPASSRLS`)
		}
		u, err := url.Parse(root.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		l.exec(t, `GRANT CONNECT ON DATABASE `+strings.TrimPrefix(u.Path, "/")+` TO `+role)
		u.User = url.UserPassword(role, "test")
		l.opt.AdminURL = app.Secret(u.String())
		if !may {
			refused(role, "row-level security hides")
			l.keepsNoLock(t, u.String())
			continue
		}
		dry := l.opt
		dry.Execute = false
		if _, err := Run(t.Context(), dry); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
	l.opt.AdminURL = root
	for _, group := range []string{kafka.GroupProjector, kafka.GroupLanding} {
		leave := kafkatest.Join(t, l.opt.Kafka, group, kafka.TopicEvents)
		refused(group, "group "+group+" is")
		leave()
	}
	kafkatest.Produce(t, l.opt.Kafka, &kafka.Record{Topic: kafka.TopicEvents, Value: []byte("x")})
	refused("something in the log", "a reseed needs it empty")
}

// keepsNoLock refuses a role, and looks while its connection is still open: what ends only with the connection refuses the next run.
func (l *lost) keepsNoLock(t *testing.T, role string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), role)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var r *Refused
	if _, err := (&run{db: pool}).lock(t.Context()); !errors.As(err, &r) {
		t.Errorf("the lock: %v", err)
	}
	locks := 0
	err = l.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE l.locktype = 'advisory' AND d.datname = current_database()`).Scan(&locks)
	if err != nil || locks > 0 {
		t.Errorf("a run that was refused keeps %d locks, %v", locks, err)
	}
}

func TestState_IsWrittenThoughAnEarlierRunDiedInItsTransaction(t *testing.T) {
	l := newLost(t)
	open := func() *run {
		t.Helper()
		adm, err := admin.New(l.opt.Kafka)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(adm.Close)
		r := &run{opt: l.opt, admin: adm}
		if err := r.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r
	}
	kafkatest.Abort(t, l.opt.Kafka, "neuronx.reseed", &kafka.Record{Topic: kafka.TopicState, Value: []byte("half")})
	report := &Report{Partitions: []Partition{{Partition: 2, records: [][]byte{[]byte("a"), []byte("b")}}}}
	for range 2 {
		if err := open().state(t.Context(), report); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range kafkatest.Consume(t, l.opt.Kafka, kafka.TopicState) {
			got += fmt.Sprintf("%d%s ", r.Partition, r.Value)
		}
		if got != "2a 2b " {
			t.Errorf("the state topic has %q", got)
		}
	}
}
