package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// maxBatchBytes bounds the records that one pass holds in memory, but for the one that reaches the bound.
const maxBatchBytes = 16 << 20

// row is one stored event on its way.
type row struct {
	tenant  string
	deriver string
	number  int64
	eventID string
	seal    string
	created time.Time
	noted   bool   // it waited without a seal when seals began (neuronx.outbox_unsealed)
	size    int    // of the record, in bytes
	record  []byte // nil if it is larger than maxStored
	unfit   bool   // it must not be sent; err says why
	err     error  // what became of it
}

// rowColumns are those that scanRow reads, of a row o of neuronx.outbox; the record of a fat row stays where it is.
const rowColumns = `o.number, o.event_id, o.seal, o.created_at, octet_length(o.record), CASE WHEN octet_length(o.record) <= 1048576 THEN o.record END,
	CASE WHEN o.seal = '' THEN EXISTS (SELECT FROM neuronx.outbox_unsealed u WHERE u.tenant_id = o.tenant_id AND u.deriver = o.deriver AND u.number = o.number
		AND u.digest = sha256(o.record)) ELSE false END`

func scanRow(tenant, deriver string) pgx.RowToFunc[*row] {
	return func(r pgx.CollectableRow) (*row, error) {
		x := &row{tenant: tenant, deriver: deriver}
		return x, r.Scan(&x.number, &x.eventID, &x.seal, &x.created, &x.size, &x.record, &x.noted)
	}
}

// load reads rows of a tenant above a number, in order, of at most so many and so many bytes, but at least one.
func (s *Sender) load(ctx context.Context, tenant string, above int64, limit, bytes int) ([]*row, error) {
	rows, err := s.cfg.Pool.Query(ctx, `SELECT `+rowColumns+`
		FROM (SELECT *, octet_length(record) AS size, sum(octet_length(record)) OVER (ORDER BY number) AS total
			FROM (SELECT * FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number > $3 ORDER BY number LIMIT $4) x) o
		WHERE total - size < $5 ORDER BY number`, tenant, s.box.deriver, above, limit, int64(max(bytes, 1)))
	return postgres.Collect(rows, err, "load outbox rows", scanRow(tenant, s.box.deriver))
}

// ackWait is how long a pass waits for the acknowledgements of what it sent. Kafka takes milliseconds; a partition without a leader, or with
// too few copies in sync, takes until it is repaired, because the producer never gives a record up.
const ackWait = time.Second

// flight is what was handed to the producer of one tenant's rows.
type flight struct {
	rows []*row        // in order; the last one may be one that must not be sent
	left atomic.Int64  // answers that are missing, and one until all rows were handed over
	done chan struct{} // closed with the last answer, after which rows may be read
}

func (f *flight) answered() {
	if f.left.Add(-1) == 0 {
		close(f.done)
	}
}

// send produces rows and moves the cursors up to each tenant's first failure, as soon as all of the tenant's rows are answered. It waits for
// that, but for ackWait at most: a tenant whose partition stores nothing stays on its way, and the others go on. A row that must not be sent
// is set aside, and the next pass goes on; aside tells that there was one. moved tells that any row was acknowledged.
func (s *Sender) send(ctx context.Context, batch []*row, sealed bool) (moved, aside bool) {
	var tenants []string
	for _, r := range batch {
		f := s.inFlight[r.tenant]
		if f == nil {
			f = &flight{done: make(chan struct{})}
			f.left.Store(1)
			s.inFlight[r.tenant], tenants = f, append(tenants, r.tenant)
		}
		if n := len(f.rows); n > 0 && f.rows[n-1].unfit {
			continue // behind one that is not sent: the sequencer would ignore the jump
		}
		f.rows = append(f.rows, r)
		e, err := vet(s.box.keys, r, sealed)
		if err != nil {
			r.unfit = true
			if r.err = err; !errors.Is(err, ErrNewer) && (!errors.Is(err, errUnknownKey) || s.above(ctx, r)) {
				r.err = s.forbid(ctx, r, err)
			}
			continue
		}
		s.box.keys.Sign(&e) // now, not when stored: keys are rotated while rows wait
		f.left.Add(1)
		s.cfg.Producer.ProduceAsync(kafka.ToRecord(kafka.TopicIngress, &e), func(_ *kafka.Record, err error) {
			r.err = err
			f.answered()
		})
	}
	patience := time.NewTimer(ackWait)
	defer patience.Stop()
	for _, tenant := range tenants {
		s.inFlight[tenant].answered()
	}
	for _, tenant := range tenants {
		select {
		case <-s.inFlight[tenant].done:
		case <-patience.C:
			return s.collect(ctx)
		case <-ctx.Done():
			return s.collect(ctx)
		}
	}
	return s.collect(ctx)
}

// collect takes what became of the flights that are over.
func (s *Sender) collect(ctx context.Context) (moved, aside bool) {
	for tenant, f := range s.inFlight {
		select {
		case <-f.done:
		default:
			continue
		}
		delete(s.inFlight, tenant)
		if c := s.sent[tenant]; c != nil { // else the partition was given away meanwhile: all is sent again when it comes back
			m, a := s.advanced(ctx, c, f.rows)
			moved, aside = moved || m, aside || a
		}
	}
	return moved, aside
}

// advanced moves a tenant's cursor up to its first failure.
func (s *Sender) advanced(ctx context.Context, c *cursor, rows []*row) (moved, aside bool) {
	now := time.Now()
	for _, r := range rows {
		if errors.Is(r.err, errSetAside) {
			return moved, true
		}
		if r.err != nil {
			s.box.metrics.failed.Inc()
			if ctx.Err() == nil && c.failing != r.err.Error() {
				c.failing = r.err.Error()
				s.box.log.Error("derived event could not be sent; its tenant waits", "tenant", r.tenant, "deriver", s.box.deriver, "number", r.number, "err", r.err)
			}
			return moved, false
		}
		c.failing = ""
		s.box.metrics.sent.Inc()
		if r.number == c.low {
			c.since = now
		}
		c.through, c.sentAt, moved = r.number, now, true
	}
	return moved, false
}

// errSetAside says that the row is gone, or a placeholder stands in its place.
var errSetAside = errors.New("set aside")

// above tells that a row's number was not given out yet. No process of the engine makes such a row, whatever key its seal names.
func (s *Sender) above(ctx context.Context, r *row) (above bool) {
	err := s.cfg.Pool.QueryRow(ctx, `SELECT $3::bigint > coalesce(max(last), 0) FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2`,
		r.tenant, r.deriver, r.number).Scan(&above)
	return err == nil && above // else it waits, and is looked at again
}

// forbid sets a row aside. It returns errSetAside, or why the row still stands there and its tenant has to wait.
func (s *Sender) forbid(ctx context.Context, r *row, why error) error {
	if err := pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error { return setAside(ctx, tx, s.box.keys, r, why) }); err != nil {
		return fmt.Errorf("must not be sent (%w), and could not be set aside: %w", why, err)
	}
	s.box.metrics.forbidden.Inc()
	s.box.log.Error("an outbox row must not be sent; it was moved to neuronx.outbox_forbidden. Find out who has the password of this role, and run: neuronx doctor",
		"tenant", r.tenant, "deriver", s.box.deriver, "number", r.number, "event", r.eventID, "reason", why)
	return errSetAside
}
