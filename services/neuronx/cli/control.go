package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/pkg/kafka"
	"github.com/neuronx/engine/pkg/kafka/read"
	"github.com/neuronx/engine/services/projector"
)

// controlProgress is how far the tables of tenants and keys are that are shown, for one tenant.
type controlProgress struct {
	state    consumer.State // empty: nothing is shown yet
	sequence int64
	seen     int64
	reason   string
}

func loadControl(ctx context.Context, pool *pgxpool.Pool, tenantID string) (controlProgress, error) {
	var p controlProgress
	err := pool.QueryRow(ctx, `SELECT p.state, p.sequence, p.seen, p.reason FROM neuronx.progress p
		JOIN projection.active a ON a.tenant_id = p.tenant_id AND a.generation = p.generation AND a.feed = $3
		WHERE p.consumer = $1 AND p.tenant_id = $2`,
		consumer.RowName(kafka.GroupProjector, projector.FeedControl), tenantID, projector.FeedControl).Scan(&p.state, &p.sequence, &p.seen, &p.reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, failed("read how far tenants and keys are", err)
	}
	return p, nil
}

func (p controlProgress) String() string {
	switch p.state {
	case "":
		return "nothing of the tenant is there yet"
	case consumer.Stalled:
		return fmt.Sprintf("stalled at sequence %d: %s", p.sequence+1, p.reason)
	}
	return fmt.Sprintf("%s at sequence %d", p.state, p.sequence)
}

// applied waits until the tables that the HTTP role goes by have taken in a command. What is recorded there is certain; what it waits for
// is the feed control of the projector, which no read model holds up.
func (c *cli) applied(cmd *cobra.Command, d done) error {
	if c.value(envPostgres) == "" {
		c.note("%s is not set: not waiting for the tables of tenants and keys", envPostgres)
		return nil
	}
	ctx, cancel := c.bounded(cmd)
	defer cancel()
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	want, err := strconv.ParseInt(d.Sequence, 10, 64)
	if err != nil {
		return failed("read the sequence", err)
	}
	var at controlProgress
	ok, err := until(ctx, func() (bool, error) {
		now, err := loadControl(ctx, pool, d.Tenant)
		if err == nil {
			at = now
		}
		return at.sequence >= want, err
	})
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	e := partial("it is recorded as sequence %s, but not applied yet", d.Sequence).
		why("tenants and keys (feed control of %s): %s", kafka.GroupProjector, at)
	if at.state == consumer.Stalled {
		return e.next("neuronx stalled retry --consumer projector --feed control --tenant %s; the command need not be given again", d.Tenant)
	}
	return e.next("is the projector running? see `neuronx status`; the command need not be given again")
}

// controlBehind says what the tables of tenants and keys lack of a tenant's part of the log; empty: nothing.
func (c *cli) controlBehind(ctx context.Context, tenantID string) (string, error) {
	pool, err := c.pool(ctx)
	if err != nil {
		return "", err
	}
	at, err := loadControl(ctx, pool, tenantID)
	if err != nil {
		return "", err
	}
	if at.state != consumer.Live || at.seen > at.sequence {
		return at.String(), nil
	}
	admin, err := c.admin()
	if err != nil {
		return "", err
	}
	w, err := newWatch(ctx, admin, tenantID)
	if err != nil {
		return "", failed("look at the log", err)
	}
	// Records that the projector has not read yet: the tenant's own among them are missing from the tables.
	var next int64
	err = pool.QueryRow(ctx, `SELECT next_offset FROM neuronx.partition_progress WHERE consumer = $1 AND topic = $2 AND partition = $3`,
		kafka.GroupProjector, kafka.TopicEvents, w.partition).Scan(&next)
	if err != nil {
		return "", failed("read how far the projector is", err)
	}
	end := w.next[kafka.TopicEvents]
	if end <= next {
		return "", nil
	}
	cfg, err := c.kafka()
	if err != nil {
		return "", err
	}
	err = read.Range(ctx, cfg, kafka.TopicEvents, w.partition, next, end, func(r *kafka.Record) error {
		if string(r.Key) != tenantID {
			return nil
		}
		if e, err := kafka.ParseRecorded(r); err == nil && e.Sequence <= at.sequence {
			return nil
		}
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return at.String() + "; the log has more", nil
	case err != nil:
		return "", failed("read the log", err)
	}
	return "", nil
}
