package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/postgres"
)

// resume is called at every assignment. The rows say where to read on; what the group has committed is looked at only to see
// whether an operator asked for something.
func (s *session) resume(ctx context.Context, committed map[kafka.TopicPartition]kafka.Committed, topicIDs map[string][16]byte) (map[kafka.TopicPartition]int64, error) {
	offsets := make(map[kafka.TopicPartition]int64, len(committed))
	// The error may be of one partition without a leader, whose row says where it is read on: the others don't wait for it.
	starts, failed := s.admin.StartOffsets(ctx, s.topics...)
	err := pgx.BeginFunc(ctx, s.c.cfg.Pool, func(tx pgx.Tx) error {
		for tp, com := range committed {
			start, known := starts[tp]
			if !known && failed != nil {
				start = unknownStart
			}
			at, fresh, err := s.place(ctx, tx, tp, topicIDs[tp.Topic], start)
			if errors.Is(err, errNoStart) {
				return app.Blamed(app.ComponentKafka, fmt.Errorf("%w: %w", err, failed))
			}
			if err != nil {
				return err
			}
			offsets[tp] = at.next
			if err := s.adoptTenants(ctx, tx, tp); err != nil {
				return err
			}
			if err := s.tryAgain(ctx, tx, tp); err != nil {
				return err
			}
			if err := s.noteReset(ctx, tx, tp, com, at.next, fresh); err != nil {
				return err
			}
			s.remember(tp, at)
		}
		return nil
	})
	if err != nil {
		return nil, s.notResumed(err)
	}
	return offsets, nil
}

