package reseed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
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
	"github.com/neuronx/engine/services/rules/timers"
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

// archived puts events of a tenant into the archive, as the archiver does, under the sequences from 1 on.
func (l *lost) archived(t *testing.T, tenant string, events ...event.Event) {
	t.Helper()
	id, schema, err := l.opt.Registry.ByType(t.Context(), "lead.qualified")
	if err != nil {
		t.Fatal(err)
	}
	body, err := schema.EncodeMap(map[string]any{"lead_id": "1"})
	if err != nil {
		t.Fatal(err)
	}
	l.exec(t, `SELECT neuronx.ensure_tenant($1)`, tenant)
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for i, e := range events {
		e.TenantID, e.Type, e.Source, e.Subject, e.Value = tenant, "lead.qualified", "/test", "lead/1", event.Frame(id, body)
		r := event.Recorded{Event: e, Sequence: int64(i + 1), Position: event.PositionAt(at.UnixMilli()) + int64(i), RecordedTime: at, LogID: "old",
			Partition: kafka.PartitionFor([]byte(tenant), kafkatest.Partitions), Offset: int64(i)}
		stored, err := archive.Stored(r, schema.Fingerprint())
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(stored)
		l.exec(t, `INSERT INTO neuronx.tenant_events (tenant_id, sequence, position, event_id, event_type, subject, source, recorded_at, correlation_id, causation_id,
			schema_id, log_id, log_partition, log_offset, hash, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10, 'old', $11, $12, $13, $14)`,
			tenant, r.Sequence, r.Position, r.ID, r.Type, r.Subject, r.Source, at, r.CausationID, id, r.Partition, r.Offset, hash[:], stored)
	}
}

// A number that the sequencer knows is used up drops every event that a deriver puts into its outbox under it, or refuses it.
func TestRun_GoesOnWithTheNumbersOfEveryDeriver(t *testing.T) {
	l := newLost(t)
	derivers := append(event.Derivers(), "of-a-newer-build")
	var events []event.Event
	for i, deriver := range derivers {
		events = append(events, event.Event{ID: "of-" + deriver, Deriver: deriver, DeriverNumber: int64(i + 3)})
		l.exec(t, `INSERT INTO neuronx.outbox_numbers (tenant_id, deriver, last) VALUES ('acme', $1, $2)`, deriver, i+5) // two stood in the tail that is gone
	}
	l.archived(t, "acme", events...)
	if _, err := Run(t.Context(), l.opt); err != nil {
		t.Fatal(err)
	}
	for i, deriver := range derivers {
		var last int64
		if err := l.pool.QueryRow(t.Context(), `SELECT last FROM neuronx.outbox_numbers WHERE tenant_id = 'acme' AND deriver = $1`, deriver).Scan(&last); err != nil || last != int64(i+3) {
			t.Errorf("%s goes on behind %d (%v), want behind %d", deriver, last, err, i+3)
		}
	}
}

// The fold arms again every timer whose firing the archive lacks: one that waits in the outbox, too, would fire twice.
func TestRun_DropsFiringsOfTimersThatAreArmedAgain(t *testing.T) {
	for tenant, applied := range map[string]int64{"ahead": 2, "level": 1} {
		l := newLost(t)
		l.archived(t, tenant, event.Event{ID: "armed-it"})
		id := "armed-it"
		if applied > 1 {
			id = "in-the-lost-tail"
		}
		l.exec(t, `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, sequence, event_id, log_id) VALUES ($1, 1, $2, $3, $4, $5, 'old')`,
			kafka.GroupRules, tenant, kafka.PartitionFor([]byte(tenant), kafkatest.Partitions), applied, id)
		firing := event.Event{TenantID: tenant, ID: timers.EventID(tenant, "t-1", 0), Type: timers.Type, Source: "/test", Subject: "timer/t-1", CausationID: "armed-it", Value: []byte("x")}
		if err := pgx.BeginFunc(t.Context(), l.pool, func(tx pgx.Tx) error { return outbox.New(timers.Deriver, l.opt.Keys).Add(t.Context(), tx, &firing) }); err != nil {
			t.Fatal(err)
		}
		report, err := Run(t.Context(), l.opt)
		if err != nil {
			t.Fatal(err)
		}
		if want := int(applied - 1); report.Dropped != want {
			t.Errorf("%s: %d firings were dropped, want %d", tenant, report.Dropped, want)
		}
	}
}
