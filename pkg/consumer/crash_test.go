package consumer_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// faulty breaks the connection at the n-th statement that writes or ends a transaction: before the server sees it, or after it did but
// before its answer comes back.
type faulty struct {
	n       int32
	after   bool
	count   atomic.Int32
	tripped atomic.Bool
}

// cuttable is a connection whose answers can be cut off.
type cuttable struct {
	net.Conn
	deaf atomic.Bool
}

func (c *cuttable) Read(b []byte) (int, error) {
	if c.deaf.Load() {
		// The server gets what was written, and does it; only the answer is lost.
		_, _ = c.Conn.Read(b)
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

func (f *faulty) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if f.count.Add(1) != f.n || f.tripped.Swap(true) {
		return ctx
	}
	if f.after {
		if c, ok := conn.PgConn().Conn().(*cuttable); ok {
			c.deaf.Store(true)
		}
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func (f *faulty) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (f *faulty) pool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Tracer = f
	dial := &net.Dialer{}
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cuttable{Conn: c}, nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// TestCrash_AtEveryStatementLeavesTheFold makes each statement of a batch and of a catch-up fail in turn, before the server did it and
// after, in a process that dies of it and in one that tries again. Every event must be applied once, in every generation.
func TestCrash_AtEveryStatementLeavesTheFold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		VALUES ('neuronx.projector', 1, 'neuronx.events', 0, gen_random_uuid(), 0)`)
	tenants := []string{"acme", "globex", "initech"}
	var log []*kafka.Record // partition 0
	rounds := 0
	for _, after := range []bool{false, true} {
		for _, budget := range []time.Duration{time.Nanosecond, 20 * time.Second} {
			step := int32(1)
			if budget > time.Second {
				step = 3
			}
			for n := int32(1); ; n += step {
				for _, tenant := range tenants {
					events := f.next(tenant, 4)
					f.archive.add(events...)
					for i := range events {
						rec := kafka.RecordedToRecord(&events[i])
						rec.Partition, rec.Offset = 0, int64(len(log))
						log = append(log, rec)
					}
				}
				if n == 10 { // from here on there is a second generation to build
					f.exec(`INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, state)
						SELECT consumer, 1 + max(generation), tenant_id, 0, 'catching-up' FROM neuronx.progress GROUP BY consumer, tenant_id`)
				}
				fault := &faulty{n: n, after: after}
				pool := fault.pool(t, f.db.URL(postgres.RoleProjector))
				err := f.read(pool, budget, log)
				pool.Close()
				if err != nil && budget > time.Second {
					t.Fatalf("fault at statement %d, after the server did it %t: %v", n, after, err)
				}
				if err := f.read(f.pool, 20*time.Second, log); err != nil {
					t.Fatalf("restart after a fault at statement %d: %v", n, err)
				}
				if rounds++; !fault.tripped.Load() {
					break
				}
			}
		}
	}
	rows, err := consumer.Rows(context.Background(), f.admin, kafka.GroupProjector, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Sequence != f.heads[r.TenantID] || r.State != consumer.Live {
			t.Errorf("%s generation %d ended at %d %s, the log at %d", r.TenantID, r.Generation, r.Sequence, r.State, f.heads[r.TenantID])
		}
		f.wantApplied(r.TenantID, r.Generation, r.Sequence)
	}
	t.Logf("%d rounds, %d generations", rounds, len(rows))
	if rounds < 60 || len(rows) < 9 {
		t.Errorf("only %d rounds and %d generations: the faults did not land", rounds, len(rows))
	}
}

// read does what a process does that starts, reads from its row to the end of the log, and catches up.
func (f *fixture) read(pool *pgxpool.Pool, budget time.Duration, log []*kafka.Record) error {
	f.t.Helper()
	ctx := context.Background()
	var next int64
	if err := f.admin.QueryRow(ctx, `SELECT next_offset FROM neuronx.partition_progress`).Scan(&next); err != nil {
		f.t.Fatal(err)
	}
	cfg := f.config()
	cfg.Pool, cfg.RetryBudget = pool, budget
	c, err := consumer.New(cfg, &recorder{})
	if err != nil {
		f.t.Fatal(err)
	}
	if next < int64(len(log)) {
		at := map[kafka.TopicPartition]int64{{Topic: kafka.TopicEvents, Partition: 0}: next}
		if err := c.HandleAs(ctx, at, log[next:]); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		err := c.CatchUpAs(ctx, []int32{0})
		if err == nil || budget < time.Second || try == 5 {
			return err
		}
	}
}
