package effects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/crm/ledger"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/registry"
	"github.com/neuronx/engine/pkg/outbox"
)

// Catalogue finds the newest schema of an event type. *registry.Client is one.
type Catalogue interface {
	ByType(ctx context.Context, eventType string) (id int32, s *avro.Schema, err error)
}

// outcomes makes the events that tell how effects ended.
type outcomes struct {
	adapter string // its name
	schemas Catalogue
	now     func() time.Time
}

// outcomeID is the id of the outcome of an effect after so many decisions of people. Two ends of the same effect without a decision
// between them are one outcome, whichever reports it.
func outcomeID(adapter, tenant, effectID string, resolutions int) string {
	return event.DerivedID(tenant, adapter, effectID, "outcome", strconv.Itoa(resolutions))
}

// build makes the outcome event of an end; nil when the end has none: what is unknown, recorded or off is told by a teller, and another
// try is no end.
func (o *outcomes) build(ctx context.Context, e ledger.Effect, end crm.End) (*event.Event, error) {
	data := map[string]any{"command_id": e.ID, "lead_id": leadID(e), "adapter": o.adapter}
	if end.Detail != "" {
		data["detail"] = end.Detail
	}
	typ := e.Kind
	switch end.Status {
	case crm.Done:
		typ += ".succeeded"
		if end.RemoteID != "" {
			data["remote_id"] = end.RemoteID
		}
	case crm.Failed:
		typ += ".failed"
		data["code"] = end.Code
	default:
		return nil, nil
	}
	id, schema, err := o.schemas.ByType(ctx, typ)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", typ, err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	env := e.Envelope
	path := append(append([]string{}, env.Path...), e.Kind+".requested<"+o.adapter+"@1")
	return &event.Event{
		TenantID: e.TenantID, ID: outcomeID(o.adapter, e.TenantID, e.ID, e.Resolutions), Source: "/neuronx/" + o.adapter, Type: typ, Subject: e.Subject,
		Time: o.now().UTC().Truncate(time.Microsecond), CorrelationID: env.CorrelationID, CausationID: e.ID, TraceParent: env.TraceParent,
		TraceState: env.TraceState, Hops: env.Hops + 1, Path: path[max(0, len(path)-event.MaxHops):], Origin: env.Origin,
		Value: event.Frame(id, body),
	}, nil
}

func leadID(e ledger.Effect) string {
	if e.Command.LeadID != "" {
		return e.Command.LeadID
	}
	lead, is := strings.CutPrefix(e.Subject, "lead/")
	if e.Command.Unfit != "" && !is {
		return "" // the subject is another thing's, or was made up for want of a usable lead id
	}
	return lead
}

const typeRecorded = "engine.effect.recorded"

// recordedModes are what engine.effect.recorded says of a status. Those that are missing have an outcome of their own, or will have.
var recordedModes = map[crm.Status]string{crm.Recorded: "record", crm.Off: "off", crm.Unknown: "unknown"}

// recordedID is the id of the event that tells of an effect whose status has one. It says what is told, so that telling it twice is seen.
func recordedID(adapter string, e ledger.Effect) string {
	return event.DerivedID(e.TenantID, adapter, e.ID, "recorded", recordedModes[e.Status], e.Code, strconv.Itoa(e.Resolutions))
}

// told notes that the log has an event of recorded already: the ledger was set back or filled again. The log would admit it once more, under
// the next number of the outbox.
func told(ctx context.Context, tx pgx.Tx, book ledger.Ledger, tenant, effectID, eventID string) error {
	e, found, err := book.Get(ctx, tx, tenant, effectID, true)
	if err != nil || !found || recordedModes[e.Status] == "" || recordedID(book.Adapter, e) != eventID {
		return err
	}
	return book.Told(ctx, tx, tenant, []string{effectID})
}

