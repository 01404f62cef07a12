package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/pkg/stream"
)

const (
	chunk       = 500 // events of one catch-up transaction
	waitingRows = 64  // tenants looked at in one round

	longestPause = 2 * time.Second // after a chunk that a PartHandler ended early
	measureEvery = 10 * time.Second
)

// catcher catches up for one feed.
type catcher struct {
	*session
	feed  *feed
	woken chan struct{}

	after   Row                  // after which it looks on
	scanned map[string]time.Time // by tenant: when the log was last searched in vain
	chunks  map[string]int       // by tenant: see chunkOf
	early   bool                 // the last chunk was ended early

	measured time.Time // when the gauges were set
	applied  bool      // something was, since the feed was last taken back
}

func (s *session) newCatchers() []*catcher {
	var out []*catcher
	for _, f := range s.c.feeds {
		out = append(out, &catcher{session: s, feed: f, woken: make(chan struct{}, 1), scanned: map[string]time.Time{}, chunks: map[string]int{}})
	}
	return out
}

// catchUp feeds catching-up generations until ctx is done, then returns nil: from the archive, then from what the loop kept, then from
// the log. What fails is tried again after a pause: the loop and the other feeds go on meanwhile.
func (s *catcher) catchUp(ctx context.Context) error {
	activity := activityCatchUp
	if !s.feed.main {
		activity += " in feed " + s.feed.name
	}
	for failures := 0; ; {
		busy, err := s.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		report(s.c.cfg.Ready, activity, err)
		pause := s.c.cfg.PollEvery
		switch {
		case err != nil:
			s.log.Warn("catching up failed, trying again", "feed", s.feed.name, "err", err)
			pause = max(pause, backoff.Pause(failures))
			failures++
		case busy:
			failures = 0
			continue
		default:
			failures = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.woken:
		case <-time.After(pause):
		}
	}
}

// round takes every waiting generation of the owned partitions one chunk further. busy means that there is more to do now.
func (s *catcher) round(ctx context.Context) (busy bool, err error) {
	owned := s.c.Owned()
	if err := s.feed.skips.load(ctx, s.c.cfg.Pool, s.feed.consumer); err != nil {
		return false, err
	}
	rows, err := s.waiting(ctx, owned)
	if err != nil {
		return false, err
	}
	s.after = Row{}
	if len(rows) == waitingRows { // the rest is next: tenants that wait for long must not hide the others
		s.after, busy = rows[len(rows)-1], true
	}
	var problems []error
	for _, r := range rows {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err := s.measure(ctx, owned, measureEvery); err != nil {
			problems = append(problems, err)
		}
		begun := time.Now()
		s.early = false
		more, err := s.advance(ctx, r)
		if s.early { // the loop has waited for it: expensive tenants have a third of the time at most
			_ = backoff.Wait(ctx, min(2*time.Since(begun), longestPause))
		}
		if err != nil && !errors.Is(err, errRowMoved) {
			problems = append(problems, fmt.Errorf("tenant %s: %w", r.TenantID, err))
		}
		busy = busy || more
	}
	if err := s.measure(ctx, owned, 0); err != nil {
		problems = append(problems, err)
	}
	err = errors.Join(problems...)
	s.takeBack(ctx, err)
	return busy, err
}

// measure sets the gauges if they are older than that. A round over many expensive tenants takes minutes, and the engineer on call is not to
// wait for its end.
func (s *catcher) measure(ctx context.Context, owned []int32, older time.Duration) error {
	if s.feed != s.c.feeds[0] || time.Since(s.measured) < older { // one catcher is enough
		return nil
	}
	s.measured = time.Now()
	return s.gauges(ctx, owned)
}

func (s *catcher) waiting(ctx context.Context, owned []int32) ([]Row, error) {
	if len(owned) == 0 {
		return nil, nil
	}
	rows, err := s.c.cfg.Pool.Query(ctx, `SELECT `+rowColumns+` FROM neuronx.progress
		WHERE consumer = $1 AND partition = ANY($2) AND state = 'catching-up' AND (tenant_id, generation) > ($3, $4)
		ORDER BY tenant_id, generation LIMIT $5`, s.feed.consumer, owned, s.after.TenantID, s.after.Generation, waitingRows)
	return postgres.Collect(rows, err, "list catching-up tenants", scanRow)
}

