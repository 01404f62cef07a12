package timers

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// Log are the Positions of Kafka and of the rules' own rows.
type Log struct {
	Admin *admin.Client
	Kafka kafka.Config
	Pool  *pgxpool.Pool

	mu   sync.Mutex
	last map[kafka.TopicPartition]int64 // positions at the last look
}

// IngressEnd implements Positions.
func (l *Log) IngressEnd(ctx context.Context, p int32) (int64, error) {
	return l.end(ctx, kafka.TopicIngress, p)
}

// LogEnd implements Positions.
func (l *Log) LogEnd(ctx context.Context, p int32) (int64, error) {
	return l.end(ctx, kafka.TopicEvents, p)
}

func (l *Log) end(ctx context.Context, topic string, p int32) (int64, error) {
	ends, err := l.Admin.EndOffsets(ctx, admin.ReadUncommitted, topic)
	if err != nil {
		return 0, err
	}
	end, known := ends[kafka.TopicPartition{Topic: topic, Partition: p}]
	if !known {
		return 0, fmt.Errorf("Kafka does not say where partition %d of %s ends", p, topic)
	}
	return end, nil
}

// Sequenced implements Positions.
func (l *Log) Sequenced(ctx context.Context, p int32, before int64) (bool, error) {
	committed, err := l.Admin.Committed(ctx, kafka.GroupSequencer)
	if err != nil {
		return false, err
	}
	c := committed[kafka.TopicPartition{Topic: kafka.TopicIngress, Partition: p}]
	if !c.Present {
		return before == 0, nil
	}
	return l.passed(ctx, kafka.TopicIngress, p, c.Offset, before)
}

// Applied implements Positions.
func (l *Log) Applied(ctx context.Context, p int32, before int64) (bool, error) {
	rows, err := consumer.Offsets(ctx, l.Pool, kafka.GroupRules, kafka.TopicEvents, p)
	if err != nil {
		return false, err
	}
	next := int64(0)
	for _, r := range rows {
		next = max(next, r.Next)
	}
	return l.passed(ctx, kafka.TopicEvents, p, next, before)
}

// passed reports whether a position is past an offset, or stands still before nothing but control records, which end each transaction.
func (l *Log) passed(ctx context.Context, topic string, p int32, at, before int64) (bool, error) {
	if at >= before {
		return true, nil
	}
	l.mu.Lock()
	if l.last == nil {
		l.last = map[kafka.TopicPartition]int64{}
	}
	tp := kafka.TopicPartition{Topic: topic, Partition: p}
	stood, known := l.last[tp]
	l.last[tp] = at
	l.mu.Unlock()
	if !known || stood != at {
		return false, nil
	}
	return consumer.NothingBetween(ctx, l.Kafka, topic, p, at, before)
}
