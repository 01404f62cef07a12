package operate

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/projector"
)

// controlText says how far the tables of tenants and keys are that are shown, for one tenant. known is false where nothing is shown yet.
func controlText(at consumer.Row, known bool) string {
	switch {
	case !known:
		return "nothing of the tenant is there yet"
	case at.State == consumer.Stalled:
		return fmt.Sprintf("stalled at sequence %d: %s", at.Sequence+1, at.Reason)
	}
	return fmt.Sprintf("%s at sequence %d", at.State, at.Sequence)
}

// Applied waits until the tables that the HTTP role goes by have taken in a command. What is recorded there is certain; what it waits for
// is the feed control of the projector, which no read model holds up.
func (v *Env) Applied(ctx context.Context, d Done) error {
	if v.Value(EnvPostgres) == "" {
		v.Note("%s is not set: not waiting for the tables of tenants and keys", EnvPostgres)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, v.Timeout)
	defer cancel()
	pool, err := v.Pool(ctx)
	if err != nil {
		return err
	}
	want, err := strconv.ParseInt(d.Sequence, 10, 64)
	if err != nil {
		return Fail("read the sequence", err)
	}
	var at consumer.Row
	var known bool
	ok, err := Until(ctx, func() (bool, error) {
		now, is, err := projector.Shown(ctx, pool, d.Tenant, projector.FeedControl)
		if err == nil {
			at, known = now, is
		}
		return at.Sequence >= want, err
	})
	if err != nil {
		return Fail("read how far tenants and keys are", err)
	}
	if ok {
		return nil
	}
	e := Partial("it is recorded as sequence %s, but not applied yet", d.Sequence).
		Because("tenants and keys (feed control of %s): %s", kafka.GroupProjector, controlText(at, known))
	if at.State == consumer.Stalled {
		return e.Hint("neuronx stalled retry --consumer projector --feed control --tenant %s; the command need not be given again", d.Tenant)
	}
	return e.Hint("is the projector running? see `neuronx status`; the command need not be given again")
}

// ControlBehind says what the tables of tenants and keys lack of a tenant's part of the log; empty: nothing.
func (v *Env) ControlBehind(ctx context.Context, tenantID string) (string, error) {
	pool, err := v.Pool(ctx)
	if err != nil {
		return "", err
	}
	at, known, err := projector.Shown(ctx, pool, tenantID, projector.FeedControl)
	if err != nil {
		return "", Fail("read how far tenants and keys are", err)
	}
	if at.State != consumer.Live || at.Seen > at.Sequence {
		return controlText(at, known), nil
	}
	admin, err := v.Admin()
	if err != nil {
		return "", err
	}
	w, err := newWatch(ctx, admin, tenantID)
	if err != nil {
		return "", Fail("look at the log", err)
	}
	// Records that the projector has not read yet: the tenant's own among them are missing from the tables.
	offsets, err := consumer.Offsets(ctx, pool, kafka.GroupProjector, kafka.TopicEvents, w.partition)
	if err == nil && len(offsets) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return "", Fail("read how far the projector is", err)
	}
	next := offsets[0].Next
	end := w.next[kafka.TopicEvents]
	if end <= next {
		return "", nil
	}
	cfg, err := v.Kafka()
	if err != nil {
		return "", err
	}
	err = read.Range(ctx, cfg, kafka.TopicEvents, w.partition, next, end, func(r *kafka.Record) error {
		if string(r.Key) != tenantID {
			return nil
		}
		if e, err := kafka.ParseRecorded(r); err == nil && e.Sequence <= at.Sequence {
			return nil
		}
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return controlText(at, known) + "; the log has more", nil
	case err != nil:
		return "", Fail("read the log", err)
	}
	return "", nil
}
