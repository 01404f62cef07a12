package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/pkg/postgres"
)

// Outcomes of a reset's side job, as neuronx.resets and engine.replay.completed have them.
const (
	resetDone   = "done"
	resetFailed = "failed"
)

// runResets looks for requests of owned partitions and runs each in a goroutine that ends with the assignment.
func (s *session) runResets(ctx context.Context) error {
	running := map[string]context.CancelFunc{}
	ended := make(chan string)
	var jobs sync.WaitGroup
	defer jobs.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		open, err := s.openResets(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("resets could not be listed, trying again", "err", err)
		}
		wanted := map[string]bool{}
		for _, r := range open {
			wanted[r.ID] = true
			if running[r.ID] != nil {
				continue
			}
			jobCtx, stop := context.WithCancel(ctx)
			running[r.ID] = stop
			jobs.Go(func() {
				defer stop()
				s.runReset(jobCtx, r)
				select {
				case ended <- r.ID:
				case <-ctx.Done():
				}
			})
		}
		for id, stop := range running {
			if err == nil && !wanted[id] {
				stop() // revoked: the partition's new owner takes it up again
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case id := <-ended:
			delete(running, id)
		case <-time.After(s.c.cfg.PollEvery):
		}
	}
}

// openResets lists requests of owned partitions that are not done.
func (s *session) openResets(ctx context.Context) ([]Reset, error) {
	rows, err := s.c.cfg.Pool.Query(ctx, `SELECT reset_id, topic, partition, from_offset, to_offset, session FROM neuronx.resets
		WHERE consumer = $1 AND state IN ('requested', 'running') ORDER BY requested_at`, s.c.cfg.Name)
	list, err := postgres.Collect(rows, err, "list resets", func(row pgx.CollectableRow) (Reset, error) {
		var r Reset
		err := row.Scan(&r.ID, &r.Topic, &r.Partition, &r.From, &r.To, &r.Session)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	owned := map[kafka.TopicPartition]bool{}
	for _, tp := range s.group.Owned() {
		owned[tp] = true
	}
	return slices.DeleteFunc(list, func(r Reset) bool { return !owned[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}] }), nil
}

// runReset does one request. What fails for a passing reason is tried again; what is interrupted is done again by the next owner.
func (s *session) runReset(ctx context.Context, r Reset) {
	r.Report = &ResetReport{}
	outcome := resetDone
	for failures := 0; ; failures++ {
		err := s.tryReset(ctx, &r)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("the side job of a reset failed", "reset", r.ID, "topic", r.Topic, "partition", r.Partition, "err", err)
		s.logStack(err)
		if !retriable(err) {
			outcome, r.Report.Detail, r.Report.Told = resetFailed, reason(err), "it failed; the operators know why"
			if r.Report.NotCounted == "" {
				r.Report.NotCounted = "the reset failed before it was through"
			}
			break
		}
		if backoff.Wait(ctx, backoff.Doubling(time.Second, 30*time.Second, failures)) != nil {
			return
		}
	}
	for failures := 0; ; failures++ {
		err := s.completeReset(ctx, r, outcome)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			s.log.Warn("a finished reset could not be recorded, trying again", "reset", r.ID, "err", err)
		}
		if backoff.Wait(ctx, backoff.Doubling(time.Second, 30*time.Second, failures)) != nil {
			return
		}
	}
	s.c.metrics.resets.WithLabelValues(outcome).Inc()
	s.log.Info("reset done", "reset", r.ID, "topic", r.Topic, "partition", r.Partition, "outcome", outcome,
		"examined", r.Report.Examined, "differences", r.Report.Differences, "not_counted", r.Report.NotCounted)
}

func (s *session) tryReset(ctx context.Context, r *Reset) error {
	if r.Back() && r.Topic == kafka.TopicEvents && r.Tenants == nil {
		tenants, err := s.tenantsBeyond(ctx, *r)
		if err != nil {
			return err
		}
		r.Tenants = tenants
	}
	_, err := s.c.cfg.Pool.Exec(ctx, `UPDATE neuronx.resets SET state = 'running', tenants = $3 WHERE consumer = $1 AND reset_id = $2`,
		s.c.cfg.Name, r.ID, append([]string{}, r.Tenants...))
	if err != nil {
		return Transient(fmt.Errorf("record reset: %w", err))
	}
	if err := s.announce(ctx, *r, "engine.replay.started", map[string]any{"meaning": s.c.cfg.Meaning, "by": by(*r)}); err != nil {
		return err
	}
	h, ok := s.c.handler.(ResetHandler)
	if !ok {
		return nil
	}
	return guard(func() error { return h.Reset(ctx, *r) })
}

