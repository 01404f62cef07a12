package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/postgres"
)

// maxStored bounds the record of a row, in bytes, also of a forged one; the table's constraint outbox_bounds says the same.
const maxStored = 1 << 20

// errUnknownKey says that a row carries a seal of a key that is not in the keyring: it was taken out while rows were waiting.
var errUnknownKey = errors.New("outbox: the row was sealed with a signing key that this process does not have; put the key back into the keyring until the outbox is empty")

const sealPurpose = "outbox v1"

// seal is what shows that a process of the engine made a row.
func seal(keys *event.Keyring, tenant, deriver string, number int64, eventID string, record []byte) string {
	return keys.Seal(sealPurpose, []byte(tenant), []byte(deriver), strconv.AppendInt(nil, number, 10), []byte(eventID), record)
}

// sealedBy tells whether the row carries a seal of one of the keys over what it holds.
func sealedBy(keys *event.Keyring, r *row) bool {
	return keys.Sealed(r.seal, sealPurpose, []byte(r.tenant), []byte(r.deriver), strconv.AppendInt(nil, r.number, 10), []byte(r.eventID), r.record)
}

// vet decides whether a row may be sent, and reads its event. It is pure. ErrNewer and errUnknownKey say that another process may know
// better, so that the row waits; any other error says why the row is forbidden. sealed tells whether rows without a seal are by now; those that
// were noted when seals began never are.
func vet(keys *event.Keyring, r *row, sealed bool) (event.Event, error) {
	switch {
	case r.size > maxStored:
		return event.Event{}, fmt.Errorf("it has %d bytes, more than %d", r.size, maxStored)
	case r.seal == "" && sealed && !r.noted:
		return event.Event{}, errors.New("it has no seal: no process of the engine wrote it")
	case r.seal != "" && !keys.Knows(r.seal):
		return event.Event{}, errUnknownKey
	case r.seal != "" && !sealedBy(keys, r):
		return event.Event{}, errors.New("its seal does not match: no process of the engine wrote it")
	}
	e, err := Decode(r.tenant, r.record)
	switch {
	case err != nil:
		return event.Event{}, err
	case e.ID != r.eventID:
		return event.Event{}, fmt.Errorf("its record is of event %q, the row of %q", e.ID, r.eventID)
	case e.Deriver != r.deriver || e.DeriverNumber != r.number:
		return event.Event{}, fmt.Errorf("its record is number %d of deriver %q, the row number %d of %q", e.DeriverNumber, e.Deriver, r.number, r.deriver)
	}
	if refusal := e.CheckDerived(); refusal != nil && (e.Type != event.TypeSetAside || r.seal == "") {
		return event.Event{}, refusal
	}
	return e, nil
}

// placeholder uses up the number of a row that is not sent: the sequencer refuses it, and the deriver sees that in the dead letters.
func placeholder(tenant, deriver string, number int64) *event.Event {
	n := strconv.FormatInt(number, 10)
	return &event.Event{
		TenantID: tenant, ID: event.DerivedID(tenant, "outbox", deriver, n, "set aside"), Source: "/neuronx/" + deriver, Type: event.TypeSetAside,
		Subject: "outbox/" + deriver + "/" + n, Time: time.Now().UTC().Truncate(time.Microsecond), ContentType: event.ContentTypeAvro,
		Origin: event.OriginLive, Deriver: deriver, DeriverNumber: number,
	}
}

// setAside keeps a row that must not be sent in neuronx.outbox_forbidden and puts a placeholder in its place. A row above the last number
// that was given out takes no number of the deriver's and gets no placeholder: the sequencer would wait for what lies between.
func setAside(ctx context.Context, tx pgx.Tx, keys *event.Keyring, r *row, why error) error {
	var last int64
	err := tx.QueryRow(ctx, `SELECT last FROM neuronx.outbox_numbers WHERE tenant_id = $1 AND deriver = $2 FOR UPDATE`, r.tenant, r.deriver).Scan(&last)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("set an outbox row aside: %w", err)
	}
	if err := remove(ctx, tx, r, why); err != nil || r.number > last {
		return err
	}
	return insertRow(ctx, tx, keys, placeholder(r.tenant, r.deriver, r.number))
}

// remove moves a row to neuronx.outbox_forbidden.
func remove(ctx context.Context, tx pgx.Tx, r *row, why error) error {
	if err := keepForbidden(ctx, tx, r, why); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `DELETE FROM neuronx.outbox WHERE tenant_id = $1 AND deriver = $2 AND number = $3 AND event_id = $4 AND seal = $5`,
		r.tenant, r.deriver, r.number, r.eventID, r.seal)
	if err != nil {
		return fmt.Errorf("set an outbox row aside: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errors.New("set an outbox row aside: another row stands there by now")
	}
	return nil
}

func keepForbidden(ctx context.Context, tx pgx.Tx, r *row, why error) error {
	text := why.Error()
	return postgres.Exec(ctx, tx, "keep a forbidden outbox row", `INSERT INTO neuronx.outbox_forbidden (tenant_id, deriver, number, event_id, record, reason, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, r.tenant, r.deriver, r.number, r.eventID, r.record, text[:min(len(text), 1000)], r.created)
}

// insertRow stores one event, which has its number.
func insertRow(ctx context.Context, tx pgx.Tx, keys *event.Keyring, e *event.Event) error {
	record, err := encodeRecord(e)
	if err != nil {
		return err
	}
	return postgres.Exec(ctx, tx, "put outbox row back", `INSERT INTO neuronx.outbox (tenant_id, deriver, number, event_id, record, seal) VALUES ($1, $2, $3, $4, $5, $6)`,
		e.TenantID, e.Deriver, e.DeriverNumber, e.ID, record, seal(keys, e.TenantID, e.Deriver, e.DeriverNumber, e.ID, record))
}

// sealsRequired tells whether rows without a seal are forbidden by now. Only the schema's owner can change when.
func sealsRequired(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (required bool, err error) {
	if err := q.QueryRow(ctx, `SELECT coalesce(bool_and(now() >= required_from), true) FROM neuronx.outbox_seals`).Scan(&required); err != nil {
		return false, fmt.Errorf("look whether outbox rows need seals: %w", err)
	}
	return required, nil
}
