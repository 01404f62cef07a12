package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/stream"
)

// fillLimit is how many missing events are read from the archive inside a batch; a wider gap is filled outside the loop.
const fillLimit = 200

// process writes one batch: one transaction, tried again for the retry budget. When it returned nil, the rows stand at the end of the
// batch and the group's offset may follow.
func (s *session) process(ctx context.Context, b batch) error {
	start := time.Now()
	defer func() { s.c.metrics.batchSeconds.Observe(time.Since(start).Seconds()) }()
	uncertain := false // a COMMIT of this batch was sent, and its answer did not come
	main := s.c.feeds[len(s.c.feeds)-1]
	if o, ok := main.handler.(Observer); ok {
		for _, events := range b.events {
			o.Observe(events)
		}
	}
	var failures int
	var last error
	for attempt := 0; ; attempt++ {
		sets := len(s.c.feeds) > 1 && setsAside(failures, last)
		err := s.attempt(ctx, b, uncertain, sets || main.aside.Load())
		if err == nil {
			s.c.batches.Add(1)
			s.wrote()
			if sets { // not where it was aside before: its catch-up may have taken it back meanwhile
				s.setMainAside(last)
			}
			return nil
		}
		if !errors.Is(err, errRowMoved) {
			failures, last = failures+1, err
		}
		if errors.Is(err, errTakenOver) || ctx.Err() != nil {
			return err
		}
		uncertain = uncertain || errors.Is(err, errCommit)
		s.c.metrics.retries.Inc()
		s.failed = time.Now()
		if !errors.Is(err, errRowMoved) {
			report(s.c.cfg.Ready, activityBatch, err)
		}
		if time.Since(start) > s.c.cfg.RetryBudget {
			return fmt.Errorf("batch not written in %s: %w", s.c.cfg.RetryBudget, err)
		}
		if errors.Is(err, errRowMoved) && attempt < 5 {
			continue // loaded again, it will be right
		}
		pause := backoff.Pause(attempt)
		s.log.Warn("batch rolled back, trying again", "err", err, "attempt", attempt+1, "pause", pause)
		if backoff.Wait(ctx, pause) != nil {
			return err
		}
	}
}

// attempt is one transaction.
func (s *session) attempt(ctx context.Context, b batch, uncertain, aside bool) error {
	defer s.c.lock(aside)()
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer rollback(tx)
	if done, err := checkSpans(ctx, tx, s.c.cfg.Name, b.spans, uncertain); err != nil || done {
		if done {
			s.moved(b)
		}
		return err
	}
	result, err := s.write(ctx, tx, b, aside)
	if err != nil {
		return err
	}
	if len(b.letters) > 0 {
		if err := s.writeLetters(ctx, tx, b.letters); err != nil {
			return err
		}
	}
	if err := moveSpans(ctx, tx, s.c.cfg.Name, b.spans); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("%w: %w", errCommit, err)
	}
	s.moved(b)
	s.account(b, result)
	return nil
}

