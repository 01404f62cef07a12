package effects

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
)

// Reset implements consumer.ResetHandler: commands between the operator's offset and the row are delivered to the ledger again.
// What it knows stays as it is, so nothing is sent twice; what it lacks is inserted, once effects as unknown, because they were read
// before. Examined counts commands, Differences those that the ledger lacked, Detail those that were never sent.
// A reset forward asks for nothing: the loop goes on from its row and leaves nothing out.
func (h *handler) Reset(ctx context.Context, r consumer.Reset) error {
	report := r.Report
	if report == nil {
		report = &consumer.ResetReport{}
	}
	if !r.Back() || r.Topic != kafka.TopicEvents {
		report.Detail = "nothing is left out: the ledger reads on from its own row"
		return nil
	}
	unsent := map[crm.Status]int64{}
	// What an attempt inserted before it failed is inserted, though the next one finds it there.
	*report = consumer.ResetReport{Differences: report.Differences}
	unreadable := 0
	err := read.Range(ctx, h.kafka, r.Topic, r.Partition, r.To, r.From, func(rec *kafka.Record) error {
		ev, err := kafka.ParseRecorded(rec)
		if err != nil {
			h.log.Warn("skipped a record of the log that is not an event", "partition", rec.Partition, "offset", rec.Offset, "err", err)
			unreadable++
			return nil
		}
		kind, is := crm.KindOf(ev.Type)
		if !is || ev.Quiet != "" {
			return nil
		}
		var inserted bool
		var e ledger.Effect
		err = pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) (err error) {
			if inserted, err = h.record(ctx, tx, &ev, kind, true, &standing{}); err != nil {
				return err
			}
			e, _, err = h.ledger.Get(ctx, tx, ev.TenantID, ev.ID, false)
			if err == nil && inserted {
				err = h.toldBefore(ctx, tx, e)
			}
			return err
		})
		if err != nil {
			return err
		}
		report.Examined++
		if inserted { // and committed
			report.Differences++
		}
		if e.Status != crm.Done && e.Status != crm.Sending {
			unsent[e.Status]++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("redeliver %s-%d: %w", r.Topic, r.Partition, err)
	}
	report.Detail = describe(unsent)
	if unreadable > 0 {
		report.NotCounted = fmt.Sprintf("%d records of the log could not be read", unreadable)
	}
	return nil
}

// toldBefore looks in the archive whether the log was told of an effect that the ledger lacked, so that it is not told twice.
func (h *handler) toldBefore(ctx context.Context, tx pgx.Tx, e ledger.Effect) error {
	if recordedModes[e.Status] == "" || h.facts.archive == nil {
		return nil
	}
	id := recordedID(h.ledger.Adapter, e)
	_, err := h.facts.archive.ByID(ctx, e.TenantID, id)
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return told(ctx, tx, h.ledger, e.TenantID, e.ID, id)
}

func describe(unsent map[crm.Status]int64) string {
	if len(unsent) == 0 {
		return "every command was carried out"
	}
	var parts []string
	for s, n := range unsent {
		parts = append(parts, fmt.Sprintf("%d %s", n, s))
	}
	sort.Strings(parts)
	return "never carried out: " + strings.Join(parts, ", ") + " (see `neuronx effects list`)"
}
