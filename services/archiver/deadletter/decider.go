package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/backoff"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/outbox"
	"github.com/neuronx/engine/pkg/postgres"
)

// Schemas finds schemas by id and by type. *registry.Client is one.
type Schemas interface {
	SchemaByID(ctx context.Context, id int32) (*avro.Schema, error)
	ByType(ctx context.Context, eventType string) (int32, *avro.Schema, error)
}

// Decider decides about requests. Any number may run: a tenant's requests are decided one after the other.
type Decider struct {
	Pool    *pgxpool.Pool
	Box     *outbox.Outbox
	Keys    *event.Keyring
	Schemas Schemas
	Log     *slog.Logger
	Poll    time.Duration // default 250 ms
	Report  func(error)   // is told what became of each look for requests; may be nil
}

const (
	atOnce   = 100                 // requests of one transaction
	keptDays = 30 * 24 * time.Hour // decided requests; what they did is in the log
)

// Run decides until ctx ends, then returns nil. A database that is away is waited for.
func (d *Decider) Run(ctx context.Context) error {
	if d.Poll == 0 {
		d.Poll = 250 * time.Millisecond
	}
	for failures := 0; ctx.Err() == nil; {
		n, err := d.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if d.Report != nil {
			d.Report(err)
		}
		pause := d.Poll
		switch {
		case err != nil:
			d.Log.Error("requests about dead letters cannot be decided; trying again", "err", err)
			pause = max(pause, backoff.Pause(failures))
			failures++
		case n > 0:
			failures = 0
			continue
		default:
			failures = 0
		}
		_ = backoff.Wait(ctx, pause)
	}
	return nil
}

type request struct {
	id        uuid.UUID
	topic     string
	partition int32
	offset    int64
	ask       Ask
}

// pass decides about the next tenant's requests in one transaction.
func (d *Decider) pass(ctx context.Context) (n int, err error) {
	var tenant string
	err = d.Pool.QueryRow(ctx, `SELECT tenant_id FROM neuronx.dead_letter_requests WHERE state = 'new' ORDER BY requested_at LIMIT 1`).Scan(&tenant)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for requests: %w", err)
	}
	err = pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
		// The second decider sees what the first put into the outbox, so a letter is sent once.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('deadletter/' || $1, 0))`, tenant); err != nil {
			return fmt.Errorf("lock requests: %w", err)
		}
		requests, err := waiting(ctx, tx, tenant)
		if err != nil {
			return err
		}
		there, err := TenantExists(ctx, tx, tenant)
		if err != nil {
			return err
		}
		for _, r := range requests {
			if err := d.one(ctx, tx, tenant, there, r); err != nil {
				return err
			}
		}
		n = len(requests)
		_, err = tx.Exec(ctx, `DELETE FROM neuronx.dead_letter_requests WHERE state <> 'new' AND decided_at < now() - make_interval(secs => $1)`, keptDays.Seconds())
		return err
	})
	return n, err
}

func waiting(ctx context.Context, tx pgx.Tx, tenant string) ([]request, error) {
	rows, err := tx.Query(ctx, `SELECT id, topic, partition, "offset", action, origin = 'live', value, by, reason FROM neuronx.dead_letter_requests
		WHERE state = 'new' AND tenant_id = $1 ORDER BY requested_at, id LIMIT $2`, tenant, atOnce)
	return postgres.Collect(rows, err, "read requests", func(row pgx.CollectableRow) (r request, err error) {
		return r, row.Scan(&r.id, &r.topic, &r.partition, &r.offset, &r.ask.Action, &r.ask.Live, &r.ask.Value, &r.ask.By, &r.ask.Reason)
	})
}

// one decides about a request. A refusal is an answer; an error is of the machine, and the transaction is tried again.
func (d *Decider) one(ctx context.Context, tx pgx.Tx, tenant string, there bool, r request) error {
	err := d.act(ctx, tx, tenant, there, r)
	state, code, detail := "done", "", ""
	var refusal *event.Refusal
	switch {
	case errors.As(err, &refusal):
		state, code, detail = "refused", string(refusal.Code), refusal.Detail
	case err != nil:
		return err
	}
	return postgres.Exec(ctx, tx, "answer request", `UPDATE neuronx.dead_letter_requests SET state = $2, code = $3, detail = $4, decided_at = now(), value = NULL WHERE id = $1`,
		r.id, state, code, detail)
}

