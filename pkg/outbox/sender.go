package outbox

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// Producer is the part of kafka.Producer that a Sender needs.
type Producer interface {
	ProduceAsync(rec *kafka.Record, done func(*kafka.Record, error))
}

// SenderConfig says from where, to where and for which partitions a Sender works. Zero durations mean the defaults.
type SenderConfig struct {
	Pool       *pgxpool.Pool
	Producer   Producer
	Owned      func() []int32 // partitions this process owns now
	Partitions int32          // partitions of neuronx.ingress

	Resend time.Duration // unseen for so long: sent again, and later each time that is in vain, up to 32 times as late; default 10 s
	Poll   time.Duration // how often rows are looked for when nothing was added lately; default 200 ms
	Batch  int           // rows of one pass; default 2,000

	Report func(error) // is told what became of each look into the outbox; may be nil
}

// Sender produces the rows of the tenants whose partitions are owned.
type Sender struct {
	box  *Outbox
	cfg  SenderConfig
	sent map[string]*cursor // by tenant; only a hint, see the package comment

	inFlight map[string]*flight // by tenant: rows that were handed to the producer and are not all answered

	active  map[string]time.Time // when a tenant last had rows to send; those of the last aloneAfter
	held    bool                 // the last pass left rows because as many of their tenants are on their way as may be
	counted time.Time            // when the gauge of waiting rows was set
}

// cursor is what a sender remembers of a tenant.
type cursor struct {
	through int64     // highest number sent
	sentAt  time.Time // when it was
	low     int64     // lowest number in the outbox when last looked
	since   time.Time // since when low is the lowest and sent
	again   int       // how often low was sent again in vain
	failing string    // what was said about the row that the tenant waits at; it is said once
}

const maxAgain = 5 // doublings of Resend

// Flow control. What a tenant derives goes through the same log as everybody's events, so a neighbour's event waits for all rows that were
// sent just before it, at each consumer once more. At most windowAlone rows of a tenant are on their way, that is, sent and not read back from the
// log or the dead letters, and fewer while other tenants derive events too; after windowWait without news the next window follows, so that
// nothing that is never read back stops a tenant.
const (
	windowAlone  = 256 // of a tenant while no other has rows
	windowShared = 32
	windowWait   = time.Second
	aloneAfter   = 2 * time.Second // without rows of others
	countEvery   = 5 * time.Second // how often waiting rows are counted: that costs a scan
)

// busyPoll is how often the sender looks for rows while transactions that added some may be committing: Add can't know when its
// transaction commits, and waiting for the idle poll would add a tenth of a second to every derived event. For the same reason an Add of
// this process ends the idle wait; while there are many Adds it does not, since each would cost a query.
const busyPoll, busyFor = 10 * time.Millisecond, time.Second

// NewSender makes a sender for the rows of o.
func (o *Outbox) NewSender(cfg SenderConfig) *Sender {
	if cfg.Resend == 0 {
		cfg.Resend = 10 * time.Second
	}
	if cfg.Poll == 0 {
		cfg.Poll = 200 * time.Millisecond
	}
	if cfg.Batch == 0 {
		cfg.Batch = 2000
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Sender{box: o, cfg: cfg, sent: map[string]*cursor{}, inFlight: map[string]*flight{}, active: map[string]time.Time{}}
}

// Run sends until ctx ends, then returns nil. A database that is away is waited for; it is logged and counted, not returned.
func (s *Sender) Run(ctx context.Context) error {
	for failures := 0; ; {
		more, err := s.pass(ctx, time.Now())
		if ctx.Err() != nil {
			return nil
		}
		s.cfg.Report(err)
		wait := s.cfg.Poll
		switch {
		case err != nil:
			s.box.log.Error("the outbox cannot be read; derived events wait until it can", "deriver", s.box.deriver, "err", err)
			wait = max(wait, backoff.Pause(failures))
			failures++
		case more:
			failures = 0
			continue
		case s.held || time.Since(time.Unix(0, s.box.added.Load())) < busyFor:
			wait = min(busyPoll, wait)
			failures = 0
		default:
			failures = 0
			if !s.idle(ctx, wait) {
				return nil
			}
			continue
		}
		if backoff.Wait(ctx, wait) != nil {
			return nil
		}
	}
}

// idle waits until something is added, or as long as rows of others may wait; false means that ctx ended first.
func (s *Sender) idle(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.box.wake:
	case <-t.C:
	}
	return true
}