func by(r Reset) any {
	if r.Session == "" {
		return nil
	}
	return r.Session
}

func (s *session) completeReset(ctx context.Context, r Reset, outcome string) error {
	data := map[string]any{"outcome": outcome, "examined": r.Report.Examined, "differences": r.Report.Differences, "detail": nil}
	if told := cmp.Or(r.Report.Told, r.Report.Detail); told != "" { // the event stands in the streams of tenants that must not know of each other
		data["detail"] = told
	}
	if r.Report.NotCounted != "" { // a registry that has not got the field yet takes the usual report
		data["not_counted"] = r.Report.NotCounted
	}
	err := s.announce(ctx, r, "engine.replay.completed", data)
	if err != nil {
		return err
	}
	return postgres.Exec(ctx, s.c.cfg.Pool, "record reset", `UPDATE neuronx.resets SET state = $3, examined = $4, differences = $5, detail = $6, not_counted = $7,
			completed_at = now() WHERE consumer = $1 AND reset_id = $2`,
		s.c.cfg.Name, r.ID, outcome, r.Report.Examined, r.Report.Differences, r.Report.Detail, r.Report.NotCounted)
}

// announce publishes an event about a reset into the stream of every tenant of its partition, under an id that makes a repeat one.
func (s *session) announce(ctx context.Context, r Reset, typ string, more map[string]any) error {
	if s.c.cfg.Publish == nil || r.Topic != kafka.TopicEvents {
		return nil
	}
	tenants, err := s.tenantsOf(ctx, r.Partition)
	if err != nil {
		return err
	}
	data := map[string]any{"replay_id": r.ID, "group": s.c.cfg.Name, "topic": r.Topic, "partition": int(r.Partition)}
	if typ == "engine.replay.started" {
		data["from_offset"], data["to_offset"] = r.From, r.To
	}
	maps.Copy(data, more)
	for _, tenant := range tenants {
		id := event.DerivedID(tenant, "replay", r.ID, typ[len("engine.replay."):])
		if err := s.c.cfg.Publish(ctx, tenant, typ, "replay/"+r.ID, id, maps.Clone(data)); err != nil {
			return Transient(fmt.Errorf("publish %s: %w", typ, err))
		}
	}
	return nil
}

func (s *session) tenantsOf(ctx context.Context, partition int32) ([]string, error) {
	rows, err := s.c.cfg.Pool.Query(ctx, `SELECT DISTINCT tenant_id FROM neuronx.progress WHERE consumer = ANY($1) AND partition = $2
		ORDER BY tenant_id`, s.c.names(), partition)
	if err != nil {
		return nil, Transient(fmt.Errorf("list tenants: %w", err))
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, Transient(fmt.Errorf("list tenants: %w", err))
	}
	return tenants, nil
}

// tenantsBeyond lists the tenants that have events between the operator's offset and the row's. A reset to the start of the log
// or below it means all of the partition, also those whose records were trimmed.
func (s *session) tenantsBeyond(ctx context.Context, r Reset) ([]string, error) {
	starts, err := s.admin.StartOffsets(ctx, r.Topic)
	if err != nil {
		return nil, Transient(fmt.Errorf("list start offsets: %w", err))
	}
	all, err := s.tenantsOf(ctx, r.Partition)
	if err != nil {
		return nil, err
	}
	start := starts[kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}]
	if r.To <= start {
		return all, nil
	}
	met := map[string]bool{}
	err = read.Range(ctx, s.c.cfg.Kafka, r.Topic, r.Partition, r.To, r.From, func(rec *kafka.Record) error {
		met[string(rec.Key)] = true
		if len(met) > len(all) && allIn(met, all) {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, Transient(fmt.Errorf("read the log: %w", err))
	}
	return slices.DeleteFunc(all, func(t string) bool { return !met[t] }), nil
}

var errEnough = errors.New("enough")

func allIn(set map[string]bool, names []string) bool {
	for _, n := range names {
		if !set[n] {
			return false
		}
	}
	return true
}
