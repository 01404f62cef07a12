package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	err     error
}

// rowColumns are those that scanRow reads, of a row o of neuronx.outbox; the record of a fat row stays where it is.
const rowColumns = `o.number, o.event_id, o.seal, o.created_at, octet_length(o.record), CASE WHEN octet_length(o.record) <= 1048576 THEN o.record END,
	CASE WHEN o.seal = '' THEN EXISTS (SELECT FROM neuronx.outbox_unsealed u WHERE u.tenant_id = o.tenant_id AND u.deriver = o.deriver AND u.number = o.number
		AND u.digest = sha256(o.record)) ELSE false END`

func scanRow(tenant, deriver string) pgx.RowToFunc[*row] {
	return func(r pgx.CollectableRow) (*row, error) {
		x := &row{tenant: tenant, deriver: deriver, err: errUnsent}
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

var errUnsent = errors.New("not acknowledged")

// send produces rows, waits for every acknowledgement and moves the cursors up to each tenant's first failure. A row that must not be
// sent is set aside, and the next pass goes on; aside tells that there was one. moved tells that any row was acknowledged.
func (s *Sender) send(ctx context.Context, batch []*row, sealed bool) (moved, aside bool) {
	var wg sync.WaitGroup
	unsent := map[string]bool{}
	for _, r := range batch {
		if unsent[r.tenant] {
			continue // behind one that is not sent: the sequencer would ignore the jump
		}
		e, err := vet(s.box.keys, r, sealed)
		if err != nil {
			unsent[r.tenant] = true
			if r.err = err; !errors.Is(err, ErrNewer) && (!errors.Is(err, errUnknownKey) || s.above(ctx, r)) {
				r.err = s.forbid(ctx, r, err)
			}
			continue
		}
		s.box.keys.Sign(&e) // now, not when stored: keys are rotated while rows wait
		wg.Add(1)
		s.cfg.Producer.ProduceAsync(kafka.ToRecord(kafka.TopicIngress, &e), func(_ *kafka.Record, err error) {
			r.err = err
			wg.Done()
		})
	}
	// Acknowledgements come or fail within the producer's own time-out, so this ends; leaving earlier would race with them.
	wg.Wait()
	stopped, now := map[string]bool{}, time.Now()
	for _, r := range batch {
		if stopped[r.tenant] {
			continue
		}
		c := s.sent[r.tenant]
		if errors.Is(r.err, errSetAside) {
			aside, stopped[r.tenant] = true, true
			continue
		}
		if r.err != nil {
			stopped[r.tenant] = true
			s.box.metrics.failed.Inc()
			if ctx.Err() == nil && c.failing != r.err.Error() {
				c.failing = r.err.Error()
				s.box.log.Error("derived event could not be sent; its tenant waits", "tenant", r.tenant, "deriver", s.box.deriver, "number", r.number, "err", r.err)
			}
			continue
		}
		c.failing = ""
		s.box.metrics.sent.Inc()
		if r.number == c.low {
			c.since = now
		}
		c.through, c.sentAt, moved = r.number, now, true
	}
	return moved, aside
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