func (d *Decider) act(ctx context.Context, tx pgx.Tx, tenant string, there bool, r request) error {
	l, err := Load(ctx, tx, r.topic, r.partition, r.offset)
	if err != nil {
		return err
	}
	if l.Tenant != tenant {
		return event.Refuse(event.CodeTenantMismatch, "the dead letter is not of this tenant")
	}
	if l.State == Open {
		// Under way: the outbox holds it until the log or the dead letters do, and the row goes when the decision comes.
		waiting, err := outbox.Waits(ctx, tx, tenant, Deriver, l.id(Retried), l.id(Dropped))
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(waiting, l.id(Retried)):
			l.State = Retried
		case len(waiting) > 0:
			l.State = Dropped
		}
	}
	var transient error
	v, refusal := Decide(l, r.ask, Environment{Verify: d.Keys.Verify, Tenant: there, Schema: func(id int32) (*avro.Schema, error) {
		s, err := d.Schemas.SchemaByID(ctx, id)
		if err != nil && !isUnknown(err) {
			transient = err
		}
		return s, err
	}})
	switch {
	case transient != nil:
		return fmt.Errorf("find a schema: %w", transient)
	case refusal != nil:
		return refusal
	case r.ask.Action == Drop && !there:
		return postgres.Exec(ctx, tx, "drop a letter that has no tenant", `INSERT INTO neuronx.dead_letter_decisions (kind, topic, partition, "offset", by, reason, decided_at)
			VALUES ('dropped', $1, $2, $3, $4, $5, now())`, l.Topic, l.Partition, l.Offset, r.ask.By, r.ask.Reason)
	}
	evs, err := d.events(ctx, l, r.ask, v)
	if err != nil {
		return err
	}
	d.Log.Info("decided about a dead letter", "tenant", tenant, "ref", l.Ref(), "code", l.Reason, "action", r.ask.Action, "by", r.ask.By)
	return d.Box.Add(ctx, tx, evs...)
}

// events are what is sent: what was decided, and then the event itself.
func (d *Decider) events(ctx context.Context, l *Letter, ask Ask, v Verdict) ([]*event.Event, error) {
	base := func() map[string]any {
		return map[string]any{"topic": l.Topic, "partition": l.Partition, "offset": l.Offset, "code": l.Reason,
			"refused_id": orNil(l.EventID), "by": orNil(ask.By), "reason": orNil(ask.Reason)}
	}
	var out []*event.Event
	tell := func(what string, data map[string]any) error {
		typ := "engine.dead_letter." + what
		id, schema, err := d.Schemas.ByType(ctx, typ)
		if err != nil {
			return fmt.Errorf("find the schema of %s: %w", typ, err)
		}
		body, err := schema.EncodeMap(data)
		if err != nil {
			return fmt.Errorf("encode %s: %w", typ, err)
		}
		out = append(out, &event.Event{TenantID: l.Tenant, ID: l.id(what), Source: "/neuronx/archiver", Type: typ, Subject: "dead_letter/" + l.Ref(),
			Time: time.Now().UTC().Truncate(time.Microsecond), ContentType: event.ContentTypeAvro, Origin: event.OriginLive, Value: event.Frame(id, body)})
		return nil
	}
	if v.Redrive == nil {
		data := base()
		data["reason"] = ask.Reason
		return out, tell(Dropped, data)
	}
	if ask.Action == Edit {
		data := base()
		names := make([]any, len(v.Fields))
		for i, f := range v.Fields {
			names[i] = f
		}
		data["fields"] = names
		if err := tell("edited", data); err != nil {
			return nil, err
		}
	}
	data := base()
	data["redrive_id"], data["origin"] = v.Redrive.ID, string(v.Redrive.EffectiveOrigin())
	if err := tell(Retried, data); err != nil {
		return nil, err
	}
	return append(out, v.Redrive), nil
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