// begin opens a transaction that Postgres ends by itself when this process stands still in it: its locks must not outlive it.
func (s *session) begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := s.c.cfg.Pool.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	patience := "20s"
	if len(s.c.feeds) > 1 {
		patience = "5s" // a lock on a table of the main feed holds up the others so long, once
	}
	_, err = tx.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true)`,
		fmt.Sprint(s.c.cfg.IdleTimeout.Milliseconds()), patience)
	if err != nil {
		rollback(tx)
		return nil, fmt.Errorf("begin: %w", err)
	}
	return tx, nil
}

// job is one generation's share of a batch.
type job struct {
	row    Row // as loaded
	next   Row // as it will be
	events []event.Recorded
	d      decision
}

// write applies the events of all tenants and moves their rows.
func (s *session) write(ctx context.Context, tx pgx.Tx, b batch, aside bool) ([]*job, error) {
	if len(b.tenants) == 0 {
		return nil, nil
	}
	found, err := loadRows(ctx, tx, s.c.names(), b.tenants)
	if err != nil {
		return nil, err
	}
	var fresh []Row
	var all []*job
	shares := make([][]*job, len(s.c.feeds))
	for i, f := range s.c.feeds {
		rows := found[f.consumer]
		for _, tenant := range b.tenants {
			if len(rows[tenant]) == 0 {
				r := Row{Consumer: f.consumer, TenantID: tenant, Generation: 1, Partition: b.partitions[tenant], State: Live}
				fresh = append(fresh, r)
				rows[tenant] = []Row{r}
			}
			for _, r := range rows[tenant] {
				j := &job{row: r, events: b.events[tenant]}
				if f.main && aside {
					s.putAside(j)
				} else if err := s.decide(ctx, j); err != nil {
					return nil, err
				}
				shares[i] = append(shares[i], j)
			}
		}
		all = append(all, shares[i]...)
	}
	if err := insertRows(ctx, tx, fresh); err != nil {
		return nil, err
	}
	for _, jobs := range shares {
		if err := s.applyAll(ctx, tx, jobs); err != nil {
			return nil, err
		}
	}
	var moves []move
	for _, j := range all {
		j.next = j.row.built(j.next, s.c.definition(j.row.Consumer))
		if m := (move{j.row, j.next}); m.moved() {
			moves = append(moves, m)
		}
	}
	return all, moveRows(ctx, tx, moves)
}

// decide classifies, and fills a gap from the archive if that is quick.
func (s *session) decide(ctx context.Context, j *job) error {
	j.next = j.row
	for {
		j.d = classify(j.row, j.events, s.logs)
		if j.d.gapFrom == 0 {
			break
		}
		if s.c.cfg.Archive == nil {
			j.d.stall = ReasonGap
			j.d.detail = fmt.Sprintf("sequence %d follows %d", j.d.after[0].Sequence, j.d.gapFrom-1)
			j.d.postpone()
			break
		}
		filled, err := s.fill(ctx, j)
		if err != nil && retriable(err) {
			return err
		}
		if err != nil { // a damaged row of the archive is this tenant's trouble alone
			j.d.stall, j.d.detail = reason(err), "gap could not be filled"
			j.d.postpone()
			break
		}
		if !filled {
			s.log.Info("sequences are missing, reading them from the archive", "tenant", j.row.TenantID,
				"generation", j.row.Generation, "from", j.d.gapFrom, "to", j.d.after[0].Sequence-1)
			j.d.postpone()
			j.next.State = CatchingUp
			break
		}
	}
	if j.d.stall != "" {
		j.next.State, j.next.Reason = Stalled, j.d.stall
	}
	j.next.Seen = max(j.next.Seen, j.d.seen)
	return nil
}

// fill puts the missing events in front of those that follow the gap.
func (s *session) fill(ctx context.Context, j *job) (bool, error) {
	missing := j.d.after[0].Sequence - j.d.gapFrom
	if missing > fillLimit {
		return false, nil
	}
	found, err := stream.Next(ctx, s.c.cfg.Archive, j.row.TenantID, j.d.gapFrom, int(missing))
	if err != nil && !errors.Is(err, stream.ErrGap) {
		return false, fmt.Errorf("read archive: %w", err)
	}
	if int64(len(found)) < missing {
		return false, nil
	}
	events := make([]event.Recorded, 0, len(j.events)+int(missing))
	events = append(events, j.events[:len(j.events)-len(j.d.after)]...)
	events = append(events, found...)
	j.events = append(events, j.d.after...)
	return true, nil
}

// applyAll hands the runs of one feed to its handler, together if it can take them together, else one by one.
func (s *session) applyAll(ctx context.Context, tx pgx.Tx, jobs []*job) error {
	var runs []Run
	var with []*job
	for _, j := range jobs {
		if len(j.d.apply) > 0 {
			runs = append(runs, Run{j.row.TenantID, j.row.Generation, j.d.apply})
			with = append(with, j)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	if h, ok := s.c.handlerOf(with[0].row).(PartHandler); ok {
		rows := make([]Row, len(with))
		for i, j := range with {
			rows[i] = j.next
		}
		rows, err := s.applyParts(ctx, tx, h, rows, runs)
		if err != nil {
			return err
		}
		for i, j := range with {
			j.next = rows[i]
		}
		return nil
	}
	if h, ok := s.c.handlerOf(with[0].row).(BatchHandler); ok {
		err := savepoint(ctx, tx, func(tx pgx.Tx) error { return h.ApplyBatch(ctx, tx, runs) })
		if err == nil {
			for _, j := range with {
				j.next = j.next.applied(j.d.apply[len(j.d.apply)-1])
			}
			return nil
		}
		if retriable(err) {
			return err
		}
	}
	for i, j := range with {
		next, err := s.applyRun(ctx, tx, j.next, runs[i])
		if err != nil {
			return err
		}
		j.next = next
	}
	return nil
}

// applyRun applies one run and returns the row as it stands after it: stalled before the first event that fails, if one does.
// The error is a retriable one.
func (s *session) applyRun(ctx context.Context, tx pgx.Tx, row Row, run Run) (Row, error) {
	if h, ok := s.c.handlerOf(row).(PartHandler); ok {
		rows, err := s.applyParts(ctx, tx, h, []Row{row}, []Run{run})
		if err != nil {
			return row, err
		}
		return rows[0], nil
	}
	apply := func(events []event.Recorded) error {
		return savepoint(ctx, tx, func(tx pgx.Tx) error {
			return s.c.handlerOf(row).Apply(ctx, tx, Run{run.TenantID, run.Generation, events})
		})
	}
	err := apply(run.Events)
	if err == nil {
		return row.applied(run.Events[len(run.Events)-1]), nil
	}
	if retriable(err) {
		return row, err
	}
	at := run.Events[0]
	for i := 0; len(run.Events) > 1 && i < len(run.Events); i++ {
		at = run.Events[i]
		if err = apply(run.Events[i : i+1]); err != nil {
			break
		}
		row = row.applied(at)
	}
	switch {
	case err == nil: // the events pass one by one, so nothing is wrong with them
		return row, nil
	case retriable(err):
		return row, err
	}
	row.State, row.Reason = Stalled, reason(err)
	row.Seen = max(row.Seen, run.Events[len(run.Events)-1].Sequence)
	s.log.Error("tenant stalled", "tenant", run.TenantID, "feed", row.Feed(), "generation", run.Generation, "sequence", at.Sequence, "event", at.ID,
		"type", at.Type, "err", err)
	s.logStack(err)
	return row, nil
}

func (s *session) writeLetters(ctx context.Context, tx pgx.Tx, letters []DeadLetter) error {
	h, ok := s.c.handler.(DeadLetterHandler)
	if !ok {
		return errors.New("dead letters are read, but the handler takes none")
	}
	if err := h.ApplyDeadLetters(ctx, tx, letters); err != nil {
		return fmt.Errorf("apply dead letters: %w", err)
	}
	return nil
}

// moved makes memory follow the rows after a commit.
func (s *session) moved(b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range b.spans {
		tp := kafka.TopicPartition{Topic: sp.topic, Partition: sp.partition}
		s.next[tp] = sp.to
		if sp.logID != "" {
			s.logIDs[tp] = sp.logID
		}
	}
}

// account counts and logs what a committed batch did.
func (s *session) account(b batch, jobs []*job) {
	m := s.c.metrics
	for _, u := range b.unreadable {
		m.consumed(outcomeUnreadable, 1)
		s.log.Error("a record of the log is no event; if one was lost by it, its sequence is missing and its tenant will stall",
			"partition", u.partition, "offset", u.offset, "err", u.err)
	}
	m.consumed(outcomeDeadLetter, len(b.letters))
	for _, j := range jobs {
		if j.row.Feed() == FeedMain { // one count an event, however many feeds took it
			applied := int(j.next.Sequence - j.row.Sequence)
			m.consumed(outcomeApplied, applied)
			m.consumed(outcomeDuplicate, j.d.skipped)
			m.consumed(outcomePassed, j.d.passed+len(j.d.apply)-applied)
			if applied > 0 {
				m.applied(j.d.apply[applied-1].RecordedTime)
			}
		}
		if j.d.stall != "" && j.row.State != Stalled {
			s.log.Error("tenant stalled", "tenant", j.row.TenantID, "feed", j.row.Feed(), "generation", j.row.Generation, "reason", j.d.stall, "detail", j.d.detail)
		}
		switch {
		case j.next.State == CatchingUp:
			s.recent.Keep(j.row.key(), j.events)
			s.wake()
		case j.next.State == Live && len(jobs) > 0:
			s.recent.Trim(j.row.key(), j.next.Sequence)
		}
	}
}
