package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neuronx/engine/e2e/cluster"
)

// scalingArchive measures what it costs at every point to archive an event: the archiver's process, the broker and Postgres. Ten times
// the tenants are enough: a tenant is a table, and it takes many minutes to make thousands of them.
func (b *bench) scalingArchive(ctx context.Context, r *report) error {
	points := b.points(10)
	all, err := b.atPoints(ctx, points, b.scaleArchive)
	if err == nil {
		r.scaling(jobScalingArchive, "one neuronx-archiver from a backlog of the log to committed rows, from its first commit on; the tables of all tenants are there and hold "+
			"as many rows as are archived at the base", points, all)
	}
	return err
}

// scaleArchive has the log of a point archived by an archiver that is new, in a database that is not: the events that warm up were
// archived by another.
func (b *bench) scaleArchive(ctx context.Context, p point) (out scaled, err error) {
	l, err := b.prepare(ctx, p)
	if err != nil {
		return out, err
	}
	defer l.close()
	if err := b.admitAndArchive(ctx, l); err != nil {
		return out, err
	}
	out.sample, err = b.archiving(ctx, p.events, sum(l.all))
	return out, err
}

// admitAndArchive has all of a backlog admitted, and what warms up archived.
func (b *bench) admitAndArchive(ctx context.Context, l *backlog) (err error) {
	if err := b.sequencer.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sequencer.Term()) }()
	if err := b.archiver.Start(); err != nil {
		return err
	}
	err = cluster.Eventually(ctx, 5*time.Minute, func(ctx context.Context) error {
		at, err := b.archived(ctx)
		if err == nil && at < sum(l.warm) {
			err = fmt.Errorf("%d events are archived of %d", at, sum(l.warm))
		}
		return err
	})
	if err := errors.Join(err, b.archiver.Term()); err != nil {
		return err
	}
	if err := l.show(ctx); err != nil {
		return fmt.Errorf("show the backlog: %w", err)
	}
	return b.drained(ctx, l.all)
}
