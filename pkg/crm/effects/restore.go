package effects

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/admin"
)

// behind lists the partitions whose rows lie below what the group has committed. A commit follows its row, so in a database
// that was not set back the row is behind by control records at most, which move the group's offset but no row. Only our own commits count; an operator's reset says nothing about the ledger.
func behind(rows map[int32]int64, committed map[kafka.TopicPartition]kafka.Committed) []int32 {
	var out []int32
	for tp, c := range committed {
		if tp.Topic == kafka.TopicEvents && c.Present && c.Ours() && c.Offset > rows[tp.Partition] {
			out = append(out, tp.Partition)
		}
	}
	return out
}

// freezeIfRestored finds out, before anything is read or sent, whether Kafka is ahead of the ledger, and freezes those partitions:
// the consumer's next commit would wipe the only trace. It returns the end of each partition, up to which the log must be read
// before effects are sent.
func freezeIfRestored(ctx context.Context, book ledger.Ledger, cfg kafka.Config, adm *admin.Client, q ledger.Querier, position int64, log *slog.Logger) (map[int32]int64, error) {
	committed, err := adm.Committed(ctx, book.Group())
	if err != nil {
		return nil, app.Blamed(app.ComponentKafka, err)
	}
	rows, err := book.NextOffsets(ctx, q, kafka.TopicEvents)
	if err != nil {
		return nil, err
	}
	for _, p := range behind(rows, committed) {
		upTo := committed[kafka.TopicPartition{Topic: kafka.TopicEvents, Partition: p}].Offset
		if nothing, err := consumer.NothingBetween(ctx, cfg, kafka.TopicEvents, p, rows[p], upTo); err == nil && nothing {
			continue
		} // a log that is trimmed there says nothing, and then the row counts as set back
		n, err := book.Freeze(ctx, q, "", p, position, "kafka_offset_ahead")
		if err != nil {
			return nil, err
		}
		log.Error("the ledger was restored from a backup: it is older than what Kafka says was read. Unsent effects of kind once are unknown until you resolve them with: neuronx effects resolve",
			"partition", p, "effects", n, "row", rows[p])
	}
	ends, err := adm.EndOffsets(ctx, admin.ReadCommitted, kafka.TopicEvents)
	if err != nil {
		return nil, app.Blamed(app.ComponentKafka, err)
	}
	heads := map[int32]int64{}
	for tp, end := range ends {
		heads[tp.Partition] = end
	}
	return heads, nil
}

// gate holds back the effects of a partition until the log was read up to where it ended when the process started: what looks
// unsent may have its outcome further on.
type gate struct {
	ledger ledger.Ledger
	q      ledger.Querier
	kafka  kafka.Config
	heads  map[int32]int64

	mu     sync.Mutex
	opened map[int32]bool
	last   map[int32]int64 // rows at the last look
	looked time.Time
}

func newGate(book ledger.Ledger, q ledger.Querier, cfg kafka.Config, heads map[int32]int64) *gate {
	return &gate{ledger: book, q: q, kafka: cfg, heads: heads, opened: map[int32]bool{}, last: map[int32]int64{}}
}

// open lists those of the owned partitions whose effects may be sent.
func (g *gate) open(ctx context.Context, owned []int32, log *slog.Logger) []int32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out, closed []int32
	for _, p := range owned {
		if g.opened[p] || g.heads[p] == 0 {
			out = append(out, p)
			continue
		}
		closed = append(closed, p)
	}
	if len(closed) == 0 || time.Since(g.looked) < 200*time.Millisecond {
		return out
	}
	g.looked = time.Now()
	rows, err := g.ledger.NextOffsets(ctx, g.q, kafka.TopicEvents)
	if err != nil {
		log.Warn("cannot find out how far the log was read; effects wait until it is known", "err", err)
		return out
	}
	for _, p := range closed {
		row, known := rows[p]
		readOne := known && row >= g.heads[p]
		if known && !readOne && row == g.last[p] {
			// Standing still below the end: only control records may be left, which move no row.
			readOne, err = consumer.NothingBetween(ctx, g.kafka, kafka.TopicEvents, p, row, g.heads[p])
			if err != nil {
				log.Warn("cannot find out whether the log was read to its end; effects wait until it is known", "partition", p, "err", err)
			}
		}
		g.last[p] = row
		if readOne {
			g.opened[p] = true
			out = append(out, p)
		}
	}
	return out
}
