package deadletter

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

func isUnknown(err error) bool { return errors.Is(err, registry.ErrUnknown) }

// Decode reads an event's data; *consumer.Decoder has it.
type Decode func(ctx context.Context, r *event.Recorded) (map[string]any, error)

// Fold takes in what a stretch of the log says about dead letters, and what of the outbox it shows to have arrived. It may be told of
// the same event again.
func Fold(ctx context.Context, tx pgx.Tx, box *outbox.Outbox, decode Decode, log *slog.Logger, events []event.Recorded) error {
	var seen []outbox.Mark
	for i := range events {
		r := &events[i]
		what, told := strings.CutPrefix(r.Type, "engine.dead_letter.")
		own := box.Own(r)
		if own {
			seen = append(seen, outbox.Mark{Tenant: r.TenantID, Number: r.DeriverNumber, EventID: r.ID})
		}
		var err error
		switch {
		case told:
			err = decided(ctx, tx, decode, log, what, r)
		case own:
			err = insert(ctx, tx, r, "admitted", "", -1, -1, r.ID, "", "")
		}
		if err != nil {
			return err
		}
	}
	if err := box.SeenAll(ctx, tx, seen); err != nil && !errors.Is(err, outbox.ErrConflict) {
		return err
	}
	return nil
}

// maxNote bounds the texts of a decision, in bytes.
const maxNote = 1024

func decided(ctx context.Context, tx pgx.Tx, decode Decode, log *slog.Logger, what string, r *event.Recorded) error {
	if what != Retried && what != "edited" && what != Dropped {
		return nil
	}
	data, err := decode(ctx, r)
	if err != nil {
		if !errors.Is(err, registry.ErrUnavailable) {
			// The archive of a tenant does not stop for a note about a dead letter.
			log.Error("a decision about a dead letter cannot be read and is ignored", "tenant", r.TenantID, "sequence", r.Sequence, "err", err)
			return nil
		}
		return err
	}
	// As Postgres and its indexes take it: the archive of a tenant does not stop for what such a note holds.
	text := func(name string) string {
		s, _ := data[name].(string)
		return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), maxNote)], "\uFFFD"), "\x00", "\uFFFD")
	}
	partition, _ := data["partition"].(int32)
	if p, ok := data["partition"].(int64); ok {
		partition = int32(p) //nolint:gosec // an int of the schema
	}
	offset, _ := data["offset"].(int64)
	return insert(ctx, tx, r, what, text("topic"), partition, offset, text("redrive_id"), text("by"), text("reason"))
}

func insert(ctx context.Context, tx pgx.Tx, r *event.Recorded, kind, topic string, partition int32, offset int64, redrive, by, reason string) error {
	return postgres.Exec(ctx, tx, "note a decision about a dead letter", `INSERT INTO neuronx.dead_letter_decisions (tenant_id, sequence, kind, topic, partition, "offset", redrive_id, by, reason, decided_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, sequence) DO NOTHING`,
		r.TenantID, r.Sequence, kind, topic, partition, offset, redrive, by, reason, r.RecordedTime)
}
