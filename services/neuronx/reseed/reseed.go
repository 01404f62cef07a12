package reseed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/kafka/topology"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/ingest/sequencer/statelog"
)

// Options of a reseed.
type Options struct {
	Kafka     kafka.Config
	AdminURL  app.Secret // a superuser, or BYPASSRLS and neuronx_owner: rows of every service are changed
	Registry  *registry.Client
	Keys      *event.Keyring
	Tenants   []string      // empty: all. The others are left out of the new log, and the sequencer refuses them
	KeyWindow time.Duration // as the services have it; 0: the default
	Execute   bool
	Log       *slog.Logger
	Progress  func(format string, args ...any) // for a person
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// run is one run.
type run struct {
	opt       Options
	db        *pgxpool.Pool
	admin     *admin.Client
	producer  *kafka.Producer
	ids       map[string][16]byte // of the topics
	starts    map[kafka.TopicPartition]int64
	ends      map[kafka.TopicPartition]int64
	consumers []string
	numbers   map[int32]int32 // of schemas: then to now
}

// groups are all that move when the services run.
func groups() []string { return append(kafka.Groups(), kafka.GroupLanding) }

var topics = []string{kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState}

// Run rebuilds the log, or says what it would do. The error is a *Refused when it would not be safe; then nothing was changed.
func Run(ctx context.Context, o Options) (*Report, error) {
	db, err := postgres.Open(ctx, o.AdminURL.Reveal(), postgres.AllowSuperuser(), postgres.Application("neuronx-reseed"), postgres.MaxConns(4))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	adm, err := admin.New(o.Kafka)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	o.Tenants = append([]string{}, o.Tenants...) // an empty list, not NULL, means all
	r := &run{opt: o, db: db, admin: adm}
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	heads, err := loadHeads(ctx, db, o.Tenants, r.partitions())
	if err != nil {
		return nil, err
	}
	if err := chosen(heads, o.Tenants); err != nil {
		return nil, err
	}
	rows, err := loadRows(ctx, db, o.Tenants)
	if err != nil {
		return nil, err
	}
	report, state, err := r.begin(ctx, heads)
	if err != nil || report.Done {
		return report, err
	}
	if report.LeftOut, err = tenantsLeftOut(ctx, db, o.Tenants); err != nil {
		return nil, err
	}
	archived := map[string]int64{}
	for _, h := range heads {
		archived[h.Tenant] = h.Sequence
	}
	if state == stateWriting {
		report.Lost = findLost(rows, archived)
		if err := check(rows, archived); err != nil {
			return report, err
		}
	}
	if !o.Execute {
		return report, nil
	}
	return report, r.execute(ctx, report, heads, rows, state)
}

const (
	stateWriting = "writing"
	stateRows    = "rows"
	stateDone    = "done"
)

// lock keeps a second run away, and refuses a role that does not see every row.
func (r *run) lock(ctx context.Context) (func(), error) {
	conn, err := r.db.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	var sees, locked bool
	err = conn.QueryRow(ctx, `SELECT sees, sees AND pg_try_advisory_lock(hashtextextended('neuronx log reseed', 0)) FROM (
		SELECT rolsuper OR rolbypassrls AND pg_has_role('neuronx_owner', 'USAGE') AS sees FROM pg_roles WHERE rolname = current_user) AS role`).Scan(&sees, &locked)
	switch {
	case err != nil:
		err = fmt.Errorf("lock: %w", err)
	case !sees:
		err = refuse("row-level security hides the rows that have to fit the new log: the role must be a superuser, or have BYPASSRLS and be a member of neuronx_owner")
	case !locked:
		err = refuse("another reseed is running")
	}
	if err != nil {
		conn.Release()
		return nil, err
	}
	return func() {
		ctx := context.WithoutCancel(ctx)
		// The end of the session ends the lock, too, but some time after this process has gone on: a second run would be refused.
		_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtextextended('neuronx log reseed', 0))`)
		_ = conn.Conn().Close(ctx)
		conn.Release()
	}, nil
}

// look asks Kafka what is there, and refuses while a service runs.
func (r *run) look(ctx context.Context) (err error) {
	if err := topology.Check(ctx, r.opt.Kafka, true); err != nil {
		return refuse("%v", err)
	}
	for _, group := range groups() {
		g, err := r.admin.DescribeGroup(ctx, group)
		if err != nil {
			return err
		}
		if !g.Inactive() {
			return refuse("group %s is %s with %d members: stop every service", group, g.State, len(g.Members))
		}
		if group != kafka.GroupSequencer && group != kafka.GroupLanding {
			r.consumers = append(r.consumers, group)
		}
	}
	if r.ids, err = r.admin.TopicIDs(ctx, topics...); err != nil {
		return err
	}
	if r.starts, err = r.admin.StartOffsets(ctx, topics...); err != nil {
		return err
	}
	r.ends, err = r.admin.EndOffsets(ctx, admin.ReadUncommitted, topics...)
	return err
}

func (r *run) partitions() int32 {
	n := int32(0)
	for tp := range r.ends {
		if tp.Topic == kafka.TopicEvents {
			n++
		}
	}
	return n
}

// filled counts offsets that a topic has used.
func (r *run) filled(topic string) int64 {
	n := int64(0)
	for tp, end := range r.ends {
		if tp.Topic == topic {
			n += end - r.starts[tp]
		}
	}
	return n
}

// begin finds an interrupted run of this topic, or makes the plan of a new one.
func (r *run) begin(ctx context.Context, heads []archive.Head) (*Report, string, error) {
	id := uuid.UUID(r.ids[kafka.TopicEvents])
	var state string
	var logs, tenants []string
	err := r.db.QueryRow(ctx, `SELECT state, logs, tenants FROM neuronx.reseeds WHERE topic_id = $1`, id).Scan(&state, &logs, &tenants)
	fresh := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !fresh {
		return nil, "", fmt.Errorf("look for an interrupted reseed: %w", err)
	}
	report := &Report{Lost: []Lost{}}
	if state == stateDone {
		report.Done = true
		return report, state, nil
	}
	if fresh {
		state = stateWriting
		for _, topic := range []string{kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicState} {
			if n := r.filled(topic); n > 0 {
				return nil, "", refuse("%s holds %d records: a reseed needs it empty. Where its log is torn or its services have run, "+
					"delete the engine's topics and provision them again", topic, n)
			}
		}
		for range r.partitions() {
			logs = append(logs, uuid.NewString())
		}
		tenants = r.opt.Tenants
	}
	if !slices.Equal(tenants, r.opt.Tenants) {
		return nil, "", refuse("the reseed that was interrupted was for the tenants %v: finish it first", tenants)
	}
	for p := range r.partitions() {
		part := Partition{Partition: p, LogID: logs[p]}
		for _, h := range heads {
			if h.Partition == p {
				part.Tenants++
				part.Events += h.Sequence
			}
		}
		report.Partitions = append(report.Partitions, part)
	}
	if fresh && r.opt.Execute {
		if _, err := r.db.Exec(ctx, `INSERT INTO neuronx.reseeds (topic_id, state, tenants, logs) VALUES ($1, $2, $3, $4)`, id, stateWriting, tenants, logs); err != nil {
			return nil, "", fmt.Errorf("note the reseed: %w", err)
		}
	}
	return report, state, nil
}

func (r *run) execute(ctx context.Context, report *Report, heads []archive.Head, rows []row, state string) error {
	if err := r.schemas(ctx); err != nil {
		return err
	}
	var err error
	if r.producer, err = kafka.NewProducer(r.opt.Kafka, 5*time.Millisecond, nil); err != nil {
		return err
	}
	defer r.producer.Close()
	reader := archive.NewReader(r.db)
	for i := range report.Partitions {
		p := &report.Partitions[i]
		mine := slices.DeleteFunc(slices.Clone(heads), func(h archive.Head) bool { return h.Partition != p.Partition })
		if err := r.write(ctx, reader, p, mine, rows); err != nil {
			return err
		}
		if p.Events > 0 {
			r.opt.Progress("partition %d: %d events of %d tenants, %d written now", p.Partition, p.Events, p.Tenants, p.Written)
		}
	}
	if state == stateWriting {
		if err := r.rewrite(ctx, reader, heads, report); err != nil {
			return err
		}
	}
	// What the old groups committed are places in a log that is gone; the sequencer would wait for them in vain. Landing topics that are
	// left are forwarded from their beginnings: what was lost after forwarding is still in them, the rest is a duplicate by its id.
	for _, group := range groups() {
		if err := r.admin.DeleteGroup(ctx, group); err != nil {
			return err
		}
	}
	if err := r.state(ctx, report); err != nil {
		return err
	}
	_, err = r.db.Exec(ctx, `UPDATE neuronx.reseeds SET state = $2, ended_at = now() WHERE topic_id = $1`, uuid.UUID(r.ids[kafka.TopicEvents]), stateDone)
	return err
}

// state gives the sequencer its state, of all partitions at once: from then on services may run.
func (r *run) state(ctx context.Context, report *Report) error {
	done, err := r.stated(ctx)
	if err != nil || done {
		return err // an earlier run came this far: nobody else could have written it
	}
	var recs []*kafka.Record
	for _, p := range report.Partitions {
		for _, value := range p.records {
			recs = append(recs, &kafka.Record{Topic: kafka.TopicState, Partition: p.Partition, Value: value, Headers: statelog.Seal(r.opt.Keys, value)})
		}
	}
	if len(recs) == 0 {
		return nil
	}
	return txn.Produce(ctx, r.opt.Kafka, "neuronx.reseed", recs)
}

// stated reports whether the state is there. Offsets alone do not say it: an earlier run may have died in its transaction.
func (r *run) stated(ctx context.Context) (is bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, kafka.TxnTimeout+20*time.Second) // such a transaction is aborted by the broker by then
	defer cancel()
	for tp, end := range r.ends {
		if tp.Topic != kafka.TopicState {
			continue
		}
		if err := read.Range(ctx, r.opt.Kafka, tp.Topic, tp.Partition, r.starts[tp], end, func(*kafka.Record) error { is = true; return nil }); err != nil {
			return false, fmt.Errorf("look for the sequencer's state: %w", err)
		}
	}
	return is, nil
}

// known is a schema that the archive keeps.
type known struct {
	schema *avro.Schema
	then   int32 // its number until now
}

func (r *run) currentMoves(ctx context.Context) ([]known, error) {
	rows, err := r.db.Query(ctx, `SELECT s.schema, coalesce(m.schema_id, s.schema_id) AS number FROM neuronx.schemas s
		LEFT JOIN neuronx.schema_moves m USING (fingerprint) ORDER BY number`)
	return postgres.Collect(rows, err, "read the archive's schemas", func(row pgx.CollectableRow) (known, error) {
		var text string
		var k known
		if err := row.Scan(&text, &k.then); err != nil {
			return k, err
		}
		var err error
		k.schema, err = avro.Parse([]byte(text))
		return k, err
	})
}