// tenantRows sums up the outbox of a tenant.
type tenantRows struct {
	tenant    string
	low, high int64
	oldest    time.Time
	room      int64 // rows that may be sent now
}

// pass sends once what needs to be sent, and reports whether there is more to send at once.
func (s *Sender) pass(ctx context.Context, now time.Time) (more bool, err error) {
	s.collect(ctx)
	all, err := s.survey(ctx)
	if err != nil {
		return false, err
	}
	owned := map[int32]bool{}
	for _, p := range s.cfg.Owned() {
		owned[p] = true
	}
	next := make(map[string]*cursor, len(all))
	oldest, noticed := now, s.box.noticedOf(all)
	var mine []string
	var waiting, failing []tenantRows
	maps.DeleteFunc(s.active, func(_ string, last time.Time) bool { return now.Sub(last) > aloneAfter })
	for _, t := range all {
		if !owned[kafka.PartitionFor([]byte(t.tenant), s.cfg.Partitions)] {
			continue // and forget its cursor: when it comes back, all is sent again
		}
		mine = append(mine, t.tenant)
		if t.oldest.Before(oldest) {
			oldest = t.oldest
		}
		if s.inFlight[t.tenant] != nil { // nothing of it is sent until what is on its way is answered, or it would be there twice
			if c := s.sent[t.tenant]; c != nil {
				next[t.tenant] = c
			}
			continue
		}
		c := s.advance(t, now)
		next[t.tenant] = c
		switch {
		case c.through >= t.high:
		case c.failing != "":
			failing = append(failing, t)
		default:
			s.active[t.tenant] = now
			waiting = append(waiting, t)
		}
	}
	ready := waiting[:0]
	for _, t := range waiting {
		if t.room = next[t.tenant].room(max(noticed[t.tenant], t.low-1), s.window(), now); t.room > 0 {
			ready = append(ready, t)
		}
	}
	s.held = len(ready) < len(waiting)
	batch, more, err := s.loadShares(ctx, ready, failing, next)
	if err != nil {
		return false, err
	}
	s.sent = next
	if err := s.count(ctx, mine, now); err != nil {
		return false, err
	}
	s.box.metrics.oldest.Set(now.Sub(oldest).Seconds())
	if len(batch) == 0 {
		return more, ctx.Err()
	}
	sealed, err := sealsRequired(ctx, s.cfg.Pool)
	if err != nil {
		return false, err
	}
	moved, aside := s.send(ctx, batch, sealed)
	return moved && more || aside, ctx.Err()
}

// leastShare is how many rows of a tenant are loaded at least, where there are so many: a query a row would cost more than it is fair.
const leastShare = 100

// loadShares loads what one pass sends: of each waiting tenant an equal share of the room, so that a long backlog of one does not hold up
// the others, and of a tenant that waits at a row which can't be sent that row alone. more tells that something was left for the next pass.
func (s *Sender) loadShares(ctx context.Context, waiting, failing []tenantRows, cursors map[string]*cursor) (batch []*row, more bool, err error) {
	room, bytes := s.cfg.Batch, maxBatchBytes
	for i, t := range append(waiting, failing...) {
		if room <= 0 || bytes <= 0 {
			return batch, true, nil
		}
		limit, most := 1, 1
		if left := len(waiting) - i; left > 0 {
			limit, most = min(room, max(leastShare, room/left), int(t.room)), max(bytes/left, bytes/16)
		}
		rows, err := s.load(ctx, t.tenant, cursors[t.tenant].through, limit, most)
		if err != nil {
			return nil, false, err
		}
		for _, r := range rows {
			bytes -= len(r.record)
		}
		room -= len(rows)
		more = more || len(rows) > 0 && rows[len(rows)-1].number < t.high
		batch = append(batch, rows...)
	}
	return batch, more, nil
}

