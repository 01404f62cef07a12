package sequencer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/neuronx/engine/pkg/control"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/txn"
	"github.com/neuronx/engine/services/ingest/sequencer/admission"
)

// Reset is an operator's change of the group's offset, which is undone: the group's offset is not the sequencer's position, and
// going by it would admit events twice or never.
type Reset struct {
	ID        string // of the replay events
	Partition int32
	Truth     int64 // the offset that counts, and is restored
	Operator  int64 // the offset that was set
	Tenants   []string

	began    time.Time     // of the report
	reported chan struct{} // closed at its end
}

const (
	reportWait  = 3 * time.Second
	retryReport = 5 * time.Millisecond
)

func newReset(s *admission.State, operator int64, session string) *Reset {
	r := &Reset{ID: session, Partition: s.Partition, Truth: s.Next, Operator: operator}
	if r.ID == "" {
		// The same reset found twice, because of a crash in between, is reported once.
		r.ID = event.DerivedID(s.LogID, "reset", fmt.Sprint(s.Partition), fmt.Sprint(s.Next), fmt.Sprint(operator))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Tenants)) {
		if s.Tenants[name].Status != 0 {
			r.Tenants = append(r.Tenants, name)
		}
	}
	return r
}

// undo reports an operator's reset and sets the group's offset back to the state's, before anything else is committed for the partition.
// The report comes first, so that a crash in between repeats it instead of losing it; an unreachable Kafka or registry does not hold
// the partition up for longer than reportWait.
func (c *session) undo(p *partition) {
	// A process that is told to stop cuts its report off: the next owner finds the reset again, and reports it.
	if p.reset != nil && c.cfg.Publisher != nil && (c.stop.Err() != nil || !p.reportedOrLate(c)) {
		p.retry = time.Now().Add(retryReport)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	o := txn.Offset{Next: p.state.Next, Epoch: -1, Metadata: c.metadata(p.state.LogID), Assignment: p.assignment}
	if err := c.Txn.CommitPlain(ctx, p.id, o); err != nil {
		c.log.Warn("offset of the group not set back yet", "partition", p.id, "err", err)
		p.retry = time.Now().Add(retryUndo)
		return
	}
	if r := p.reset; r != nil {
		c.m.resets.Inc()
		c.log.Warn("an operator's reset of this group was undone: the sequencer's position is its own state, not the group's offset",
			"partition", r.Partition, "operator_offset", r.Operator, "restored_offset", r.Truth, "reset", r.ID)
	}
	p.reset = nil
	c.run(p)
}

// reportedOrLate starts the report at the first call and says whether it is written, or is no longer waited for.
func (p *partition) reportedOrLate(c *session) bool {
	if p.reset.reported == nil {
		p.reset.reported, p.reset.began = make(chan struct{}), time.Now()
		r := *p.reset
		c.reports.Go(func() {
			c.report(r)
			close(r.reported)
			c.Wake.Set()
		})
	}
	select {
	case <-p.reset.reported:
		return true
	default:
		return time.Since(p.reset.began) > reportWait
	}
}

// report records the reset in the stream of every tenant of the partition.
func (s *sequencer) report(r Reset) {
	ctx, cancel := context.WithTimeout(s.stop, time.Minute)
	defer cancel()
	const meaning = "refused: undone"
	for _, tenant := range r.Tenants {
		base := map[string]any{"replay_id": r.ID, "group": kafka.GroupSequencer, "topic": kafka.TopicIngress, "partition": int(r.Partition)}
		started, completed := maps.Clone(base), maps.Clone(base)
		started["from_offset"], started["to_offset"], started["meaning"], started["by"] = r.Truth, r.Operator, meaning, "an operator's offset reset"
		completed["outcome"], completed["examined"], completed["differences"] = meaning, int64(0), int64(0)
		completed["detail"] = fmt.Sprintf("the group's offset was set from %d to %d and back", r.Truth, r.Operator)
		for _, e := range []struct {
			what string
			data map[string]any
		}{{"started", started}, {"completed", completed}} {
			id := event.DerivedID(tenant, "replay", r.ID, fmt.Sprint(r.Partition), e.what)
			if _, err := s.cfg.Publisher.Publish(ctx, tenant, "engine.replay."+e.what, "replay/"+r.ID, id, e.data, control.WithSource("sequencer")); err != nil {
				s.log.Warn("reset not reported", "tenant", tenant, "err", err)
			}
		}
	}
}
