package stalled

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/neuronx/engine/pkg/archive"
	"github.com/neuronx/engine/pkg/consumer"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Skipping is what is passed over: the event of a sequence at which the tenant of a place is stalled.
type Skipping struct {
	Place
	Sequence   int64 // of the event; 0: not known yet, which only WouldSkip takes
	Generation int64 // only this one; 0: every stalled one
	Reason     string
}

// Check refuses to skip anything of the archiver.
func (s *Skipping) Check() error {
	if s.Consumer == "archiver" {
		return operate.Unsafe("the archiver skips no event").Because("%s", consumer.ErrNoSkip).
			Hint("mend what its reason says, then `neuronx stalled retry --consumer archiver --tenant %s --execute`", s.Tenant)
	}
	return s.Place.Check()
}

// WouldSkip lists what Skip would pass over; that there is nothing is an error.
func WouldSkip(ctx context.Context, env *operate.Env, s Skipping) ([]At, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	rows, err := s.find(ctx, env)
	if err != nil {
		return nil, err
	}
	if s.Sequence > 0 { // the others would not be skipped
		rows = slices.DeleteFunc(rows, func(r consumer.Row) bool { return r.Sequence+1 != s.Sequence })
	}
	return operate.Each(rows, atOf), nil
}

// Skip passes over the event for good, records that who did, and waits for what becomes of each row, until ctx ends.
func Skip(ctx context.Context, env *operate.Env, who operate.Principal, s Skipping) ([]Resumed, error) {
	if err := cmp.Or(s.Check(), who.Check()); err != nil {
		return nil, err
	}
	if s.Sequence <= 0 || s.Tenant == "" || s.Consumer == "" || s.Reason == "" {
		return nil, operate.Usage("a skip needs the consumer, the tenant, the sequence of the event, and a reason")
	}
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.find(ctx, env); err != nil {
		return nil, err
	}
	pub, err := env.Publisher()
	if err != nil {
		return nil, err
	}
	names, err := s.rowNames()
	if err != nil {
		return nil, err
	}
	var done []consumer.Row
	for _, name := range names {
		skipped, err := consumer.SkipAnnounced(ctx, pool, archive.NewReader(pool), pub, consumer.SkipOptions{
			Consumer: name, Tenant: s.Tenant, Sequence: s.Sequence, Generation: s.Generation, Reason: s.Reason, By: who.Name})
		if err != nil && !errors.Is(err, consumer.ErrNotStalled) && !errors.Is(err, consumer.ErrMoved) {
			return nil, unskipped(s, done, name, err)
		}
		done = append(done, skipped...)
	}
	if len(done) == 0 {
		return nil, operate.Unsafe("nothing was skipped: %s is not stalled at sequence %d any more", s.Tenant, s.Sequence).Hint("neuronx stalled list --tenant %s", s.Tenant)
	}
	return watch(ctx, pool, done, 1)
}

// unskipped is the error about rows of one name that could not be skipped, when those in done were.
func unskipped(s Skipping, done []consumer.Row, name string, err error) error {
	if len(done) == 0 {
		return operate.Fail("skip", err)
	}
	return operate.Partial("the event is skipped in %s, and not in %s", done[len(done)-1].Consumer, name).Because("%v", err).
		Hint("`neuronx stalled list --tenant %s` shows what is left; the same command again skips nothing twice", s.Tenant)
}

// find lists the stalled rows among which the event is skipped. That there are none, or none at the event, is an error.
func (s *Skipping) find(ctx context.Context, env *operate.Env) ([]consumer.Row, error) {
	rows, err := s.Place.find(ctx, env)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r consumer.Row) bool { return s.Generation != 0 && r.Generation != s.Generation })
	if len(rows) == 0 {
		return nil, s.nobody("skip")
	}
	if s.Sequence > 0 && !slices.ContainsFunc(rows, func(r consumer.Row) bool { return r.Sequence+1 == s.Sequence }) {
		return nil, operate.Unsafe("%s is stalled at sequence %d, not %d", s.Tenant, rows[0].Sequence+1, s.Sequence).
			Because("it has gone on since, or the number is of another consumer").Hint("neuronx stalled list --tenant %s", s.Tenant)
	}
	return rows, nil
}