// recorded makes the event that tells what became of a command that was not sent, or of which it is not known; nil: its status says neither.
// It holds nothing but what the ledger holds and the log can make again.
func (o *outcomes) recorded(ctx context.Context, e ledger.Effect) (*event.Event, error) {
	mode, tells := recordedModes[e.Status]
	if !tells {
		return nil, nil
	}
	data := map[string]any{"effect_id": e.ID, "command": e.Kind, "adapter": o.adapter, "mode": mode}
	if e.Code != "" {
		data["code"] = e.Code
	}
	id, schema, err := o.schemas.ByType(ctx, typeRecorded)
	if err != nil {
		return nil, fmt.Errorf("find the schema of %s: %w", typeRecorded, err)
	}
	body, err := schema.EncodeMap(data)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typeRecorded, err)
	}
	return &event.Event{
		TenantID: e.TenantID, ID: recordedID(o.adapter, e), Source: "/neuronx/" + o.adapter,
		Type: typeRecorded, Subject: e.Subject, Time: time.UnixMilli(event.PositionTime(e.Position)).UTC(), CorrelationID: e.Envelope.CorrelationID,
		CausationID: e.ID, TraceParent: e.Envelope.TraceParent, TraceState: e.Envelope.TraceState, Origin: e.Envelope.Origin, Value: event.Frame(id, body),
	}, nil
}

// teller tells the log of effects that are not sent, or of which it is not known whether they were. It does so outside the batch of all tenants,
// which must wait for no registry, and holds up no effect that is sent.
type teller struct {
	ledger     ledger.Ledger
	pool       *pgxpool.Pool
	box        *outbox.Outbox
	outcomes   *outcomes
	partitions func(ctx context.Context) []int32 // whose effects may be told of now
	every      time.Duration
	log        *slog.Logger
}

// Limits of a look for what to tell: tenants take turns, and one with very many effects to tell of takes many.
const (
	toldAtOnce    = 100
	tenantsOfLook = 1000
)

// Run tells until ctx ends.
func (t *teller) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		n, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, registry.ErrUnknown):
			t.log.Error("the log can't be told of effects that are not sent: the registry lacks a schema of this build; run: neuronx provision --execute. Trying again", "err", err)
		case err != nil:
			t.log.Error("the log can't be told of effects that are not sent; trying again", "err", err)
		}
		wait := t.every
		if err != nil {
			wait = backoff.Pause(failures)
			failures++
		} else if failures = 0; n > 0 {
			continue
		}
		_ = backoff.Wait(ctx, wait)
	}
	return nil
}

// look tells of a few effects of each tenant, and how many in all.
func (t *teller) look(ctx context.Context) (told int, err error) {
	parts := t.partitions(ctx)
	if len(parts) == 0 {
		return 0, nil
	}
	after, bad := "", error(nil)
	for range tenantsOfLook {
		if after, err = t.ledger.UntoldTenant(ctx, t.pool, parts, after); err != nil {
			return told, err
		}
		if after == "" {
			break
		}
		n, failed := t.tell(ctx, after)
		told += n
		if failed != nil && bad == nil { // one tenant's trouble must not hold up the others
			bad = fmt.Errorf("tenant %s: %w", after, failed)
		}
		if ctx.Err() != nil || errors.Is(failed, registry.ErrUnknown) {
			break
		}
	}
	return told, bad
}

// tell tells of a few effects of a tenant in one transaction.
func (t *teller) tell(ctx context.Context, tenant string) (int, error) {
	n := 0
	err := pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		effects, err := t.ledger.Untold(ctx, tx, tenant, toldAtOnce)
		if err != nil || len(effects) == 0 {
			return err
		}
		var events []*event.Event
		ids := make([]string, len(effects))
		for i, e := range effects {
			ids[i] = e.ID
			ev, err := t.outcomes.recorded(ctx, e)
			if err != nil {
				return err
			}
			if ev != nil {
				events = append(events, ev)
			}
		}
		n = len(effects)
		if err := t.box.Add(ctx, tx, events...); err != nil {
			return err
		}
		return t.ledger.Told(ctx, tx, tenant, ids)
	})
	return n, err
}