// notResumed makes the next tick end this membership: left to itself, the client may sit without partitions for long.
func (s *session) notResumed(err error) error {
	err = fmt.Errorf("%w %s: %w", errResume, s.c.cfg.Name, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fatal = err
	return err
}

// place is one partition's row.
type place struct {
	next  int64
	logID string
}

// unknownStart is the start of the log where no broker told it.
const unknownStart = -1

var errNoStart = errors.New("list start offsets")

// place loads the row of a partition, or makes it at the start of the log. It is errNoStart if there is none and the start is not known.
func (s *session) place(ctx context.Context, tx pgx.Tx, tp kafka.TopicPartition, topicID [16]byte, start int64) (place, bool, error) {
	id := uuid.UUID(topicID)
	tag, err := tx.Exec(ctx, `INSERT INTO neuronx.partition_progress (consumer, generation, topic, partition, topic_id, next_offset)
		SELECT $1, 1, $2, $3, $4, $5::bigint WHERE $5 <> $6::bigint ON CONFLICT DO NOTHING`, s.c.cfg.Name, tp.Topic, tp.Partition, id, start, unknownStart)
	if err != nil {
		return place{}, false, fmt.Errorf("insert partition progress: %w", err)
	}
	var p place
	var have uuid.UUID
	err = tx.QueryRow(ctx, `SELECT next_offset, log_id, topic_id FROM neuronx.partition_progress
		WHERE consumer = $1 AND generation = 1 AND topic = $2 AND partition = $3`, s.c.cfg.Name, tp.Topic, tp.Partition).Scan(&p.next, &p.logID, &have)
	if errors.Is(err, pgx.ErrNoRows) && start == unknownStart {
		return place{}, false, errNoStart
	}
	if err != nil {
		return place{}, false, fmt.Errorf("load partition progress: %w", err)
	}
	if have != id {
		return place{}, false, fmt.Errorf("%s has id %s, the rows of %s are of %s: %w; `neuronx log reseed --from-archive` builds the log from the archive", tp.Topic, id, s.c.cfg.Name, have, ErrTopicChanged)
	}
	return p, tag.RowsAffected() == 1, nil
}

// adoptTenants makes the rows of further feeds for tenants that only the main feed has, because the feed came with an upgrade, or a build
// without it ran meanwhile. The feed must not wait for a tenant's next event, which may never come.
func (s *session) adoptTenants(ctx context.Context, tx pgx.Tx, tp kafka.TopicPartition) error {
	if tp.Topic != kafka.TopicEvents {
		return nil
	}
	for _, f := range s.c.feeds {
		if f.main {
			continue
		}
		tag, err := tx.Exec(ctx, `INSERT INTO neuronx.progress (consumer, generation, tenant_id, partition, seen, state)
			SELECT $2, 1, m.tenant_id, m.partition, max(greatest(m.sequence, m.seen)), 'catching-up' FROM neuronx.progress m
			WHERE m.consumer = $1 AND m.partition = $3 AND m.state <> 'retired'
				AND NOT EXISTS (SELECT 1 FROM neuronx.progress x WHERE x.consumer = $2 AND x.tenant_id = m.tenant_id)
			GROUP BY m.tenant_id, m.partition ON CONFLICT DO NOTHING`, s.c.cfg.Name, f.consumer, tp.Partition)
		if err != nil {
			return fmt.Errorf("make rows of feed %s: %w", f.name, err)
		}
		if n := tag.RowsAffected(); n > 0 {
			s.log.Info("the feed begins with tenants that the main feed has", "feed", f.name, "partition", tp.Partition, "tenants", n)
		}
	}
	return nil
}

// tryAgain lets tenants go on that stalled because another build of the service was needed: this process may be of that build. If it is not, they
// stall again before the same event.
func (s *session) tryAgain(ctx context.Context, tx pgx.Tx, tp kafka.TopicPartition) error {
	if tp.Topic != kafka.TopicEvents {
		return nil
	}
	tag, err := tx.Exec(ctx, `UPDATE neuronx.progress SET state = 'catching-up', reason = '', missing_since = NULL, updated_at = now()
		WHERE consumer = ANY($1) AND partition = $2 AND state = 'stalled' AND starts_with(reason, $3)`, s.c.names(), tp.Partition, reasonOtherBuild)
	if err != nil {
		return fmt.Errorf("try tenants again that needed another build: %w", err)
	}
	if n := tag.RowsAffected(); n > 0 {
		s.log.Info("tenants that needed another build are tried by this one", "partition", tp.Partition, "tenants", n)
	}
	return nil
}

func (s *session) remember(tp kafka.TopicPartition, p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[tp], s.logIDs[tp] = p.next, p.logID
}

// noteReset stores an operator's reset as a request, once: until the group's offset was put back, the same commit is seen again at
// every assignment.
func (s *session) noteReset(ctx context.Context, tx pgx.Tx, tp kafka.TopicPartition, com kafka.Committed, next int64, fresh bool) error {
	if !com.Present {
		return nil
	}
	if com.Ours() {
		return s.acknowledge(ctx, tx, tp)
	}
	s.mu.Lock()
	s.putBack[tp] = true
	s.mu.Unlock()
	if fresh || com.Offset == next {
		return nil // nothing was read yet, or nothing is asked for
	}
	session, ok := com.ResetSession()
	if !ok {
		session = "" // some other tool
	}
	tag, err := tx.Exec(ctx, `INSERT INTO neuronx.resets (consumer, reset_id, topic, partition, from_offset, to_offset, session, meaning)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT 1 FROM neuronx.resets
			WHERE consumer = $1 AND topic = $3 AND partition = $4 AND to_offset = $6 AND session = $7 AND NOT put_back)`,
		s.c.cfg.Name, uuid.NewString(), tp.Topic, tp.Partition, next, com.Offset, session, s.c.cfg.Meaning)
	if err != nil {
		return fmt.Errorf("note reset: %w", err)
	}
	if tag.RowsAffected() == 1 {
		s.log.Warn("the group's offset was reset; reading goes on from the row, the reset is carried out meanwhile", "topic", tp.Topic,
			"partition", tp.Partition, "from", next, "to", com.Offset, "session", session)
	}
	return nil
}

// acknowledge marks requests whose commit is no longer the group's.
func (s *session) acknowledge(ctx context.Context, tx pgx.Tx, tp kafka.TopicPartition) error {
	return postgres.Exec(ctx, tx, "acknowledge reset", `UPDATE neuronx.resets SET put_back = true WHERE consumer = $1 AND topic = $2 AND partition = $3 AND NOT put_back`,
		s.c.cfg.Name, tp.Topic, tp.Partition)
}

// confirmPutBack acknowledges resets whose offset the group no longer shows: it commits the row's offset within a tick of the
// assignment, also without traffic.
func (s *session) confirmPutBack(ctx context.Context) error {
	s.mu.Lock()
	waiting := slices.Collect(maps.Keys(s.putBack))
	s.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	committed, err := s.admin.Committed(ctx, s.c.cfg.Name)
	if err != nil {
		return fmt.Errorf("read the group's offsets: %w", err)
	}
	for _, tp := range waiting {
		if com := committed[tp]; !com.Present || !com.Ours() {
			continue
		}
		if err := pgx.BeginFunc(ctx, s.c.cfg.Pool, func(tx pgx.Tx) error { return s.acknowledge(ctx, tx, tp) }); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.putBack, tp)
		s.mu.Unlock()
	}
	return nil
}

// metadata is what is stored with every commit of ours.
func (s *session) metadata(tp kafka.TopicPartition) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return kafka.CommitMark + ":" + s.c.cfg.Slot + ":" + s.logIDs[tp]
}
