package sequencer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
	"github.com/neuronx/engine/pkg/kafka/txn"
)

// sequencer is what outlives a session.
type sequencer struct {
	cfg        Config
	log        *slog.Logger
	ready      *app.Readiness
	m          *metrics
	admin      *admin.Client
	schemas    *schemaCache
	partitions int32
	stop       context.Context
	reports    sync.WaitGroup
}

// Run sequences the partitions that the group gives this process until ctx is done; the transaction that is open then is finished.
// It returns txn.ErrFenced when another process has taken the slot.
func Run(ctx context.Context, rt *app.Runtime, cfg Config) error {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("sequencer: %w", err)
	}
	adm, err := admin.New(cfg.Kafka)
	if err != nil {
		return fmt.Errorf("sequencer: %w", err)
	}
	defer adm.Close()
	s := &sequencer{
		cfg: cfg, log: rt.Log.With("role", "sequencer", "slot", cfg.Slot), ready: rt.Ready, m: newMetrics(rt.Metrics), admin: adm,
		schemas: newSchemaCache(cfg.Schemas), stop: ctx,
	}
	s.cfg.Kafka.Log = s.log
	s.m.keyLimit.Set(float64(cfg.KeyMemory))
	defer s.reports.Wait()
	defer s.schemas.close()
	s.ready.Set("sequencer", errors.New("joining the group"))
	err = txn.Sessions(ctx, s.log, cfg.Slot, func(err error) { s.ready.Set("sequencer", err) }, func(ctx context.Context) (bool, error) {
		if err := s.checkTopics(ctx); err != nil {
			return false, err
		}
		committed, err := s.runSession(ctx)
		if errors.Is(err, txn.ErrInstanceTaken) && !s.rivalled(ctx) {
			err = errors.New("the group took this process for another one, which is not there") // not ErrFenced: a new session begins
		}
		return committed, err
	})
	if err != nil {
		return fmt.Errorf("sequencer: %w", err)
	}
	return nil
}

// checkTopics compares the partition counts of the topics that are written side by side.
func (s *sequencer) checkTopics(ctx context.Context) error {
	names := []string{kafka.TopicIngress, kafka.TopicEvents, kafka.TopicDeadLetter, kafka.TopicReceipts, kafka.TopicState}
	topics, err := s.admin.Topics(ctx, names...)
	if err != nil {
		return fmt.Errorf("topics: %w", err)
	}
	for _, n := range names {
		t, ok := topics[n]
		if !ok {
			return fmt.Errorf("topic %s does not exist; create it with: neuronx provision --execute", n)
		}
		if n == kafka.TopicIngress {
			s.partitions = t.Partitions
		}
		if t.Partitions != s.partitions {
			return fmt.Errorf("topic %s has %d partitions, %s has %d; they must be equal", n, t.Partitions, kafka.TopicIngress, s.partitions)
		}
	}
	return nil
}

func (s *sequencer) metadata(logID string) string {
	return kafka.CommitMark + ":" + s.cfg.Slot + ":" + logID
}
