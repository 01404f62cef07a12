package archiver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/outbox"
)

// errOtherLetter means that another dead letter is kept of the same refused record: a log that was recreated, or a forged one.
var errOtherLetter = errors.New("another dead letter is kept under the same topic, partition and offset")

// ApplyDeadLetters keeps dead letters. One that is kept already is compared, not overwritten. Another one of the same refused record is
// kept under its own location in neuronx.deadletter, and if even that is taken, is counted and passed over: there is no tenant to set aside,
// so an error would stop the archive of all.
func (a *Archiver) ApplyDeadLetters(ctx context.Context, tx pgx.Tx, letters []consumer.DeadLetter) error {
	for i := range letters {
		row := letterRow(&letters[i])
		err := a.keepLetter(ctx, tx, &row)
		if errors.Is(err, errOtherLetter) && row.topic != kafka.TopicDeadLetter {
			a.m.conflicts.Inc()
			a.log.Error("two dead letters name the same refused record; the second is kept under its own location", "topic", row.topic,
				"partition", row.partition, "offset", row.offset, "letter_partition", row.LetterPartition, "letter_offset", row.LetterOffset)
			row.inOwnLocation()
			err = a.keepLetter(ctx, tx, &row)
		}
		if errors.Is(err, errOtherLetter) {
			a.m.conflicts.Inc()
			a.log.Error("a dead letter is not archived, because another one is kept under its location; it can be read in the topic until that is trimmed",
				"topic", row.topic, "letter_partition", row.LetterPartition, "letter_offset", row.LetterOffset)
			err = nil
		}
		if err != nil {
			return err
		}
		// A redrive that was refused again has used up its number.
		if _, err := a.box.Refused(ctx, tx, &letters[i].Event); err != nil && !errors.Is(err, outbox.ErrConflict) {
			return err
		}
	}
	return nil
}

// keepLetter inserts a row, or compares the one that is there.
func (a *Archiver) keepLetter(ctx context.Context, tx pgx.Tx, row *letter) error {
	tag, err := tx.Exec(ctx, `INSERT INTO neuronx.dead_letters (topic, partition, "offset", tenant_id, reason, detail, event_id, event_type,
			source, subject, deriver, deriver_number, recorded_at, letter_partition, letter_offset, key, headers, value, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (topic, partition, "offset") DO NOTHING`, row.args()...)
	if err != nil {
		return fmt.Errorf("keep dead letter of %s/%d/%d: %w", row.topic, row.partition, row.offset, err)
	}
	if tag.RowsAffected() == 1 {
		a.m.deadLetters.WithLabelValues(event.Code(row.Code).Label()).Inc()
		return nil
	}
	var hash []byte
	err = tx.QueryRow(ctx, `SELECT hash FROM neuronx.dead_letters WHERE topic = $1 AND partition = $2 AND "offset" = $3`,
		row.topic, row.partition, row.offset).Scan(&hash)
	if err != nil {
		return fmt.Errorf("compare dead letter of %s/%d/%d: %w", row.topic, row.partition, row.offset, err)
	}
	if !bytes.Equal(hash, row.hash[:]) {
		return fmt.Errorf("dead letter of %s/%d/%d: %w", row.topic, row.partition, row.offset, errOtherLetter)
	}
	return nil
}

// letter is a row of neuronx.dead_letters.
type letter struct {
	consumer.DeadLetter
	topic     string
	partition int32
	offset    int64
	reason    string
	headers   []byte
	hash      [32]byte
}

// letterRow makes the row; it is pure. A letter that does not say which record it is of is named by its own location. So is one that claims
// to be of a dead letter, which none of ours is: it must not take the place of another.
func letterRow(d *consumer.DeadLetter) letter {
	l := letter{DeadLetter: *d, topic: text(d.Topic), partition: d.Partition, offset: d.Offset, reason: text(d.Code), headers: archive.EncodeHeaders(d.Headers)}
	if l.topic == "" || l.topic == kafka.TopicDeadLetter || l.partition < 0 || l.offset < 0 {
		l.inOwnLocation()
	}
	if l.reason == "" {
		l.reason = "unknown"
	}
	if l.RecordedTime.IsZero() {
		l.RecordedTime = d.LetterRecordTime
	}
	if y := l.RecordedTime.UTC().Year(); y < 1 || y > 9999 { // Kafka takes any timestamp, Postgres does not
		l.RecordedTime = time.Unix(0, 0).UTC()
	}
	l.hash = archive.HashLetter(d.Key, l.headers, d.Value)
	return l
}

// inOwnLocation names the letter by its own location.
func (l *letter) inOwnLocation() {
	l.topic, l.partition, l.offset = kafka.TopicDeadLetter, l.LetterPartition, l.LetterOffset
}

func (l *letter) args() []any {
	var tenant any
	if event.ValidTenant(l.TenantID) {
		tenant = l.TenantID
	}
	e := &l.Event
	return []any{l.topic, l.partition, l.offset, tenant, l.reason, text(l.Detail), text(e.ID), text(e.Type), text(e.Source), text(e.Subject),
		text(e.Deriver), e.DeriverNumber, l.RecordedTime, l.LetterPartition, l.LetterOffset, l.Key, l.headers, l.Value, l.hash[:]}
}

// maxText bounds a column by which dead letters are found: an index row of Postgres holds at most 2,704 bytes.
const maxText = 1024

// text makes of anything what a text column takes: UTF-8, without NUL, bounded. The bytes as they came are in headers.
func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