// advance takes one generation up to a chunk further, in one transaction.
func (s *catcher) advance(ctx context.Context, r Row) (more bool, err error) {
	events, broken := s.missing(ctx, r)
	if broken != nil && retriable(broken) {
		return false, broken
	}
	s.prepare(ctx, r, events)
	s.feed.writing.Lock()
	defer s.feed.writing.Unlock()
	tx, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer rollback(tx)
	found, err := loadRows(ctx, tx, []string{s.feed.consumer}, []string{r.TenantID})
	if err != nil {
		return false, err
	}
	rows := found[s.feed.consumer]
	i := slices.IndexFunc(rows[r.TenantID], func(x Row) bool { return x.Generation == r.Generation })
	if i < 0 || rows[r.TenantID][i].Sequence != r.Sequence || rows[r.TenantID][i].State != CatchingUp {
		return false, errRowMoved
	}
	from := rows[r.TenantID][i]
	to := from
	if len(events) == 0 && broken == nil { // the loop may have kept more since it was asked
		if events, err = follow(ctx, s.recent.Of(r.key()), from, s.chunkOf(r)); err != nil {
			return false, err
		}
		events = s.bounded(r, events)
	}
	if len(events) > 0 {
		if to, err = s.applyRun(ctx, tx, from, Run{r.TenantID, r.Generation, events}); err != nil {
			return false, err
		}
		s.took(r, len(events), int(to.Sequence-from.Sequence))
	}
	// While the feed is set aside, batches go on raising seen meanwhile: whether this is all there is is decided under the rows' locks.
	now, goal, err := s.lockRows(ctx, tx, from)
	if err != nil {
		return false, err
	}
	from, to.Seen = now, max(to.Seen, now.Seen)
	if broken != nil { // a damaged row of the archive is this tenant's trouble alone
		to.State, to.Reason = Stalled, reason(broken)
	}
	if to.State == CatchingUp {
		to = afterChunk(to, goal, len(events) > 0, time.Now(), s.c.cfg.GapTimeout)
	}
	if h, ok := s.feed.handler.(CaughtUpHandler); ok && to.State == Live {
		if err := guard(func() error { return h.CaughtUp(ctx, tx, r.TenantID, r.Generation) }); err != nil {
			s.logStack(err)
			return false, fmt.Errorf("swap generation: %w", err)
		}
	}
	to = from.built(to, definitionOf(s.feed.handler))
	if m := (move{from, to}); m.moved() {
		if err := moveRows(ctx, tx, []move{m}); err != nil {
			return false, err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return false, fmt.Errorf("commit catch-up: %w", err)
	}
	s.applied = s.applied || to.Sequence > from.Sequence
	s.accountCatchUp(from, to, goal)
	return to.State == CatchingUp && to.Sequence > from.Sequence, nil
}

// lockRows locks the rows of a tenant, returns the one that was loaded as row as it is now, and how far it has to come. Its events are
// applied before, so that no batch waits for that. It is errRowMoved if the row has changed in anything but in what was seen.
func (s *catcher) lockRows(ctx context.Context, tx pgx.Tx, row Row) (now Row, goal int64, err error) {
	rows, err := Lock(ctx, tx, row.Consumer, row.TenantID)
	if err != nil {
		return now, 0, err
	}
	i := slices.IndexFunc(rows, func(x Row) bool { return x.Generation == row.Generation })
	if i < 0 || rows[i].Sequence != row.Sequence || rows[i].State != row.State {
		return now, 0, fmt.Errorf("lock progress: %w", errRowMoved)
	}
	return rows[i], target(rows), nil
}

// afterChunk decides what becomes of a catching-up generation after a chunk. It is pure.
func afterChunk(r Row, goal int64, progressed bool, now time.Time, gapTimeout time.Duration) Row {
	switch {
	case r.Sequence >= goal:
		r.State, r.Reason, r.MissingSince = Live, "", time.Time{}
	case progressed:
		r.MissingSince = time.Time{}
	case r.MissingSince.IsZero():
		r.MissingSince = now.UTC().Truncate(time.Microsecond)
	case now.Sub(r.MissingSince) >= gapTimeout:
		r.State, r.Reason = Stalled, ReasonGap
	}
	return r
}

func (s *catcher) accountCatchUp(from, to Row, goal int64) {
	if s.feed.main {
		s.c.metrics.consumed(outcomeApplied, int(to.Sequence-from.Sequence))
	}
	switch to.State {
	case Live:
		delete(s.chunks, to.TenantID)
		s.recent.Trim(to.key(), to.Sequence)
		s.c.metrics.built("live")
		s.log.Info("tenant caught up", "tenant", to.TenantID, "feed", s.feed.name, "generation", to.Generation, "sequence", to.Sequence)
	case Stalled:
		s.c.metrics.built("stalled")
		if to.Reason == ReasonGap {
			s.log.Error("tenant stalled: a sequence is neither in the archive nor in the log", "tenant", to.TenantID,
				"generation", to.Generation, "sequence", to.Sequence+1, "known", goal)
		}
	}
}

// missing finds the events that follow a row: in the archive, in memory, and when they were waited for long enough, in the log.
func (s *catcher) missing(ctx context.Context, r Row) ([]event.Recorded, error) {
	kept := s.recent.Of(r.key())
	var sources stream.Chain
	if s.parts() { // what the loop set aside a moment ago is here, in the order of the log
		sources = append(sources, kept)
	}
	if s.c.cfg.Archive != nil {
		sources = append(sources, s.c.cfg.Archive)
	}
	sources = append(sources, kept)
	searched := false
	if s.isSearched(r) {
		sources = append(sources, stream.Log(func(ctx context.Context, fn func(*event.Recorded) error) error {
			searched = true
			return s.scan(ctx, r, fn)
		}))
	}
	events, err := follow(ctx, sources, r, s.chunkOf(r))
	if searched && len(events) == 0 {
		s.scanned[r.TenantID] = time.Now()
	}
	return s.bounded(r, events), err
}

// follow returns the events behind a row, at most limit of them. Where a source has later ones only, there are none yet: how long a
// sequence may be missing is judged by the row.
func follow(ctx context.Context, source stream.Source, r Row, limit int) ([]event.Recorded, error) {
	events, err := stream.Next(ctx, source, r.TenantID, r.Sequence+1, limit)
	if errors.Is(err, stream.ErrGap) {
		return nil, nil
	}
	return events, err
}

// isSearched reports whether it is time to search the log for what a row lacks: a scan can wait, because the archiver is usually a moment
// behind.
func (s *catcher) isSearched(r Row) bool {
	wait := min(s.c.cfg.GapTimeout/2, 30*time.Second)
	if s.c.cfg.Archive != nil && (r.MissingSince.IsZero() || time.Since(r.MissingSince) < wait) {
		return false
	}
	if s.c.cfg.Archive == nil && r.Seen <= r.Sequence {
		return false
	}
	return time.Since(s.scanned[r.TenantID]) >= wait
}

// parts reports whether the handler decides how far a chunk goes.
func (s *catcher) parts() bool {
	_, ok := s.feed.handler.(PartHandler)
	return ok
}

// chunkOf is how many events the next transaction of a generation begins with.
func (s *catcher) chunkOf(r Row) int {
	if !s.parts() {
		return chunk
	}
	return cmp.Or(s.chunks[r.TenantID], firstPart)
}

func (s *catcher) bounded(r Row, events []event.Recorded) []event.Recorded {
	events = events[:min(len(events), s.chunkOf(r))]
	if s.parts() {
		events = within(events, partBytes)
	}
	return events
}

// took notes how far a chunk came.
func (s *catcher) took(r Row, asked, applied int) {
	if s.parts() {
		s.chunks[r.TenantID] = nextChunk(asked, applied)
		s.early = applied < asked
	}
}

// scan calls fn with the tenant's events in the log that may follow a row, below where the loop stands.
func (s *catcher) scan(ctx context.Context, r Row, fn func(*event.Recorded) error) error {
	tp := kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: r.Partition}
	starts, err := s.admin.StartOffsets(ctx, kafka.TopicEvents)
	if err != nil {
		return Transient(fmt.Errorf("list start offsets: %w", err))
	}
	s.mu.Lock()
	end := s.next[tp]
	s.mu.Unlock()
	var stopped error // by fn
	err = read.Range(ctx, s.c.cfg.Kafka, tp.Topic, tp.Partition, starts[tp], end, func(rec *kafka.Record) error {
		if string(rec.Key) != r.TenantID {
			return nil
		}
		e, err := kafka.ParseRecorded(rec)
		if err != nil || e.Sequence <= r.Sequence || !s.logs.continues(r.LogID, r.Sequence, &e) {
			return nil // what is no event was reported by the loop
		}
		e.Partition, e.Offset = rec.Partition, rec.Offset
		stopped = fn(&e)
		return stopped
	})
	if err != nil && stopped == nil {
		return Transient(fmt.Errorf("read the log: %w", err))
	}
	return err
}