// window is how many rows of a tenant may be on their way.
func (s *Sender) window() int64 {
	if len(s.active) > 1 {
		return windowShared
	}
	return windowAlone
}

// room is how many rows of a tenant may be sent now, when back is the highest number that was read back.
func (c *cursor) room(back, window int64, now time.Time) int64 {
	if now.Sub(c.sentAt) >= windowWait {
		return window
	}
	return window - max(c.through-back, 0)
}

// advance brings a tenant's cursor up to what the outbox holds now.
func (s *Sender) advance(t tenantRows, now time.Time) *cursor {
	c := s.sent[t.tenant]
	switch {
	case c == nil:
		return &cursor{through: t.low - 1, low: t.low, since: now}
	case t.low != c.low:
		c.low, c.since, c.again = t.low, now, 0
		// Rows that went below the cursor (a Postgres restored under our feet) were never sent by us.
		if t.high < c.through {
			c.through = t.low - 1
		}
	case c.low <= c.through && now.Sub(c.since) >= s.cfg.Resend<<c.again:
		// Of a tenant that is stalled here nothing is ever seen, and a large outbox sent every few seconds would crowd others out of ingress.
		s.box.metrics.resent.Inc()
		s.box.log.Warn("derived events were not seen in the log; sending them again",
			"tenant", t.tenant, "deriver", s.box.deriver, "from_number", t.low, "to_number", t.high)
		c.through, c.since, c.again = t.low-1, now, min(c.again+1, maxAgain)
	}
	return c
}

// survey sums up each tenant's rows by a few index look-ups, however many there are: it is asked a hundred times a second.
func (s *Sender) survey(ctx context.Context) ([]tenantRows, error) {
	rows, err := s.cfg.Pool.Query(ctx, `WITH RECURSIVE t (tenant_id) AS (
			(SELECT tenant_id FROM neuronx.outbox ORDER BY tenant_id LIMIT 1)
			UNION ALL
			SELECT (SELECT o.tenant_id FROM neuronx.outbox o WHERE o.tenant_id > t.tenant_id ORDER BY o.tenant_id LIMIT 1) FROM t WHERE t.tenant_id IS NOT NULL
		)
		SELECT t.tenant_id, low.number, high.number, low.created_at FROM t
		 CROSS JOIN LATERAL (SELECT number, created_at FROM neuronx.outbox o WHERE o.tenant_id = t.tenant_id AND o.deriver = $1 ORDER BY number LIMIT 1) low
		 CROSS JOIN LATERAL (SELECT number FROM neuronx.outbox o WHERE o.tenant_id = t.tenant_id AND o.deriver = $1 ORDER BY number DESC LIMIT 1) high
		 ORDER BY low.created_at`, s.box.deriver)
	return postgres.Collect(rows, err, "survey outbox", func(r pgx.CollectableRow) (t tenantRows, err error) {
		return t, r.Scan(&t.tenant, &t.low, &t.high, &t.oldest)
	})
}

// count sets the gauge of waiting rows from time to time.
func (s *Sender) count(ctx context.Context, tenants []string, now time.Time) error {
	if now.Sub(s.counted) < countEvery && len(tenants) > 0 {
		return nil
	}
	var n int64
	if len(tenants) > 0 {
		if err := s.cfg.Pool.QueryRow(ctx, `SELECT count(*) FROM neuronx.outbox WHERE deriver = $1 AND tenant_id = ANY($2)`, s.box.deriver, tenants).Scan(&n); err != nil {
			return fmt.Errorf("count outbox rows: %w", err)
		}
	}
	s.counted = now
	s.box.metrics.pending.Set(float64(n))
	return nil
}
